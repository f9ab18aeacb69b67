"""Pre-training: two kinds of labels at once, what is missing left out; without a corpus the start goes on."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages import pretrain
from stages.core.artefacts import read_json
from stages.core.corpus import Workspace
from stages.core.errors import BadInput, ValaroError
from stages.core.optimisation import OptimSettings
from stages.core.params import Augmentation, BatchAugmentation, FinetuneParams, PretrainParams
from stages.corpora.labelled_faces import write_shard
from stages.corpora.table import EMOTIONS, Part, Sample, emotion
from stages.engine.units import Unit, do_unit
from stages.media.jpeg import pack_jpegs
from stages.pretrain import NO_CORPORA, NO_FACE, Settings, scores_of
from stages.training.checkpoints import load_model, save_model
from stages.training.curves import Curves
from stages.vision.architectures import build_static, new_static
from stages.vision.backbones import describe, header_of, static_config

SPEAKERS, IMAGES = 10, 6
FELT = ("anger", "happiness", "neutral")


def settings_for(params: FinetuneParams, backbone: str = "small", **optimisation: Any) -> Settings:
    quick = {"epochs": 8, "patience": 20, "schedule": "one_cycle", "learning_rate": 0.01} | optimisation
    options = PretrainParams(
        corpora="",
        start=None,
        validation_share=0.3,
        frames_hz=5.0,
        batch_size=10,
        max_images_per_epoch=None,
        max_validation_images=None,
        in_memory=False,
        emotion_labels="majority",
        derive_valence_arousal=False,
        class_weights="balanced",
        regression_loss="log_cosh",
        emotion_weight=1.0,
        focal_gamma=2.0,
        augmentation=Augmentation(probability=0.3, names=["horizontal_flip"]),
        batch_augmentation=None,
        phases=[],
        optimisation=OptimSettings.model_validate(quick),
    )
    config = static_config(describe(params, backbone), params.dropout, params.tanh_output)
    return Settings(pretrain=options, config=config)


def lay(workspace: Workspace, corpus: str, samples: Sequence[Sample], pictures: list[np.ndarray]) -> None:
    write_shard(workspace.artefact(f"gather/{corpus}", "pictures-0-of-1"), samples, *pack_jpegs(pictures))


def lay_corpora(workspace: Workspace) -> None:
    """One corpus with valence (brightness) and arousal (redness), one with an emotion (the bright quarter)."""
    rng, rated, named = np.random.default_rng(0), [], []
    rated_pictures, named_pictures = [], []
    for speaker in range(SPEAKERS):
        for image in range(IMAGES):
            source = f"{speaker}/{image}.png"
            valence, arousal = rng.uniform(-0.8, 0.8, 2)
            rated.append(Sample(source, f"r{speaker}", "whole", None, None, valence, arousal))
            colour = 128 + 80 * valence + np.array([50, 0, -50]) * arousal
            rated_pictures.append(np.full((32, 32, 3), colour, np.uint8))
            felt = image % len(FELT)
            named.append(Sample(source, f"n{speaker}", "whole", emotion=emotion(FELT[felt])))
            picture = rng.integers(0, 60, (32, 32, 3), np.uint8)
            picture[10 * felt : 10 * felt + 10] += 150
            named_pictures.append(picture)
    lay(workspace, "afew_va", rated, rated_pictures)
    lay(workspace, "rafdb", named, named_pictures)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def unit_in(workspace: Workspace, params: FinetuneParams, backbone: str = "small") -> Unit:
    unit = pretrain.unit_of(workspace, backbone, params)
    return replace(unit, scratch=workspace.root / "scratch" / "key")


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory, finetune_params: Any) -> Workspace:
    """A workspace in which `small` has learnt from both corpora; tests don't change it."""
    workspace = Workspace(tmp_path_factory.mktemp("learnt"))
    lay_corpora(workspace)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VALARO_DEVICE", "cpu")
        do_unit(pretrain.train, unit_in(workspace, finetune_params()), settings_for(finetune_params()))
    return workspace


