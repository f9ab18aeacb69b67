"""Many tiny videos through the whole pipeline: memory and open files flat, no zombie, a log one can read.

    VALARO_HAUL_VIDEOS=200 pytest -rP tests/pipeline/test_long_haul.py

tells what every process took (default: 1000 videos, five to ten minutes on two cores).
"""

import os
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from stages.core.artefacts import read_json
from stages.engine.runlog import history

VIDEOS = int(os.environ.get("VALARO_HAUL_VIDEOS", "1000"))
FILMS = 20
CLIP_S = tuple(k / 25 for k in range(30))
SIDE_PX = 96
EVERY_S = 0.25
LONG = 5  # samples of the first part, and of the last, for a process to be judged
BURIED_S = 10  # by then somebody has asked for the status of a process that ended
SLACK_BYTES, SLACK_FILES = 40 << 20, 8
LINES_PER_STAGE, LONGEST_LINE = 16, 300


class Sample(NamedTuple):
    """One look at a process of the run."""

    done: int
    """Units of the stage that are finished."""
    own_bytes: int
    """Memory that it doesn't share: mapped files are the kernel's to drop."""
    files: int


class Observer(threading.Thread):
    """Looks at every process of a session now and then."""

    def __init__(self, project: Any, session: int) -> None:
        super().__init__(daemon=True)
        self.seen: dict[tuple[str, str, int], list[Sample]] = defaultdict(list)
        """By stage (dvc's: none), role and process."""
        self.zombies: dict[int, int] = defaultdict(int)
        """Looks at which a process had ended and nobody had asked for its status."""
        self._project, self._session = project, session
        self._ending = threading.Event()

    def run(self) -> None:
        while not self._ending.wait(EVERY_S):
            stage = self._stage()
            done = len(self._project.remembered(stage)) if stage else 0
            for process in psutil.process_iter():
                try:
                    if os.getsid(process.pid) == self._session:
                        self._look(process, stage, done)
                except (OSError, psutil.Error):
                    continue

    def _stage(self) -> str:
        """The stage at work; "" between two."""
        words = [w for p in self._project.members(self._session) for w in words_of(p)]
        return next((word.removeprefix("stages.") for word in words if word.startswith("stages.")), "")

    def _look(self, process: psutil.Process, stage: str, done: int) -> None:
        if process.status() == psutil.STATUS_ZOMBIE:
            self.zombies[process.pid] += 1
            return
        words = process.cmdline()
        if f"stages.{stage}" in words:
            role = "stage"
        elif "--process-name" in words:  # as joblib starts its workers
            role = "worker"
        elif any(Path(word).name == "dvc" for word in words[:2]):
            role = "dvc"
        else:
            return
        memory = process.memory_info()
        sample = Sample(done, memory.rss - memory.shared, process.num_fds())
        self.seen["" if role == "dvc" else stage, role, process.pid].append(sample)

    def end(self) -> None:
        """Look no more."""
        self._ending.set()
        self.join()


def words_of(process: psutil.Process) -> list[str]:
    """Its command line, if it is still there."""
    try:
        words: list[str] = process.cmdline()
    except psutil.Error:
        words = []
    return words


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


def growths(series: list[Sample]) -> Iterator[str]:
    """What grows while a process does the units; "" where nothing does.

    A stage that does several things to every video does one after the other, and loads what it needs for each:
    so every round of the videos is judged by itself, from its first tenth to its last video.
    """
    for first in range(0, max(sample.done for sample in series), VIDEOS):
        early = [s for s in series if 0.1 * VIDEOS <= s.done - first <= 0.4 * VIDEOS]
        late = [s for s in series if 0.7 * VIDEOS <= s.done - first < VIDEOS]
        if min(len(early), len(late)) >= LONG:
            memory = max(s.own_bytes for s in late) - max(s.own_bytes for s in early)
            files = max(s.files for s in late) - max(s.files for s in early)
            yield f"{memory >> 20} MiB, {files} files" if memory > SLACK_BYTES or files > SLACK_FILES else ""


def tell(observer: Observer) -> None:
    """Own memory and open files of every process that was there for a while, at tenths of its life."""
    for (stage, role, _), series in observer.seen.items():
        if len(series) >= LONG:
            tenths = [series[k * (len(series) - 1) // 10] for k in range(1, 11)]
            memory, files = ([f"{s.own_bytes >> 20}" for s in tenths], [str(s.files) for s in tenths])
            print(f"{stage} {role}: MiB {' '.join(memory)}; files {' '.join(files)}")
    print(f"zombies: {[looks for looks in observer.zombies.values() if looks > 1]} looks")


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
    ours = {key: series for key, series in observer.seen.items() if key[1] != "dvc"}
    judged = [(key, grown) for key, series in ours.items() for grown in growths(series)]
    assert judged, "no process was there for long enough"
    assert [one for one in judged if one[1]] == []
    assert [pid for pid, looks in observer.zombies.items() if looks * EVERY_S > BURIED_S] == []
    crowd.wait_until(lambda: not crowd.members(run.pid), "a process outlives its dvc")
    lines = text.splitlines()
    assert "Traceback" not in text
    assert len(lines) < LINES_PER_STAGE * text.count("Running stage")
    assert max(map(len, lines)) < LONGEST_LINE
    assert len(read_json(crowd / "data/index/corpus.json")["subjects"]) == VIDEOS
    assert len(list((crowd / "data/embeddings").glob("*.h5"))) == VIDEOS
