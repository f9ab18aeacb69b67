"""Many tiny videos through the whole pipeline: memory and open files flat, no zombie, a log one can read.

    VALARO_HAUL_VIDEOS=200 pytest -rP tests/pipeline/test_long_haul.py

tells what every process took (default: 1000 videos, five to ten minutes on two cores).
"""

import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.core.artefacts import read_json
from stages.engine.runlog import history
from tests.pipeline.observer import EVERY_S, Observer, growths, tell

VIDEOS = int(os.environ.get("VALARO_HAUL_VIDEOS", "1000"))
FILMS = 20
CLIP_S = tuple(k / 25 for k in range(40))
SIDE_PX = 96
BURIED_S = 10  # by then somebody has asked for the status of a process that ended
LINES_PER_STAGE, LONGEST_LINE = 16, 300


@pytest.fixture
def crowd(workspace: Any, film: Callable[..., Path], tmp_path: Path) -> Any:
    """A repository with many videos, in which nothing has run.

    They show some films again and again; what tells their files apart is a box that players skip.
    """
    films = [
        film(f"film{k}.mp4", hue=9 * k, times_s=CLIP_S, side_px=SIDE_PX).read_bytes() for k in range(FILMS)
    ]
    for k in range(VIDEOS):
        clip = tmp_path / f"v{k:04d}.mp4"
        clip.write_bytes(films[k % FILMS] + struct.pack(">I4sQ", 16, b"free", k))
        workspace.lay(clip, "Validation" if k % 4 == 3 else "Train", rows=len(CLIP_S))
        clip.unlink()
    workspace.set({"index": {"test_list": None}, "compute": {"jobs": 2}})
    # Networks as small as these take longer to share their work than to do it.
    workspace.environment = workspace.environment | {"OMP_NUM_THREADS": "1"}
    return workspace


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_many_videos(crowd: Any) -> None:
    log = crowd / "output"
    began = time.monotonic()
    with log.open("w") as output, crowd.start("dvc", "repro", stdout=output) as run:
        observer = Observer(crowd, run.pid)
        observer.start()
        status = run.wait()
        observer.end()
    text = log.read_text()
    print(f"{VIDEOS} videos in {time.monotonic() - began:.0f} s, {len(text.splitlines())} lines")
    tell(observer)
    for (stage, _), runs in history(crowd / ".valaro").items():
        print(f"{stage}: {runs[-1].computed} computed, {runs[-1].wall_s:.0f} s, {runs[-1].peak_mb:.0f} MB")
    assert status == 0, text[-4000:]
    stages = {key: series for key, series in observer.seen.items() if key[1] != "dvc"}
    judged = [(key, grown) for key, series in stages.items() for grown in growths(series, VIDEOS)]
    assert judged, "no process was there for long enough"
    assert [one for one in judged if one[1]] == []
    assert [pid for pid, looks in observer.zombies.items() if looks * EVERY_S > BURIED_S] == []
    crowd.wait_until(lambda: not crowd.members(run.pid), "a process outlives its dvc")
    lines = text.splitlines()
    assert "Traceback" not in text
    assert len(lines) < LINES_PER_STAGE * text.count("Running stage")
    ours = [line for line in lines if not line.startswith("\tgit add ")]  # DVC names every .gitignore
    assert max(map(len, ours)) < LONGEST_LINE
    assert len(read_json(crowd / "data/index/corpus.json")["subjects"]) == VIDEOS
    assert len(list((crowd / "data/embeddings").glob("*.h5"))) == VIDEOS