def test_it_learns_both_kinds_of_labels_from_two_corpora(learnt: Workspace, finetune_params: Any) -> None:
    unit = unit_in(learnt, finetune_params())
    record = read_json(unit.writes["metrics"])
    assert record["corpora"] == {
        name: {"speakers": 10, "train_images": 42, "validation_images": 18} for name in ("afew_va", "rafdb")
    }
    scores = record["scores"]
    assert scores["mean_ccc"] > 0.6
    assert scores["informedness"] > 0.6
    assert scores["score"] == pytest.approx((scores["mean_ccc"] + scores["informedness"]) / 2, abs=1e-6)
    assert record["best"]["score"]["value"] == pytest.approx(scores["score"], abs=1e-6)
    assert header_of(unit.writes["model"]) == settings_for(finetune_params()).config


def test_training_goes_on_from_a_model_that_it_made_before(
    learnt: Workspace, finetune_params: Any, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path / "workspace")
    shutil.copytree(learnt.root, workspace.root)
    params, first = finetune_params(), tmp_path / "first.safetensors"
    unit = unit_in(workspace, params)
    unit.writes["model"].rename(first)
    begun = read_json(unit.writes["metrics"])["scores"]["score"]
    unit = replace(pretrain.unit_of(workspace, "small", params, str(first)), scratch=tmp_path / "key")
    settings = settings_for(params, epochs=1, learning_rate=1e-4)
    do_unit(pretrain.train, unit, settings)
    record = read_json(unit.writes["metrics"])
    assert record["start"] == "the model first.safetensors"
    assert record["scores"]["score"] > begun - 0.1 > 0.4, "where the first training ended, in one small epoch"

    other = settings.model_copy(update={"config": settings.config | {"options": {"channels": [8, 8, 8, 16]}}})
    with pytest.raises(BadInput, match="it isn't a model like the one to train"):
        do_unit(pretrain.train, unit, other)
    with pytest.raises(BadInput, match=r"nowhere\.safetensors: no such file"):
        pretrain.unit_of(workspace, "small", params, "nowhere.safetensors")


class Killed(BaseException):
    """What a kill looks like from inside."""


def test_a_killed_run_goes_on_to_the_same_bytes(
    workspace: Workspace, finetune_params: Any, tmp_path: Path
) -> None:
    lay_corpora(workspace)
    unit, settings = unit_in(workspace, finetune_params()), settings_for(finetune_params(), epochs=4)
    apart = {role: tmp_path / "apart" / path.name for role, path in unit.writes.items()}
    do_unit(pretrain.train, replace(unit, scratch=tmp_path / "whole" / "key", writes=apart), settings)
    original = Curves.__call__

    def call(self: Curves, record: Any) -> None:
        original(self, record)
        if record.epoch == 2:
            raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Curves, "__call__", call)
        do_unit(pretrain.train, unit, settings)
    assert not unit.writes["model"].exists()
    do_unit(pretrain.train, unit, settings)
    assert unit.writes["model"].read_bytes() == apart["model"].read_bytes()
    assert read_json(unit.writes["metrics"]) == read_json(apart["metrics"])


@pytest.mark.parametrize("which", ["afew_va", "rafdb"])
def test_one_kind_of_labels_is_enough(workspace: Workspace, finetune_params: Any, which: str) -> None:
    """The other output doesn't move for want of labels."""
    lay_corpora(workspace)
    for corpus in {"afew_va", "rafdb"} - {which}:
        workspace.artefact(f"gather/{corpus}", "pictures-0-of-1").unlink()
    unit = unit_in(workspace, finetune_params())
    settings = settings_for(finetune_params(), epochs=1, weight_decay=0)
    do_unit(pretrain.train, unit, settings)
    scores = read_json(unit.writes["metrics"])["scores"]
    assert ("mean_ccc" in scores, "informedness" in scores) == (which == "afew_va", which == "rafdb")
    torch.manual_seed(settings.pretrain.optimisation.seed)
    start, end = new_static(settings.config, None), load_model(unit.writes["model"], build_static)
    idle = "emotion" if which == "afew_va" else "regression"
    for output in ("emotion", "regression"):
        before, after = (getattr(model.head, output).weight for model in (start, end))
        assert torch.equal(before, after) == (output == idle)


