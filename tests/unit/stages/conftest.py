"""Made-up people for the stages of the static models: the brighter, the happier; the redder, the more excited."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stages.core.artefacts import write_arrays
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.optimisation import OptimSettings
from stages.core.params import Augmentation, BackboneParams, FinetuneParams
from stages.media.jpeg import pack_jpegs
from stages.vision.crops import crop_face, reuse_last

PEOPLE = [
    Subject("a", "a", None, "train"),
    Subject("b_left", "b", "left", "train"),
    Subject("b_right", "b", "right", "train"),
    Subject("v", "v", None, "validation"),
    Subject("w", "w", None, "validation"),
]
STEPS, FPS_HZ, RATE_HZ = 40, 5.0, 25.0
FACE = np.array([30.0, 20.0, 46.0, 40.0], np.float32)
UNSEEN, UNLABELLED_S = (0, 1, 9), (2.0, 2.6)
"""Steps without a face; native time without labels."""

BACKBONES = {
    "small": BackboneParams(
        architecture="test_resnet", input="face", image_size=32, weights=None, options={"channels": [8] * 4}
    ),
    "pose": BackboneParams(
        architecture="pose_hrnet",
        input="person",
        image_size=32,
        weights=None,
        options={"width": 4, "modules": [1, 1, 1], "blocks": 1},
    ),
}


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALARO_DEVICE", "cpu")


@pytest.fixture(scope="session")
def finetune_params() -> Callable[..., FinetuneParams]:
    """The section `finetune` for two small models, its optimisation changed as wanted."""

    def settings(**optimisation: object) -> FinetuneParams:
        quick = {"epochs": 2, "patience": 9, "warmup_steps": 2, "learning_rate": 0.01} | optimisation
        return FinetuneParams(
            compare=list(BACKBONES),
            backbones=BACKBONES,
            dropout=0.1,
            tanh_output=True,
            batch_size=8,
            images_at_once=None,
            max_frames_per_epoch=None,
            frozen_draws=1,
            augmentation=Augmentation(probability=0.5, names=["horizontal_flip"]),
            optimisation=OptimSettings.model_validate(quick),
        )

    return settings


@pytest.fixture
def people(tmp_path: Path) -> Workspace:
    """A workspace in which index, decode and faces are done for PEOPLE."""
    workspace = Workspace(tmp_path / "people")
    workspace.write_corpus(Corpus(PEOPLE, {subject.video: f"{subject.video}.mp4" for subject in PEOPLE}))
    for seed, subject in enumerate(PEOPLE):
        lay_person(workspace, subject, np.random.default_rng(seed))
    return workspace


def lay_person(workspace: Workspace, subject: Subject, rng: np.random.Generator) -> None:
    """Frames of 90 x 80 pixels, one face in place, labels that swing."""
    time_s, native_s = np.arange(STEPS) / FPS_HZ, np.arange(round(STEPS / FPS_HZ * RATE_HZ)) / RATE_HZ
    phase, pace = rng.uniform(0, 6, 2), rng.uniform(1, 2, 2)
    frames = [picture(*np.sin(pace * step_s + phase)) for step_s in time_s]
    labelled = (native_s < UNLABELLED_S[0]) | (native_s >= UNLABELLED_S[1])
    labels = np.where(labelled[:, None], np.sin(pace * native_s[:, None] + phase), np.nan)
    write_arrays(
        workspace.artefact("index", subject.name),
        {"valence_arousal": labels.astype(np.float32), "labelled": labelled, "time_s": native_s},
    )
    detected = ~np.isin(np.arange(STEPS), UNSEEN)
    jpeg, offset = pack_jpegs(frames)
    write_arrays(
        workspace.artefact("decode", subject.video),
        {"jpeg": jpeg, "jpeg_offset": offset, "time_s": time_s},
        fps_hz=FPS_HZ,
    )
    jpeg, offset = pack_jpegs([crop_face(frames[k], FACE, 3) for k in np.flatnonzero(detected)])
    write_arrays(
        workspace.artefact("faces", subject.name),
        {
            "box_xyxy": np.where(detected[:, None], FACE, np.nan).astype(np.float32),
            "detected": detected,
            "crop_index": reuse_last(detected),
            "jpeg": jpeg,
            "jpeg_offset": offset,
            "time_s": time_s,
        },
        fps_hz=FPS_HZ,
    )


def picture(valence: float, arousal: float) -> np.ndarray:
    """A wall, and a face that tells."""
    image = np.full((90, 80, 3), 128, np.uint8)
    left, top, right, bottom = FACE.astype(int)
    level = 128 + 70 * valence
    image[top:bottom, left:right] = [level + 55 * arousal, level, level - 55 * arousal]
    return image
