"""Embeddings of every step, by models of faces, of whole frames and of persons."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from stages.core.artefacts import read_arrays, read_facts, write_json, write_tensors
from stages.core.corpus import Workspace
from stages.core.errors import ValaroError
from stages.core.params import EmbedParams
from stages.embed import embed_subject, units
from stages.engine.stage import HERE
from stages.engine.units import do_unit
from stages.media.jpeg import unpack_jpeg
from stages.training.checkpoints import load_model, save_model
from stages.vision.architectures import build_static
from stages.vision.backbones import Input, header_of, static_config
from stages.vision.crops import letterbox
from stages.vision.views import person_boxes

SETTINGS = EmbedParams(
    backbone="chosen", folds=0, batch_size=3, mixed_precision="no", compile=False, mirrored=False
)
EXACT = HERE.model_copy(update={"precision": "float32"})


@pytest.fixture
def model(people: Workspace, finetune_params: Any) -> Any:
    """Save a model that wants to be shown something."""

    def save(architecture: str, shown: Input) -> Any:
        description = finetune_params().backbones[architecture].model_copy(update={"input": shown})
        config = static_config(description, 0.0, True)
        torch.manual_seed(2)
        save_model(people.model("static/chosen.safetensors"), build_static(config), config)
        return load_model(people.model("static/chosen.safetensors"), build_static)

    return save


def estimate(model: Any, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the model says of one picture."""
    with torch.no_grad():
        output = model(torch.from_numpy(letterbox(image, model.image_size)).permute(2, 0, 1)[None])
    return output.embedding[0].numpy(), output.valence_arousal[0].numpy()


@pytest.mark.parametrize(
    ("architecture", "shown"),
    [("small", "face"), ("small", "frame"), ("small", "person"), ("pose", "person")],
)
def test_every_step_has_the_embedding_of_what_it_shows(
    people: Workspace, model: Any, architecture: str, shown: Input
) -> None:
    net = model(architecture, shown)
    found = units(people, people, people.corpus(), SETTINGS, EXACT)
    assert [unit.name for unit in found] == ["a", "b_left", "b_right", "v", "w"]
    assert ("frames" in found[1].reads) == (shown != "face")
    do_unit(embed_subject, found[1], SETTINGS)
    track = read_arrays(people.artefact("embeddings", "b_left"))
    faces = read_arrays(people.artefact("faces", "b_left"))
    frames = read_arrays(people.artefact("decode", "b"), "jpeg", "jpeg_offset")
    assert track["embedding"].shape == (40, 256)
    assert np.array_equal(track["detected"], faces["detected"])
    assert read_facts(people.artefact("embeddings", "b_left"))["fps_hz"] == 5

    def pictured(step: int) -> np.ndarray:
        if shown == "face":
            return unpack_jpeg(faces["jpeg"], faces["jpeg_offset"], faces["crop_index"][step])
        frame = unpack_jpeg(frames["jpeg"], frames["jpeg_offset"], step)
        if shown == "frame":
            return frame
        left, top, right, bottom = person_boxes(faces["box_xyxy"][step][None])[0].astype(int)
        return frame[max(0, top) : bottom, max(0, left) : right]

    for step in (2, 8, 19):
        embedding, valence_arousal = estimate(net, pictured(step))
        assert track["embedding"][step] == pytest.approx(embedding, abs=1e-4)
        assert track["valence_arousal"][step] == pytest.approx(valence_arousal, abs=1e-4)
    held = pictured(9) if shown == "frame" else pictured(8)
    assert track["embedding"][9] == pytest.approx(estimate(net, held)[0], abs=1e-4)
    first = pictured(0) if shown == "frame" else np.zeros((8, 8, 3), np.uint8)
    assert track["embedding"][0] == pytest.approx(estimate(net, first)[0], abs=1e-4)


def test_a_missing_model_says_what_to_run(people: Workspace) -> None:
    with pytest.raises(ValaroError, match=r"static/chosen\.safetensors.*Run the stage"):
        units(people, people, people.corpus(), SETTINGS, EXACT)


