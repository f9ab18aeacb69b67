"""Watches the processes of a run of the pipeline: memory, open files, processor time, and zombies."""

import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil

EVERY_S = 0.25
LONG = 5  # samples of the first part, and of the last, for a process to be judged
SLACK_BYTES, SLACK_FILES = 40 << 20, 8


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
        self.cores_s: dict[tuple[str, str, int], float] = {}
        """Likewise, processor time up to the last look."""
        self.zombies: dict[int, int] = defaultdict(int)
        """Samples at which a process had ended and its status was not yet collected."""
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
        memory, times = process.memory_info(), process.cpu_times()
        sample = Sample(done, memory.rss - memory.shared, process.num_fds())
        key = ("" if role == "dvc" else stage, role, process.pid)
        self.seen[key].append(sample)
        self.cores_s[key] = times.user + times.system

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


def growths(series: list[Sample], units: int, of: Callable[[Sequence[float]], float] = max) -> Iterator[str]:
    """What grows while a process does the units; "" where nothing does.

    A stage that does several things to every video does one after the other, and loads what it needs for each:
    so every round of the videos is judged by itself, from its first tenth to its last video.

    Args:
        series: looks at one process, in their order.
        units: of a round.
        of: what is compared of the looks of a part. The most they show, where the units are alike; where their
            lengths differ, the least: the most tells of the longest video.
    """
    for first in range(0, max(sample.done for sample in series), units):
        early = [s for s in series if 0.1 * units <= s.done - first <= 0.4 * units]
        late = [s for s in series if 0.7 * units <= s.done - first < 0.95 * units]
        if min(len(early), len(late)) >= LONG:
            memory = int(of([s.own_bytes for s in late]) - of([s.own_bytes for s in early]))
            files = int(of([s.files for s in late]) - of([s.files for s in early]))
            yield f"{memory >> 20} MiB, {files} files" if memory > SLACK_BYTES or files > SLACK_FILES else ""


def tell(observer: Observer) -> None:
    """Own memory and open files of every process that was there for a while, at tenths of its life."""
    for (stage, role, _), series in observer.seen.items():
        if len(series) >= LONG:
            tenths = [series[k * (len(series) - 1) // 10] for k in range(1, 11)]
            memory, files = ([f"{s.own_bytes >> 20}" for s in tenths], [str(s.files) for s in tenths])
            print(f"{stage} {role}: MiB {' '.join(memory)}; files {' '.join(files)}")
    spent: dict[str, float] = defaultdict(float)
    for (stage, _, _), cores_s in observer.cores_s.items():
        spent[stage or "dvc"] += cores_s
    print(f"processor seconds: {', '.join(f'{stage} {cores_s:.0f}' for stage, cores_s in spent.items())}")
    print(f"zombies: {[looks for looks in observer.zombies.values() if looks > 1]} looks")
