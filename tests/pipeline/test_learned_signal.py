"""The system learns from faces and voices, and from nothing else: shown on the sample corpus.

The controls must fail to learn: one sees no face, one is taught by other people's labels, and a plain
regression sees rooms, lengths and looks only.

About the bound of 0.2: validation is short, videos of some ten seconds with few independent ups and downs.
Traces of other videos, which know nothing, reach a CCC on six of them with a standard deviation of 0.14; now
there are twelve, and it is smaller. A model that
has found nothing keeps near the mean and stays well below that; one that has found a leak passes 0.2 soon:
the smallest one met while this test was made, the hairline beside a mask that was too small, gave 0.24.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from stages.core.artefacts import read_arrays, read_facts, read_json, write_arrays
from stages.core.corpus import Subject, Workspace
from stages.core.labels import resample_labels
from stages.core.measures import ccc_per_target
from stages.media.jpeg import pack_jpegs, unpack_jpeg
from stages.media.pictures import frame_files, open_pictures

NOTHING = 0.2
"""|CCC| below this is nothing; see above."""

EPOCHS = {"finetune": 6, "dynamic": 10}
"""These are enough: with faces the static model's CCC passes 0.9, the dynamic one's 0.88. The profile has more."""

MASK_OF_CROP = (0.95, 1.15)
"""Axes of the ellipse over the face in widths and heights of the crop: chin and hairline, which follow jaw
and brows, are under it; hair, wall and clothes are left in the corners."""


PERCEPTION = ("index", "decode", "faces", "mouth", "voice", "speech")
FACE_MODELS = ("pretrain test_resnet", "finetune test_resnet", "embed", "train_dynamic")
THE_REST = (
    "kelm",
    "train_audio v3",
    "predict",
    "train_cross_attention",
    "predict_cross_attention",
    "smooth",
    "fuse",
    "evaluate",
)

RUN_STAGES = """
import importlib, sys
for command in sys.argv[1:]:
    name, *arguments = command.split()
    getattr(importlib.import_module(f"stages.{name}"), name)(*arguments)
"""


def run(workspace: Workspace, *stages: str) -> None:
    """Run stages one after the other in a workspace that holds its own params.yaml."""
    source = Path(__file__).resolve().parents[2]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DVC_")}
    command = (sys.executable, "-c", RUN_STAGES, *stages)
    search = os.pathsep.join(filter(None, (str(source), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        command,
        cwd=workspace.root,
        env=environment | {"PYTHONPATH": search},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def sample_corpus(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout's, where it has been drawn; else one drawn now."""
    if (repository / "data/sample/corpus/annotations/VA_test_set_sample.txt").is_file():  # written last
        return repository / "data/sample/corpus"
    out = tmp_path_factory.mktemp("sample")
    subprocess.run((sys.executable, "-m", "data.sample.generate", "--out", out), cwd=repository, check=True)
    return out / "corpus"


@pytest.fixture(scope="module")
def params(repository: Path, sample_corpus: Path) -> str:
    """The sample profile with fewer epochs."""
    content = yaml.safe_load((repository / "profiles" / "sample.yaml").read_text(encoding="utf-8"))
    content["index"]["corpus"] = str(sample_corpus)
    for section, epochs in EPOCHS.items():
        content[section]["optimisation"] |= {"epochs": epochs, "patience": epochs}
    return yaml.safe_dump(content, sort_keys=False)


