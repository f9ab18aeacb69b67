"""What a stage took is on record, whoever else writes there and whatever was cut short."""

import json
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stages.core.artefacts import write_arrays
from stages.engine.runlog import RUNS, Cost, Run, Stopwatch, append, extent, history

RUN = Run(
    "faces", "find_faces", "2024-05-01T10:00:00+00:00", 10.0, 20.0, 2, 1, 0, 250, 50.0, 300.0, "2 here", "a"
)


def test_sums_of_a_run() -> None:
    watch = Stopwatch("faces", "find_faces", "2 here")
    watch.add(Cost(work_s=2.0, peak_mb=1e6, frames=100, media_s=20.0))
    watch.add(Cost(work_s=3.0, peak_mb=5.0, frames=150, media_s=30.0))
    watch.add(Cost(work_s=0.5, peak_mb=5.0), failed=True)
    (run,) = watch.stop(remembered=7)
    assert (run.computed, run.remembered, run.failed) == (2, 7, 1)
    assert (run.work_s, run.frames, run.media_s, run.peak_mb) == (5.5, 250, 50.0, 1e6)
    assert 0 <= run.wall_s < 1


def test_entries_computed_at_the_same_time_share_its_length() -> None:
    watch = Stopwatch("finetune", "train", "2 here")
    watch.add(Cost(work_s=3.0, peak_mb=5.0), "b1")
    time.sleep(0.04)
    watch.add(Cost(work_s=1.0, peak_mb=5.0), "b4", failed=True)
    runs = {run.entry: run for run in watch.stop(remembered=0)}
    assert {name: (run.computed, run.failed, run.work_s) for name, run in runs.items()} == {
        "b1": (1, 0, 3.0),
        "b4": (0, 1, 1.0),
    }
    assert runs["b1"].wall_s == pytest.approx(3 * runs["b4"].wall_s, abs=0.004)
    assert runs["b1"].wall_s >= 0.03


def test_rates() -> None:
    assert (RUN.frames_per_s, RUN.real_time) == (25.0, 5.0)
    training = replace(RUN, frames=0, media_s=0.0)
    assert (training.frames_per_s, training.real_time) == (None, None)


def test_runs_come_back_in_the_order_of_time_by_stage_and_work(tmp_path: Path) -> None:
    later = replace(RUN, began="2024-05-02T10:00:00+00:00", wall_s=5.0)
    other = replace(RUN, work="gather", began="2024-04-01T10:00:00+00:00")
    for run in (later, RUN, other, replace(RUN, stage="mouth")):
        append(tmp_path, run)
    runs = history(tmp_path)
    assert next(iter(runs)) == ("faces", "gather")
    assert runs["faces", "find_faces"] == [RUN, later]
    assert runs["mouth", "find_faces"] == [replace(RUN, stage="mouth")]


def test_entries_of_a_matrix_have_histories_of_their_own(tmp_path: Path) -> None:
    small, large = (replace(RUN, stage="finetune", entry=entry) for entry in ("b1", "b4"))
    for run in (small, large, small):
        append(tmp_path, run)
    runs = history(tmp_path)
    assert {label: len(found) for (label, _), found in runs.items()} == {"finetune@b1": 2, "finetune@b4": 1}


def test_a_line_of_an_earlier_version_is_still_read(tmp_path: Path) -> None:
    line = asdict(RUN)
    del line["entry"]
    (tmp_path / RUNS).mkdir()
    (tmp_path / RUNS / "faces.jsonl").write_text(json.dumps(line))
    assert history(tmp_path)["faces", "find_faces"] == [RUN]


def test_no_log_yet(tmp_path: Path) -> None:
    assert history(tmp_path) == {}


def test_what_a_full_disk_cut_short_takes_nothing_with_it(tmp_path: Path) -> None:
    append(tmp_path, RUN)
    with (tmp_path / RUNS / "faces.jsonl").open("ab") as log:
        log.write(b'\n{"stage": "faces", "wor')
    append(tmp_path, RUN)
    assert history(tmp_path)["faces", "find_faces"] == [RUN, RUN]


def test_writers_at_the_same_time_do_not_mix(tmp_path: Path) -> None:
    threads = [threading.Thread(target=lambda: [append(tmp_path, RUN) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert history(tmp_path)["faces", "find_faces"] == [RUN] * 200


def test_a_log_that_cannot_be_written_fails_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / RUNS).write_text("a file where the folder should be")
    append(tmp_path, RUN)
    assert capsys.readouterr().err.startswith("faces: the run log can't be written: ")


def test_extent_of_what_was_written(tmp_path: Path) -> None:
    short, long, wave, text = (tmp_path / name for name in ("short.h5", "long.h5", "a.wav", "notes.json"))
    write_arrays(short, {"time_s": np.arange(3) / 5})
    write_arrays(long, {"time_s": np.arange(50) / 5})
    soundfile.write(wave, np.zeros(48_000), 16_000)
    text.write_text("{}")
    assert extent({"a": short, "b": long, "sound": wave, "notes": text}) == (50, pytest.approx(10.0))
    assert extent({"sound": wave}) == (0, 3.0)
    soundfile.write(wave.with_suffix(".flac"), np.zeros((24_000, 2)), 16_000)
    assert extent({"sound": wave.with_suffix(".flac")}) == (0, 1.5)
    assert extent({"notes": text, "gone": tmp_path / "gone.h5"}) == (0, 0.0)
    write_arrays(short, {"x": np.arange(3)})
    assert extent({"a": short}) == (0, 0.0)


def test_peak_memory_is_this_process_s_own_and_grows_with_what_is_held(repository: Path) -> None:
    """Not that of the process it was forked from, which may be larger."""
    script = """
import numpy as np
from stages.engine.runlog import peak_mb
before = peak_mb()
np.ones(15_000_000).sum()  # 120 MB
print(before, peak_mb())
"""
    held = np.ones(30_000_000)  # 240 MB in the parent
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    before, after = map(float, done.stdout.split())
    assert before < 150 < after < 300
    assert held.sum() == 30_000_000
