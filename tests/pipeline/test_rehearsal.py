"""A corpus of Aff-Wild2's size through the whole pipeline, on the smallest models, before anybody has the real one.

    VALARO_REHEARSAL_SHARE=0.05 pytest -rP tests/pipeline/test_rehearsal.py

runs all 578 videos at a twentieth of their lengths; without the variable they have the real ones, 27 hours.
`-rP` prints what every stage took, and the memory of every process.

Measured on 2026-11-27, two cores of an AMD EPYC, in seconds of one core:

    share        all  index  decode  faces  mouth  voice  train_audio  predict  fuse  degrade  intervals  others
    .05          550      9      20     45     34     17           16       31    40       59        102     175
    .25          800     13      57     82    111     53           41       45    51       62         90     195
    1           1660     25     188    206    395    172          130       72    66       82       114     210

To lay the corpus took 60 more at .25. At 1 the whole took 32 minutes, a few of them shared with other work, and
5.1 GB of disk; the submission had the form's rows.

Memory was measured again on 2026-11-28, at .05 and at 1, on the same machine but busy with other work (17 and 53
minutes); both runs passed. At 1 the largest process had 1116 MB (train_audio, in PyTorch), then finetune 1010 and
fuse 839; of the stages that work video by video degrade had 421, predict 301, embed 241, voice 200, and the others
less. By this test's rule no process grows with the videos. While the audio models process the recordings, predict
stays at 150 MiB at .05, and at 179 to 185 at 1. When they took 16 windows at a time it rose to 205 and to 404:
OpenVINO keeps the memory of the largest batch so far, and glibc does not give all of such large blocks back.
"""

import csv
import os
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from stages.core.artefacts import files_of, read_json
from stages.engine.runlog import history
from tests.pipeline.observer import Observer, growths, tell
from tests.pipeline.real_size import ANNOTATED, FORM, LIST, ROWS, VIDEOS, Clip, lay, plan_clips

SHARE = float(os.environ.get("VALARO_REHEARSAL_SHARE", "1"))
SHORT = 0.01
"""Share of the lengths that is enough to see whether everything is found."""
SUBJECTS = sum(ANNOTATED.values())
MOST_MB = 3000
"""Of any process: what the machines have that train this."""
WINDOW_S = 8

SETTINGS: dict[str, Any] = {
    "index": {"videos": ".", "annotations": ".", "lists": ".", "test_list": "auto"},
    "submission": {"sample_file": "auto"},
    # One step a second and sound of 8 kHz: a quarter of the time and of the disk; rows are all there.
    "decode": {"fps_hz": 1, "audio_rate_hz": 8000},
    "speech": {"min_run_s": 2.0, "window_s": WINDOW_S, "hop_s": WINDOW_S, "inference_hop_s": WINDOW_S}
    | {"max_closure_s": 2.0, "open_window_s": 8.0},
    "finetune": {"max_frames_per_epoch": 2000},
    "dynamic": {"window_s": WINDOW_S, "batch_size": 64},
    "kelm": {"window_s": WINDOW_S},
    "cross_attention": {"window_s": WINDOW_S, "batch_size": 64},
    "fuse": {"rows_hz": 1},
    "compute": {"jobs": 2},
}


def ready(workspace: Any, share: float) -> list[Clip]:
    """Lay the corpus; the parameters say nothing of it that isn't in the profiles for Aff-Wild2."""
    clips = lay(workspace / "corpus", share)
    workspace.set(SETTINGS)
    workspace.environment = workspace.environment | {"OMP_NUM_THREADS": "1"}
    return clips


def test_the_corpus_has_the_real_counts() -> None:
    clips = plan_clips()
    assert len(clips) == len({clip.name for clip in clips}) == VIDEOS
    for split, rows in ROWS.items():
        of_split = [clip for clip in clips if clip.split == split]
        assert sum(len(clip.subjects) for clip in of_split) == ANNOTATED[split]
        assert sum(len(clip.subjects) * clip.rows for clip in of_split) == rows
    assert sum(len(clip.subjects) > 1 for clip in clips) == 16


@pytest.mark.long
def test_everything_is_found_and_planned_before_anything_runs(workspace: Any) -> None:
    clips = ready(workspace, SHORT)
    told = workspace.run("valaro", "doctor")
    found = "356 / 76 / 162 annotations, 578 videos (6th ABAW)"
    assert found in told
    assert f"test list: {LIST}; sample submission: {FORM}" in told
    assert "missing:" not in told
    told = workspace.stage("index")
    assert f"index: {found}" in told
    assert "annotations usable" not in told
    assert read_json(workspace / "data/index/notes.json") == []
    index = read_json(workspace / "data/index/corpus.json")
    people = Counter(subject["video"] for subject in index["subjects"])
    assert people == {clip.name: len(clip.subjects) for clip in clips}
    assert {facts["frames"] for facts in index["facts"].values()} == {clip.frames for clip in clips}
    parts = {subject["recording"] for subject in index["subjects"] if subject["name"].startswith("video86_")}
    assert len(parts) == 1
    hours = sum(clip.frames for clip in clips) / 30 / 3600
    assert re.search(rf"corpus: \S+: 578 videos, {hours:.1f} h", workspace.run("valaro", "plan"))


@pytest.mark.slow
@pytest.mark.timeout(12 * 3600)
def test_from_the_first_stage_to_the_submission(workspace: Any) -> None:
    clips = ready(workspace, SHARE)
    log, began = workspace / "output", time.monotonic()
    with log.open("w") as output, workspace.start("dvc", "repro", stdout=output) as run:
        observer = Observer(workspace, run.pid)
        observer.start()
        status = run.wait()
        observer.end()
    text = log.read_text()
    filled = sum(path.stat().st_size for path in files_of(workspace / "data")) / 1e9
    print(f"{SHARE:g} of the lengths in {(time.monotonic() - began) / 60:.0f} min, data: {filled:.1f} GB")
    runs = [entries[-1] for entries in history(workspace / ".valaro").values()]
    for entry in runs:
        print(
            f"{entry.label} {entry.work}: {entry.computed} computed, {entry.wall_s:.0f} s, {entry.peak_mb:.0f} MB"
        )
    tell(observer)
    assert status == 0, text[-4000:]
    assert_rows_are_the_samples(workspace.folder, clips)
    assert {entry.label: entry.peak_mb for entry in runs if entry.peak_mb > MOST_MB} == {}
    judged = [
        (key, grown)
        for key, series in observer.seen.items()
        if key[1] != "dvc"
        for grown in growths(series, SUBJECTS, of=min)
    ]
    assert judged, "no process was there for long enough"
    assert [one for one in judged if one[1]] == []


def assert_rows_are_the_samples(folder: Path, clips: list[Clip]) -> None:
    """The submission has the sample's rows in the sample's order, and a prediction in every row."""
    with (
        (folder / "data/submission/submission.csv").open() as ours,
        (folder / "corpus" / FORM).open() as form,
    ):
        count = 0
        for row, expected in zip(csv.reader(ours), csv.reader(form), strict=True):
            assert row[0] == expected[0]
            count += 1
    assert count - 1 == sum(clip.rows * len(clip.subjects) for clip in clips if clip.split == "test")
    assert read_json(folder / "data/submission/notes.json") == []