@pytest.fixture(scope="module")
def seen(params: str, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Faces and voices of the corpus; nothing has learnt from them yet."""
    workspace = beside(None, tmp_path_factory.mktemp("seen"), params)
    run(workspace, *PERCEPTION)
    return workspace


def beside(seen: Workspace | None, root: Path, params: str, *shared: str) -> Workspace:
    """Another workspace, which shares the results of some stages."""
    (root / "params.yaml").write_text(params, encoding="utf-8")
    (root / "data").mkdir()
    for stage in shared:
        assert seen is not None
        (root / "data" / stage).symlink_to(seen.folder(stage))
    return Workspace(root)


def truth_on_grid(workspace: Workspace, subject: Subject, grid_s: np.ndarray) -> np.ndarray:
    """(T, 2) labels at these times; NaN where there is none."""
    labels = read_arrays(workspace.artefact("index", subject.name))
    return resample_labels(labels["valence_arousal"], labels["labelled"], labels["time_s"], grid_s)[0]


def static_ccc(workspace: Workspace) -> np.ndarray:
    """(2,) of the static model by itself on the faces of validation."""
    truth, estimates = [], []
    for subject in workspace.corpus().of("validation"):
        track = read_arrays(workspace.artefact("embeddings", subject.name), "valence_arousal", "time_s")
        truth.append(truth_on_grid(workspace, subject, track["time_s"]))
        estimates.append(track["valence_arousal"])
    return ccc_per_target(np.concatenate(truth), np.concatenate(estimates))


def dynamic_ccc(workspace: Workspace) -> np.ndarray:
    """(2,) of the dynamic model on whole validation videos, by the weights that were best there."""
    best = read_json(workspace.metrics("dynamic/metrics.json"))["best"]
    return np.array([best[f"{target}_ccc"]["value"] for target in ("valence", "arousal")])


@pytest.mark.slow
def test_faces_and_voices_teach_every_system(seen: Workspace, params: str, tmp_path: Path) -> None:
    workspace = beside(seen, tmp_path, params, *PERCEPTION)
    run(workspace, *FACE_MODELS, *THE_REST)
    scores = read_json(workspace.metrics("evaluate.json"))

    def ccc(system: str, protocol: str, target: str) -> float:
        value: float = scores["systems"][system][protocol]["ccc"][target]["value"]
        return value

    assert ccc("dynamic", "out_of_fold", "mean") > 0.6
    assert ccc(scores["best"], "out_of_fold", "mean") > 0.6
    for target in ("valence", "arousal"):
        assert ccc("dynamic", "out_of_fold", target) > 0.2
        assert ccc("kelm", "out_of_fold", target) > 0.2
    assert ccc("audio", "out_of_fold", "arousal") > 0.2, "valence is weak in the drawn voices"
    assert static_ccc(workspace).min() > 0.6
    # The controls below take this shortcut to the same figure.
    expected = [ccc("dynamic", "as_published", target) for target in ("valence", "arousal")]
    assert dynamic_ccc(workspace) == pytest.approx(expected, abs=0.01)


def mask_faces(seen: Workspace, workspace: Workspace) -> None:
    """Paint over every face in the mean colour of its track, which is the same from frame to frame."""
    for subject in seen.corpus().subjects:
        path = seen.artefact("faces", subject.name)
        track = read_arrays(path)
        offset = track["jpeg_offset"]
        crops = [unpack_jpeg(track["jpeg"], offset, i) for i in range(len(offset) - 1)]
        colour = np.mean([crop.mean(axis=(0, 1)) for crop in crops], axis=0)
        for crop in crops:
            size = np.array(crop.shape[1::-1])
            axes = size * MASK_OF_CROP
            cv2.ellipse(crop, (tuple(size / 2), tuple(axes), 0), colour.tolist(), cv2.FILLED)
        track["jpeg"], track["jpeg_offset"] = pack_jpegs(crops)
        write_arrays(workspace.artefact("faces", subject.name), track, **read_facts(path))


@pytest.mark.slow
def test_without_faces_nothing_is_learnt(seen: Workspace, params: str, tmp_path: Path) -> None:
    """Hair, walls and clothes give nothing away, in training or in validation."""
    workspace = beside(seen, tmp_path, params, "index")
    mask_faces(seen, workspace)
    run(workspace, *FACE_MODELS)
    assert np.abs(static_ccc(workspace)).max() < NOTHING
    assert np.abs(dynamic_ccc(workspace)).max() < NOTHING


def shuffle_labels(seen: Workspace, workspace: Workspace, seed: int) -> None:
    """Every training subject gets the labels of one in another video, stretched to its own length."""
    for path in seen.folder("index").iterdir():
        workspace.folder("index").mkdir(parents=True, exist_ok=True)
        (workspace.folder("index") / path.name).write_bytes(path.read_bytes())
    subjects = seen.corpus().of("train")
    for subject, other in zip(subjects, deranged(subjects, seed), strict=True):
        path = seen.artefact("index", subject.name)
        own, foreign = read_arrays(path), read_arrays(seen.artefact("index", other.name))
        row = np.linspace(0, len(foreign["time_s"]) - 1, len(own["time_s"])).round().astype(int)
        labels = {name: foreign[name][row] for name in ("valence_arousal", "labelled")}
        write_arrays(workspace.artefact("index", subject.name), own | labels, **read_facts(path))


def deranged(subjects: list[Subject], seed: int) -> list[Subject]:
    """The subjects in an order that leaves nobody in a video of their own."""
    rng = np.random.default_rng(seed)
    while True:
        others = [subjects[place] for place in rng.permutation(len(subjects))]
        if all(one.video != other.video for one, other in zip(subjects, others, strict=True)):
            return others


@pytest.mark.slow
def test_from_the_labels_of_others_nothing_is_learnt(seen: Workspace, params: str, tmp_path: Path) -> None:
    """Nothing leaks from validation into training, and scoring doesn't flatter."""
    workspace = beside(seen, tmp_path, params, "faces")
    shuffle_labels(seen, workspace, seed=0)
    run(workspace, *FACE_MODELS)
    assert np.abs(static_ccc(workspace)).max() < NOTHING
    assert np.abs(dynamic_ccc(workspace)).max() < NOTHING


def foreseen(features: np.ndarray, targets: np.ndarray, video: Sequence[str]) -> np.ndarray:
    """(2,) CCC of ridge regression, every video predicted from the others. (N, D), (N, 2), N names."""
    predicted = np.empty_like(targets)
    videos = np.array(video)
    for name in np.unique(videos):
        others = videos != name
        centre, spread = features[others].mean(axis=0), features[others].std(axis=0) + 1e-9
        known, asked = (features[others] - centre) / spread, (features[~others] - centre) / spread
        mean = targets[others].mean(axis=0)
        gram = known.T @ known + 0.1 * len(known) * np.eye(known.shape[1])
        predicted[~others] = asked @ np.linalg.solve(gram, known.T @ (targets[others] - mean)) + mean
    return ccc_per_target(targets, predicted)


def scenery(workspace: Workspace, subject: Subject) -> np.ndarray:
    """(T, 7): mean colour and contrast of all that is no head, and the length of the clip in seconds."""
    boxes = read_arrays(workspace.artefact("faces", subject.name), "box_xyxy")["box_xyxy"]
    files = frame_files(workspace, workspace.corpus(), subject.video)
    end_s = read_arrays(files["frames"], "time_s")["time_s"][-1]

    def look(step: int, frame: np.ndarray) -> list[float]:
        left, top, right, bottom = boxes[step]
        scene = np.ones(frame.shape[:2], bool)
        if np.isfinite(left):  # hair and neck are within half a face of the box
            x, y = (right - left) / 2, (bottom - top) / 2
            scene[max(0, int(top - y)) : int(bottom + y), max(0, int(left - x)) : int(right + x)] = False
        pixels = frame[scene]
        return [*pixels.mean(axis=0), *pixels.std(axis=0), end_s]

    with open_pictures(files["frames"], files.get("video")) as pictures:
        return np.concatenate(list(pictures.batches(np.arange(len(boxes)), look, 16)))


@pytest.mark.slow
def test_rooms_and_lengths_foretell_nothing(seen: Workspace) -> None:
    features, targets, video = [], [], []
    for subject in seen.corpus().of("train", "validation"):
        found = scenery(seen, subject)
        grid_s = read_arrays(seen.artefact("faces", subject.name), "time_s")["time_s"]
        labels = truth_on_grid(seen, subject, grid_s)
        known = ~np.isnan(labels).any(axis=1)
        features.append(found[known])
        targets.append(labels[known].astype(float))
        video += [subject.video] * int(known.sum())
    assert np.abs(foreseen(np.concatenate(features), np.concatenate(targets), video)).max() < NOTHING
    changes = np.concatenate([part - part.mean(axis=0) for part in features])
    assert np.abs(foreseen(changes, np.concatenate(targets), video)).max() < NOTHING


@pytest.fixture(scope="module")
def cast(repository: Path) -> Iterator[list[Any]]:
    """The clips of the sample corpus as they are planned, before anything is drawn."""
    sys.path.insert(0, str(repository))  # the generator is no part of the installed package
    try:
        from data.sample.cast import plan
        from data.sample.settings import load_settings

        yield plan(load_settings(repository / "data" / "sample" / "params.yaml"))
    finally:
        sys.path.remove(str(repository))


TRAITS: dict[str, Callable[[Any, Any], Sequence[float]]] = {
    "the wall": lambda clip, role: clip.wall_rgb,
    "length, noise and frame": lambda clip, role: (
        clip.duration_s,
        clip.snr_db,
        float(clip.rate_hz or 0),
        clip.frame_px[0],
    ),
    "the looks": lambda clip, role: role.looks.numbers(),
    "all of it": lambda clip, role: (*clip.wall_rgb, clip.duration_s, clip.snr_db, *role.looks.numbers()),
}


@pytest.mark.parametrize("trait", TRAITS)
def test_nothing_planned_about_a_clip_foretells_its_mood(cast: list[Any], trait: str) -> None:
    people = [(clip, role) for clip in cast for role in clip.roles]
    features = np.array([TRAITS[trait](clip, role) for clip, role in people], float)
    moods = np.array([role.mean for _, role in people])
    videos = [clip.name for clip, _ in people]
    assert foreseen(features, moods, videos).max() < NOTHING  # a low one is chance turned round: no cue
    told = foreseen(np.column_stack([features, moods]), moods, videos)
    assert told.min() > 0.6, "it would have been found"