def test_without_a_corpus_the_start_goes_on_and_it_says_so(
    workspace: Workspace, finetune_params: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    unit, settings = unit_in(workspace, finetune_params()), settings_for(finetune_params())
    do_unit(pretrain.train, unit, settings)
    assert f"pretrain small: {NO_CORPORA}; weights drawn at random pass through" in capsys.readouterr().err
    torch.manual_seed(settings.pretrain.optimisation.seed)
    start = new_static(settings.config, None).state_dict()
    found = load_model(unit.writes["model"], build_static).state_dict()
    assert all(torch.equal(start[name], tensor) for name, tensor in found.items())
    assert read_json(unit.writes["metrics"])["reason"] == NO_CORPORA
    assert unit.writes["plots"].is_dir()


def test_the_start_is_the_backbones_weights_where_it_names_some(
    workspace: Workspace, finetune_params: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params: FinetuneParams = finetune_params()
    torch.manual_seed(5)
    trunk = new_static(settings_for(params).config, None).backbone
    save_model(tmp_path / "imagenet.safetensors", trunk, {})
    described = params.backbones["small"].model_copy(
        update={"weights": str(tmp_path / "imagenet.safetensors")}
    )
    params = params.model_copy(update={"backbones": params.backbones | {"small": described}})
    unit = unit_in(workspace, params)
    do_unit(pretrain.train, unit, settings_for(params))
    assert "the weights of imagenet.safetensors pass through" in capsys.readouterr().err
    found = load_model(unit.writes["model"], build_static).backbone.state_dict()
    assert all(torch.equal(tensor, found[name]) for name, tensor in trunk.state_dict().items())


def test_weights_are_looked_for_in_the_users_folders_and_else_asked_for(
    workspace: Workspace, finetune_params: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params: FinetuneParams = finetune_params()
    described = params.backbones["small"].model_copy(update={"weights": "models/pretrained/w.safetensors"})
    params = params.model_copy(update={"backbones": {"small": described}, "compare": ["small"]})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValaroError, match=r"w\.safetensors.*missing.*models/README\.md.*VALARO_WEIGHTS"):
        pretrain.unit_of(workspace, "small", params)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "w.safetensors").touch()
    monkeypatch.setenv("VALARO_WEIGHTS", f"/nowhere:{tmp_path / 'mine'}")
    assert pretrain.unit_of(workspace, "small", params).reads["weights"] == tmp_path / "mine/w.safetensors"


def test_a_model_of_persons_learns_nothing_from_faces(
    workspace: Workspace, finetune_params: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    lay_corpora(workspace)
    unit = unit_in(workspace, finetune_params(), "pose")
    assert unit.reads == {}, "other corpora make no difference to it"
    do_unit(pretrain.train, unit, settings_for(finetune_params(), "pose"))
    assert NO_FACE in capsys.readouterr().err
    assert header_of(unit.writes["model"])["architecture"] == "pose_hrnet"


def test_too_few_speakers_are_named(workspace: Workspace, finetune_params: Any) -> None:
    lay(
        workspace,
        "rafdb",
        [Sample("a.png", "a", "whole", emotion=1)] * 3,
        [np.zeros((9, 9, 3), np.uint8)] * 3,
    )
    with pytest.raises(ValaroError, match="too few speakers"):
        do_unit(pretrain.train, unit_in(workspace, finetune_params()), settings_for(finetune_params()))


def test_an_epoch_may_be_a_draw_of_the_images(workspace: Workspace, finetune_params: Any) -> None:
    from stages.vision.batches import training_batches

    lay_corpora(workspace)
    unit = unit_in(workspace, finetune_params())
    settings = settings_for(finetune_params())
    faces = pretrain._faces(unit, settings.pretrain)
    images = pretrain._images(faces, faces.of("train"), settings)

    def counts(limit: int | None) -> int:
        return len(training_batches(images, 10, limit))

    assert (len(images), counts(None), counts(30), counts(5), counts(10_000)) == (84, 8, 3, 1, 8)


CHANGES = BatchAugmentation(
    scale=0.05, aspect=0.02, shift=0.02, rotation_deg=3, flip_probability=0.5, gamma=0.05, contrast=0.05,
    brightness=0.02, side_light=0.05, small_face_probability=0.1, small_face_px=16, blur_probability=0.1,
    noise_probability=0.1, jpeg_probability=0.1, erase_probability=0.1,
)  # fmt: skip


def lay_votes(workspace: Workspace) -> None:
    """Ten people who disagree: the larger the share of the upper half's light, the more see happiness.

    Two of every three pictures are for training, of which one stands in the test part too.
    """
    rng, samples, pictures = np.random.default_rng(0), [], []
    parts: tuple[Part, ...] = ("train", "validation", "test")
    for k in range(150):
        happy = int(rng.integers(0, 11))
        picture = rng.integers(0, 40, (32, 32, 3), np.uint8)
        picture[:16] += np.uint8(20 * happy)
        picture[16:] += np.uint8(20 * (10 - happy))
        votes = (0, 0, 0, 0, happy, 10 - happy, 0, 0)
        felt = emotion("happiness" if happy > 5 else "sadness")
        samples.append(Sample(f"{k}.png", str(k), "whole", emotion=felt, part=parts[k % 3], votes=votes))
        pictures.append(picture)
    pictures[0] = pictures[2]
    lay(workspace, "ferplus", samples, pictures)


def test_votes_are_learnt_from_in_memory_and_the_test_part_is_scored(
    workspace: Workspace, finetune_params: Any
) -> None:
    lay_votes(workspace)
    settings = settings_for(finetune_params(), learning_rate=0.02, epochs=12, ema=0.5)
    changed = {
        "in_memory": True, "emotion_labels": "votes", "derive_valence_arousal": True, "class_weights": "equal",
        "regression_loss": "ccc", "focal_gamma": 0.0,
        "augmentation": Augmentation(probability=0, names=[]), "batch_augmentation": CHANGES,
    }  # fmt: skip
    options = PretrainParams.model_validate({**dict(settings.pretrain), **changed})
    unit = unit_in(workspace, finetune_params())
    do_unit(pretrain.train, unit, settings.model_copy(update={"pretrain": options}))
    record = read_json(unit.writes["metrics"])
    assert record["corpora"]["ferplus"] == {
        "speakers": 150, "train_images": 49, "validation_images": 50, "test_images": 50, "copies_left_out": 1
    }  # fmt: skip
    tested = record["test"]["ferplus"]
    assert [tested[name]["images"] for name in ("official", "without_copies")] == [50, 49]
    assert tested["official"]["valence_ccc"] > 0.5, "chance is 0"
    assert tested["official"]["accuracy"] > 0.8, "chance is one half"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"batch_augmentation": CHANGES, "in_memory": False}, "needs in_memory"),
        ({"batch_augmentation": CHANGES, "in_memory": True}, "only one of them is used"),
    ],
)
def test_two_kinds_of_augmentation_exclude_one_another(
    finetune_params: Any, changes: dict[str, Any], complaint: str
) -> None:
    options = dict(settings_for(finetune_params()).pretrain)
    with pytest.raises(ValueError, match=complaint):
        PretrainParams.model_validate({**options, **changes})


