"""A finished run in miniature: the figures that the repository holds, with made-up traces of the same subjects."""

import csv
import shutil
from pathlib import Path

import numpy as np

from stages.core.artefacts import read_json, write_arrays, write_json
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.systems import FUSIONS, OUT_OF_FOLD, SYSTEMS
from stages.media.jpeg import pack_jpegs

FRAMES, FPS_HZ, GRID_HZ = 60, 10, 5
HOSTILE = "\"><script>alert(1)<script> onload='alert(2)' & <title> ☃"
"""A subject's name: all that a file can be called."""


def write_run(root: Path, repository: Path, video: Path) -> Workspace:
    """What the report reads, below an empty folder; every subject is in the same video file."""
    workspace = Workspace(root)
    shutil.copytree(
        repository / "metrics", root / "metrics", ignore=shutil.ignore_patterns("report", "plots")
    )
    for training in (repository / "metrics").rglob(
        "plots"
    ):  # the curves; metrics/plots itself is the report's
        if training.parent != repository / "metrics":
            shutil.copytree(training, root / training.relative_to(repository))
    names = _name_one_hostile(workspace.metrics("per_video_all.csv"))
    subjects = [Subject(name, name, None, "validation") for name in names]
    subjects += [Subject(f"train {k}", f"train {k}", None, "train") for k in range(3)]
    videos = {subject.video: str(video) for subject in subjects}
    workspace.write_corpus(Corpus(subjects, videos), source="data/sample/corpus")
    for k, subject in enumerate(subjects):
        _write_subject(workspace, subject, np.random.default_rng(k))
    notes = read_json(workspace.metrics("notes.json"))
    hostile = {"stage": "index", "subject": None, "file": "<b>a&b.mp4", "problem": "</script>", "remedy": '"'}
    like = notes[0] if notes else {"quarantined": True}
    write_json(workspace.metrics("notes.json"), [*notes, like | hostile])
    return workspace


def _name_one_hostile(scores: Path) -> list[str]:
    """Give the first subject another name; all names."""
    with scores.open(newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    first = min(row[0] for row in rows)
    renamed = [[HOSTILE if row[0] == first else row[0], *row[1:]] for row in rows]
    with scores.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([head, *renamed])
    return sorted({row[0] for row in renamed})


def _write_subject(workspace: Workspace, subject: Subject, rng: np.random.Generator) -> None:
    time_s, grid_s = np.arange(FRAMES) / FPS_HZ, np.arange(FRAMES * GRID_HZ // FPS_HZ) / GRID_HZ
    truth = np.column_stack([np.sin(time_s + rng.uniform(0, 6)), np.cos(time_s)]).astype(np.float32) * 0.8
    traces = [f"traces/{system}{OUT_OF_FOLD}" for system in SYSTEMS] + [
        f"fused/{name}{OUT_OF_FOLD}" for name in FUSIONS
    ]
    for folder in traces:
        guess = np.clip(truth + rng.normal(0, 0.15, truth.shape), -1, 1).astype(np.float32)
        write_arrays(workspace.artefact(folder, subject.name), {"time_s": time_s, "valence_arousal": guess})
    truth[10:15] = np.nan
    labels = {"time_s": time_s, "valence_arousal": truth, "labelled": ~np.isnan(truth[:, 0])}
    facts = {"frames": FRAMES, "labelled_frames": FRAMES - 5, "duration_s": FRAMES / FPS_HZ, "width": 160}
    facts |= {"height": 120, "average_rate_hz": float(FPS_HZ), "variable_rate": False, "has_audio": True}
    write_arrays(workspace.artefact("index", subject.name), labels, **facts)
    images = [np.full((96, 96, 3), 255 * k // len(grid_s), np.uint8) for k in range(len(grid_s))]
    jpeg, offset = pack_jpegs(images, quality=60)
    seen, steps = grid_s != 2, np.arange(len(grid_s))
    faces = {"time_s": grid_s, "detected": seen, "jpeg": jpeg, "jpeg_offset": offset, "crop_index": steps}
    faces |= {"others": (steps % 9 == 0).astype(np.uint8), "jump": steps == 7}
    faces["box_xyxy"] = np.tile(np.array([40, 30, 120, 90], np.float32), (len(grid_s), 1))
    write_arrays(workspace.artefact("faces", subject.name), faces, fps_hz=float(GRID_HZ))
    speaking = {"time_s": grid_s, "speaking": grid_s % 2 < 1}
    write_arrays(workspace.artefact("speech", subject.name), speaking, fps_hz=float(GRID_HZ))
    write_arrays(workspace.artefact("decode", subject.video), {"time_s": grid_s}, width=160, height=120)
