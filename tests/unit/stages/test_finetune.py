"""Fine-tuning: it learns from the right images, in every technique, and a kill changes no bit of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages import finetune
from stages.core.artefacts import read_arrays, read_config, read_facts, read_json
from stages.core.corpus import Workspace
from stages.core.errors import ValaroError
from stages.core.labels import resample_labels
from stages.core.params import CrossfitParams, FinetuneParams
from stages.engine.units import Unit, do_unit
from stages.training.checkpoints import load_model, save_model
from stages.training.curves import Curves
from stages.vision.architectures import build_static
from stages.vision.backbones import describe, input_of, only, static_config
from stages.vision.pose_model import PoseModel

Settings = Callable[..., FinetuneParams]
CROSSFIT = CrossfitParams(folds=2, seed=0)
USABLE = 40 - 3 - 3
"""Steps of a person, less those without a face, less those without a label."""


class Killed(BaseException):
    """What a kill looks like from inside."""


@pytest.fixture
def prepare(people: Workspace) -> Callable[..., tuple[Unit, FinetuneParams]]:
    """A unit whose start is there, and its settings."""

    def prepared(settings: FinetuneParams, backbone: str = "small") -> tuple[Unit, FinetuneParams]:
        shown = describe(settings, backbone).input
        unit = finetune.unit_of(people, people.corpus(), backbone, shown, CROSSFIT)
        config = static_config(describe(settings, backbone), settings.dropout, settings.tanh_output)
        torch.manual_seed(1)
        save_model(unit.reads["start"], build_static(config), config)
        return replace(unit, scratch=people.root / "scratch" / "key"), only(settings, backbone)

    return prepared


def trained(unit: Unit) -> dict[str, Any]:
    """What the stage wrote."""
    return read_json(unit.writes["metrics"])


def weights(path: Path) -> dict[str, torch.Tensor]:
    """By name."""
    state: dict[str, torch.Tensor] = load_model(path, build_static).state_dict()
    return state


@pytest.mark.long
def test_it_learns_what_faces_tell(prepare: Any, finetune_params: Settings) -> None:
    unit, settings = prepare(finetune_params(epochs=10, schedule="one_cycle", learning_rate=0.005))
    do_unit(finetune.train, unit, settings)
    record = trained(unit)
    assert (record["train_images"], record["validation_images"]) == (3 * USABLE, 2 * USABLE)
    assert record["best"]["mean_rmse"]["value"] < 0.35, "guessing the mean gives 0.7"
    assert input_of(unit.writes["model"]) == "face"
    assert read_config(unit.writes["model"])["architecture"] == "test_resnet"


@pytest.mark.parametrize("unfrozen", [None, 2])
@pytest.mark.parametrize("decay", [1.0, 0.3])
def test_discriminative_learning_and_gradual_unfreezing_in_all_four_combinations(
    prepare: Any, finetune_params: Settings, decay: float, unfrozen: int | None
) -> None:
    """One epoch: what is frozen stays, bit for bit, what lies lower moves less where rates are smaller."""
    settings = finetune_params(epochs=1, layer_decay=decay, unfrozen_groups=unfrozen, weight_decay=0)
    unit, settings = prepare(settings)
    do_unit(finetune.train, unit, settings)
    before, after = weights(unit.reads["start"]), weights(unit.writes["model"])
    groups = load_model(unit.reads["start"], build_static).layer_groups()
    sizes = [sum(p.numel() for p in group) for group in groups]
    assert len(sizes) == 6, "stem, four stages, added layers"

    def moved(name: str) -> float:
        return float((after[name] - before[name]).abs().max())

    stem, last, head = (
        moved(f"{name}.weight") for name in ("backbone.conv1.0", "backbone.layer4.0.conv1", "head.embed")
    )
    assert head > 0
    assert last > 0
    assert (stem == 0) == (unfrozen == 2)
    statistics = "backbone.bn1.running_mean"
    assert torch.equal(before[statistics], after[statistics]) == (unfrozen == 2), "frozen means eval mode"
    ratio = last / head
    assert ratio == pytest.approx(decay, rel=0.6), "Adam moves weights by about their rate"


def test_one_more_group_thaws_each_epoch(prepare: Any, finetune_params: Settings) -> None:
    unit, settings = prepare(finetune_params(epochs=5, unfrozen_groups=2))
    counts: list[int] = []
    original = Curves.__call__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Curves,
            "__call__",
            lambda self, record: (counts.append(record.trained_groups), original(self, record))[-1],
        )
        do_unit(finetune.train, unit, settings)
    assert counts == [2, 3, 4, 5, 6]


@pytest.mark.long
def test_it_stops_early(prepare: Any, finetune_params: Settings) -> None:
    """A rate at which nothing is learnt: the first epochs are the best, and `patience` more are enough."""
    unit, settings = prepare(finetune_params(epochs=30, patience=2, learning_rate=1e-12, schedule="constant"))
    do_unit(finetune.train, unit, settings)
    assert trained(unit)["epochs"] == trained(unit)["best"]["mean_rmse"]["epoch"] + 2 < 30


@pytest.mark.long
@pytest.mark.parametrize("killed_after", [1, 2])
def test_a_killed_run_goes_on_to_the_same_bytes(
    prepare: Any, finetune_params: Settings, tmp_path: Path, killed_after: int
) -> None:
    changes = {"epochs": 4, "unfrozen_groups": 2, "layer_decay": 0.9, "cycle_epochs": 2}
    unit, settings = prepare(finetune_params(**changes))
    apart = {role: tmp_path / "apart" / path.name for role, path in unit.writes.items()}
    do_unit(finetune.train, replace(unit, scratch=tmp_path / "whole" / "key", writes=apart), settings)
    original = Curves.__call__

    def call(self: Curves, record: Any) -> None:
        original(self, record)
        if record.epoch == killed_after:
            raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Curves, "__call__", call)
        do_unit(finetune.train, unit, settings)
    assert not any(path.exists() for path in unit.writes.values())
    do_unit(finetune.train, unit, settings)
    assert unit.writes["model"].read_bytes() == apart["model"].read_bytes()
    assert trained(unit) == read_json(apart["metrics"])
    curve = Path("validation") / "mean_rmse.tsv"
    assert (unit.writes["plots"] / curve).read_text() == (apart["plots"] / curve).read_text()


def test_a_model_of_persons_sees_the_frames(prepare: Any, finetune_params: Settings) -> None:
    unit, settings = prepare(finetune_params(), "pose")
    assert sorted(role for role in unit.reads if role.startswith("frames/")) == [
        "frames/a", "frames/b_left", "frames/b_right", "frames/v", "frames/w"]  # fmt: skip
    assert unit.reads["frames/b_left"] == unit.reads["frames/b_right"]
    images = finetune._images(unit, "train", settings)
    assert len(images) == 3 * USABLE, "the same frames as for the models of faces"
    shown = images[0].image
    assert shown.shape == (3, 32, 32)
    wall = (shown.float() - 128).abs().amax(0) < 8
    assert 0.5 < wall.float().mean() < 0.99, "more than the face"
    do_unit(finetune.train, unit, settings)
    assert input_of(unit.writes["model"]) == "person"


def test_other_backbones_and_where_weights_lay_decide_nothing(finetune_params: Settings) -> None:
    settings = finetune_params()
    fewer = settings.model_copy(update={"compare": ["small"]})
    described = settings.backbones | {
        "small": settings.backbones["small"].model_copy(update={"weights": "elsewhere"})
    }
    moved = settings.model_copy(update={"backbones": described})
    assert only(settings, "small") == only(fewer, "small") == only(moved, "small")
    assert only(settings, "small") != only(settings, "pose")


def test_a_start_of_another_architecture_is_refused(prepare: Any, finetune_params: Settings) -> None:
    unit, settings = prepare(finetune_params())
    config = read_config(unit.reads["start"]) | {"image_size": 64}
    save_model(unit.reads["start"], build_static(config), config)
    with pytest.raises(ValaroError, match=r"small\.safetensors: image_size is 64, wanted 32"):
        do_unit(finetune.train, unit, settings)


def test_a_split_without_a_label_is_named(prepare: Any, finetune_params: Settings) -> None:
    unit, settings = prepare(finetune_params())
    unit.facts["train"].clear()
    with pytest.raises(ValaroError, match="no labelled frame with a face in the train split"):
        do_unit(finetune.train, unit, settings)


def check_score(unit: Unit, settings: FinetuneParams) -> None:
    """The score that is reported is that of the model that was written."""
    images = finetune._images(unit, "validation", settings)
    model = load_model(unit.writes["model"], build_static)
    with torch.no_grad():
        estimated = model(torch.stack([images[k].image for k in range(len(images))])).valence_arousal.numpy()
    truth = np.stack([images[k].target.numpy() for k in range(len(images))])
    rmse = np.sqrt(((estimated - truth) ** 2).mean(axis=0)).mean()
    assert trained(unit)["best"]["mean_rmse"]["value"] == pytest.approx(rmse, abs=1e-5)


def test_a_person_is_predicted_by_the_epoch_that_the_others_choose(
    prepare: Any, finetune_params: Settings
) -> None:
    """Of two people, each one's epoch has the other's lowest error; steps without a face are predicted too."""
    unit, settings = prepare(finetune_params(epochs=6, learning_rate=0.02))
    do_unit(finetune.train, unit, settings)

    def error(name: str, by: int) -> float:
        said = read_arrays(unit.writes["out_of_fold"] / f"{name}.h5")
        index, faces = (read_arrays(unit.reads[f"{stage}/{name}"]) for stage in ("index", "faces"))
        labels, labelled = resample_labels(
            index["valence_arousal"], index["labelled"], index["time_s"], faces["time_s"]
        )
        counted = labelled & faces["detected"]
        assert said["by_fold"].shape == (2, len(faces["time_s"]), 2)
        return float(np.sqrt(((said["by_fold"][by] - labels)[counted] ** 2).mean(axis=0)).mean())

    fold = {name: read_facts(unit.writes["out_of_fold"] / f"{name}.h5")["fold"] for name in "vw"}
    assert sorted(fold.values()) == [0, 1]
    for name, other in ("vw", "wv"):
        assert error(other, fold[name]) <= error(other, fold[other])
    chosen = trained(unit)["epochs_by_fold"]
    assert set(chosen) == {"0", "1"}
    assert all(pair["valence"] == pair["arousal"] for pair in chosen.values()), "one epoch serves both"
    assert not any("fold" in path.name for path in unit.writes["plots"].rglob("*")), "no curve of its own"
    assert len(list(unit.scratch.glob("weights-*"))) <= 1 + CROSSFIT.folds, "of 6 epochs"
    check_score(unit, settings)


def counted(model_type: Any, patch: pytest.MonkeyPatch) -> list[int]:
    """Images of each batch that goes through a pose model's trunk from now on."""
    seen: list[int] = []
    original = model_type.upper_body

    def upper_body(self: Any, image: torch.Tensor) -> torch.Tensor:
        seen.append(len(image))
        maps: torch.Tensor = original(self, image)
        return maps

    patch.setattr(model_type, "upper_body", upper_body)
    return seen