@pytest.mark.parametrize(("half", "remedy"), [("no", "Train it again"), ("fp16", "embed.mixed_precision")])
def test_a_model_that_gives_nan_is_named_and_nothing_is_written(
    half: str, remedy: str, people: Workspace, model: Any
) -> None:
    net = model("small", "face")
    with torch.no_grad():
        for weight in net.parameters():
            weight.fill_(torch.nan)
    file = people.model("static/chosen.safetensors")
    save_model(file, net, header_of(file))
    (unit, *_) = units(people, people, people.corpus(), SETTINGS, EXACT)
    with pytest.raises(ValaroError, match=rf"chosen\.safetensors: its answers to .* NaN\. .*{remedy}"):
        do_unit(embed_subject, unit, SETTINGS.model_copy(update={"mixed_precision": half}))
    assert not unit.writes["embeddings"].exists()


def test_batches_decide_nothing(people: Workspace, model: Any) -> None:
    model("small", "face")
    (unit, *_) = units(people, people, people.corpus(), SETTINGS, EXACT)
    results = []
    for batch_size in (1, 64):
        apart = {"embeddings": people.root / f"{batch_size}.h5"}
        do_unit(
            embed_subject,
            replace(unit, writes=apart),
            SETTINGS.model_copy(update={"batch_size": batch_size}),
        )
        results.append(read_arrays(apart["embeddings"], "embedding")["embedding"])
    assert np.abs(results[0] - results[1]).max() < 1e-4


def test_training_is_embedded_by_the_extractor_that_has_not_seen_it(people: Workspace, model: Any) -> None:
    """Turned into the space of the whole one's: here by a rotation that swaps the first two dimensions."""
    model("small", "face")
    config = header_of(people.model("static/chosen.safetensors"))
    swap = np.eye(256)[[1, 0, *range(2, 256)]]
    for fold in (0, 1):
        torch.manual_seed(10 + fold)
        save_model(people.model(f"static_folds/fold_{fold}.safetensors"), build_static(config), config)
        turned = {"from": np.zeros(256), "rotation": swap, "to": np.zeros(256)}
        write_tensors(people.model(f"static_folds/alignment_{fold}.safetensors"), turned)
    write_json(people.model("static_folds/folds.json"), {"a": 0, "b_left": 1, "b_right": 1})
    settings = SETTINGS.model_copy(update={"folds": 2})
    found = {unit.name: unit for unit in units(people, people, people.corpus(), settings, EXACT)}
    assert {name: unit.reads["model"].stem for name, unit in found.items()} == {
        "a": "fold_0", "b_left": "fold_1", "b_right": "fold_1", "v": "chosen", "w": "chosen"
    }  # fmt: skip
    do_unit(embed_subject, found["a"], settings)
    track = read_arrays(people.artefact("faces", "a"))
    step = int(np.flatnonzero(track["detected"])[3])
    image = unpack_jpeg(track["jpeg"], track["jpeg_offset"], int(track["crop_index"][step]))
    expected, _ = estimate(load_model(people.model("static_folds/fold_0.safetensors"), build_static), image)
    said = read_arrays(people.artefact("embeddings", "a"))["embedding"][step]
    np.testing.assert_allclose(said, expected @ swap, atol=1e-4)


def test_validation_is_seen_in_the_mirror_too(people: Workspace, model: Any) -> None:
    """Not training, whose intervals nobody asks for; not by a model that mirrors its pictures itself."""
    model("small", "face")
    settings = SETTINGS.model_copy(update={"mirrored": True})
    found = {unit.name: unit for unit in units(people, people, people.corpus(), settings, EXACT)}
    assert {name: unit.facts["mirrored"] for name, unit in found.items()} == {
        "a": False, "b_left": False, "b_right": False, "v": True, "w": True
    }  # fmt: skip
    do_unit(embed_subject, found["v"], settings)
    said = read_arrays(people.artefact("embeddings", "v"))
    assert said["mirrored_valence_arousal"].shape == said["valence_arousal"].shape
    assert not np.array_equal(said["mirrored_valence_arousal"], said["valence_arousal"])
    do_unit(embed_subject, found["a"], settings)
    assert "mirrored_valence_arousal" not in read_arrays(people.artefact("embeddings", "a"))
    config = header_of(people.model("static/chosen.safetensors")) | {"mirror": True}
    save_model(people.model("static/chosen.safetensors"), build_static(config), config)
    again = units(people, people, people.corpus(), settings, EXACT)
    assert not any(unit.facts["mirrored"] for unit in again)