NAN = float("nan")


def test_scores_by_hand() -> None:
    truth = np.array([[0.0, 0.5, -1], [1.0, -0.5, -1], [NAN, NAN, 1], [NAN, NAN, 4]])
    estimated = np.array([[0.0, 0.5], [1.0, -0.5], [9.0, 9.0], [9.0, 9.0]])
    logits = np.full((4, len(EMOTIONS)), -9.0)
    logits[[2, 3], [1, 1]] = 9.0
    scores = scores_of(truth, estimated, logits)
    assert scores["mean_ccc"] == pytest.approx(1)
    assert scores["mean_rmse"] == pytest.approx(0)
    assert scores["balanced_accuracy"] == pytest.approx(0.5)
    assert scores["score"] == pytest.approx(0.5), "(1 + 0) / 2: one class for all is chance"
    with pytest.raises(ValaroError, match="neither valence and arousal nor two different emotions"):
        scores_of(np.array([[NAN, NAN, 1], [NAN, NAN, 1]]), estimated[:2], logits[:2])


def test_validation_is_scored_on_a_sample_drawn_once() -> None:
    from stages.pretrain import sample_of

    chosen = np.arange(100) % 2 == 0
    drawn = sample_of(chosen, 10, 3)
    assert drawn.sum() == 10
    assert not (drawn & ~chosen).any()
    assert (drawn == sample_of(chosen, 10, 3)).all()
    assert (sample_of(chosen, None, 3) == chosen).all()
    assert (sample_of(chosen, 50, 3) == chosen).all()