def posed(prepare: Any, settings: FinetuneParams, **changes: Any) -> tuple[Unit, FinetuneParams]:
    """The pose model alone, with no predictions of whole videos: these take the pictures."""
    unit, settings = prepare(settings.model_copy(update=changes), "pose")
    unit.writes.pop("out_of_fold")
    return unit, settings


@pytest.mark.long
@pytest.mark.parametrize(("draws", "passes"), [(1, 1), (2, 2), (None, 4)])
def test_a_frozen_trunk_sees_every_picture_once(
    prepare: Any, finetune_params: Settings, monkeypatch: pytest.MonkeyPatch, draws: int | None, passes: int
) -> None:
    unit, settings = posed(prepare, finetune_params(epochs=4), frozen_draws=draws)
    seen = counted(PoseModel, monkeypatch)
    do_unit(finetune.train, unit, settings)
    if draws:
        assert sum(seen) == passes * 3 * USABLE + 2 * USABLE
    else:
        whole_batches = 3 * USABLE // settings.batch_size * settings.batch_size
        assert sum(seen) == passes * (whole_batches + 2 * USABLE)


@pytest.mark.long
def test_as_many_draws_as_epochs_train_the_same_model(
    prepare: Any, finetune_params: Settings, tmp_path: Path
) -> None:
    """To the last bit: the maps are those of the same changes, and nothing is rounded."""
    found = []
    for draws in (None, 3):
        unit, settings = posed(prepare, finetune_params(epochs=3, learning_rate=0.001), frozen_draws=draws)
        place = tmp_path / str(draws)
        writes = {role: place / path.name for role, path in unit.writes.items()}
        do_unit(finetune.train, replace(unit, writes=writes, scratch=place / "key"), settings)
        curves = {p.name: p.read_text() for p in sorted((writes["plots"] / "train").glob("*.tsv"))}
        losses = [float(line.split("\t")[1]) for line in curves["loss.tsv"].splitlines()[1:]]
        found.append([*losses, trained(replace(unit, writes=writes))["best"]["mean_rmse"]["value"]])
    assert len(found[0]) == 4
    assert found[1] == found[0]


@pytest.mark.long
def test_a_killed_run_keeps_its_heat_maps(
    prepare: Any, finetune_params: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    unit, settings = posed(prepare, finetune_params(epochs=3))
    apart = {role: tmp_path / "apart" / path.name for role, path in unit.writes.items()}
    do_unit(finetune.train, replace(unit, scratch=tmp_path / "whole" / "key", writes=apart), settings)
    original = Curves.__call__

    def call(self: Curves, record: Any) -> None:
        original(self, record)
        if record.epoch == 1:
            raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Curves, "__call__", call)
        do_unit(finetune.train, unit, settings)
    seen = counted(PoseModel, monkeypatch)
    do_unit(finetune.train, unit, settings)
    assert seen == []
    assert unit.writes["model"].read_bytes() == apart["model"].read_bytes()