def options_in_memory(finetune_params: Any, **changes: Any) -> PretrainParams:
    memory = {
        "in_memory": True,
        "augmentation": {"probability": 0, "names": []},
        "batch_augmentation": CHANGES,
    }
    return PretrainParams.model_validate(
        {**settings_for(finetune_params()).pretrain.model_dump(), **memory, **changes}
    )


PHASES = [
    {"epochs": 2, "image_size": 16, "augmentation": 0.5},
    {"epochs": 1, "image_size": None, "augmentation": 0},
]


def test_phases_follow_one_another_and_then_it_is_as_without(finetune_params: Any) -> None:
    course = pretrain.Course(options_in_memory(finetune_params, phases=PHASES), 32)
    seen = []
    for epoch in range(5):
        course.begin(epoch)
        assert course.changes is not None
        seen.append((course.image_size, course.changes.scale, course.changes.flip_probability))
        assert course.pictures(torch.zeros(4, 1, 32, 32, dtype=torch.uint8)).shape[-1] == course.image_size
    assert seen == [(16, 0.025, 0.5), (16, 0.025, 0.5), (32, 0, 0.5), (32, 0.05, 0.5), (32, 0.05, 0.5)]


def test_without_phases_every_epoch_is_alike(finetune_params: Any) -> None:
    course = pretrain.Course(options_in_memory(finetune_params), 32)
    for epoch in (0, 7):
        course.begin(epoch)
        assert (course.image_size, course.changes) == (32, CHANGES)


def test_phases_without_changes_of_batches_are_refused(finetune_params: Any) -> None:
    with pytest.raises(ValueError, match="phases need batch_augmentation"):
        options_in_memory(finetune_params, phases=PHASES, batch_augmentation=None)


def test_a_run_killed_in_one_phase_goes_on_in_the_next(
    workspace: Workspace, finetune_params: Any, tmp_path: Path
) -> None:
    """The phase goes by the epoch, not by what this process has done."""
    lay_votes(workspace)
    settings = settings_for(finetune_params(), epochs=4)
    options = options_in_memory(finetune_params, phases=PHASES, optimisation=settings.pretrain.optimisation)
    settings = settings.model_copy(update={"pretrain": options})
    unit = unit_in(workspace, finetune_params())
    apart = {role: tmp_path / "apart" / path.name for role, path in unit.writes.items()}
    do_unit(pretrain.train, replace(unit, scratch=tmp_path / "whole" / "key", writes=apart), settings)
    original = pretrain.Course.begin

    def begin(self: pretrain.Course, epoch: int) -> None:
        if epoch == 3:
            raise Killed
        original(self, epoch)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(pretrain.Course, "begin", begin)
        do_unit(pretrain.train, unit, settings)
    do_unit(pretrain.train, unit, settings)
    assert unit.writes["model"].read_bytes() == apart["model"].read_bytes()
