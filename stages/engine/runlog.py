"""The run log: speed and memory of every run of each stage.

Timings differ between runs, so they aren't part of a tracked output: one line of JSON per run and function in
`.valaro/runs/<stage>.jsonl` of the main repository. A line is appended in one write, so that concurrent runs
don't mix; a line that a full disk truncated is ignored. Errors of the log never fail a stage.
"""

import json
import platform
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from stages.engine.progress import say

RUNS = "runs"


@dataclass(frozen=True)
class Cost:
    """Time, memory and size of one unit of work.

    Args:
        work_s: time in its worker, in seconds.
        peak_mb: peak memory of the worker's process so far, in MB.
        frames: time steps of its output; 0 for outputs without a time axis.
        media_s: duration of the video or sound, in seconds.
    """

    work_s: float
    peak_mb: float
    frames: int = 0
    media_s: float = 0.0


@dataclass(frozen=True)
class Run:
    """One run of a stage over the units whose results weren't cached.

    Args:
        stage: name in dvc.yaml.
        work: name of the function; a stage may have several.
        began: start time, UTC, ISO 8601.
        wall_s: wall-clock time of all units.
        work_s: sum of the units' times; more than `wall_s` with several workers.
        computed: number of computed units.
        remembered: number of units with a cached result.
        failed: number of failed units.
        frames: sum over the computed units, see `Cost`.
        media_s: sum over the computed units, see `Cost`.
        peak_mb: largest peak memory of a process, workers included.
        workers: e.g. `2 here`, `dask tcp://...`.
        host: name of the machine.
        entry: entry of the matrix, e.g. `efficientnet_b1`; "" without a matrix, and in older logs.
    """

    stage: str
    work: str
    began: str
    wall_s: float
    work_s: float
    computed: int
    remembered: int
    failed: int
    frames: int
    media_s: float
    peak_mb: float
    workers: str
    host: str
    entry: str = ""

    @property
    def label(self) -> str:
        """DVC's name of the stage, e.g. `finetune@efficientnet_b1`."""
        return f"{self.stage}@{self.entry}" if self.entry else self.stage

    @property
    def frames_per_s(self) -> float | None:
        """Time steps per second of wall-clock time; None without frames."""
        return self.frames / self.wall_s if self.frames and self.wall_s else None

    @property
    def real_time(self) -> float | None:
        """Seconds of video or sound per second of wall-clock time; None without either."""
        return self.media_s / self.wall_s if self.media_s and self.wall_s else None


RUN = TypeAdapter(Run)


class Stopwatch:
    """Adds up the costs of a run, for each entry of the stage's matrix by itself."""

    def __init__(self, stage: str, work: str, workers: str) -> None:
        self._stage, self._work, self._workers = stage, work, workers
        self._began, self._clock = datetime.now(UTC), time.monotonic()
        self._costs: dict[str, list[Cost]] = {}
        self._failed: Counter[str] = Counter()

    def add(self, cost: Cost, entry: str = "", *, failed: bool = False) -> None:
        """Add a finished unit."""
        self._costs.setdefault(entry, []).append(cost)
        self._failed[entry] += failed

    def stop(self, remembered: int) -> list[Run]:
        """The runs so far: one per entry that was computed, which share the wall-clock time as their work.

        Args:
            remembered: number of units with a cached result; they belong to the first entry.
        """
        wall_s = time.monotonic() - self._clock
        work_s = {entry: sum(cost.work_s for cost in costs) for entry, costs in self._costs.items()}
        total_s = sum(work_s.values())
        return [
            Run(
                stage=self._stage,
                work=self._work,
                began=self._began.isoformat(timespec="seconds"),
                wall_s=round(wall_s * work_s[entry] / total_s if total_s else wall_s, 3),
                work_s=round(work_s[entry], 3),
                computed=len(costs) - self._failed[entry],
                remembered=0 if position else remembered,
                failed=self._failed[entry],
                frames=sum(cost.frames for cost in costs),
                media_s=round(sum(cost.media_s for cost in costs), 3),
                peak_mb=max(cost.peak_mb for cost in [Cost(0, peak_mb()), *costs]),
                workers=self._workers,
                host=platform.node(),
                entry=entry,
            )
            for position, (entry, costs) in enumerate(self._costs.items())
        ]


def append(home: Path, run: Run) -> None:
    """Append a run to the log of its stage; an error is printed and ignored.

    Args:
        home: `.valaro` of the main repository.
        run: the run.
    """
    path = home / RUNS / f"{run.stage}.jsonl"
    # It begins with a line break too, so that a truncated line before it doesn't spoil it.
    line = f"\n{json.dumps(asdict(run), ensure_ascii=False)}\n".encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as log:
            log.write(line)
    except OSError as error:
        say(f"{run.stage}: the run log can't be written: {error}")


def history(home: Path) -> dict[tuple[str, str], list[Run]]:
    """(stage, or entry of its matrix; function) -> its runs, in order of their start."""
    runs: dict[tuple[str, str], list[Run]] = {}
    for run in sorted(_lines(home), key=lambda run: run.began):
        runs.setdefault((run.label, run.work), []).append(run)
    return runs


def _lines(home: Path) -> Iterator[Run]:
    for path in sorted((home / RUNS).glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            try:
                yield RUN.validate_json(line)
            except ValidationError:  # empty or truncated
                continue


def peak_mb() -> float:
    """Peak memory of this process, in MB.

    On Linux from /proc; `getrusage` would include the size of the parent at the fork.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return round(int(status.split("VmHWM:")[1].split()[0]) / 1024, 1)
    except (OSError, IndexError):
        import resource

        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 1)  # bytes on macOS


def extent(writes: Mapping[str, Path]) -> tuple[int, float]:
    """Time steps and seconds of a unit's longest output; all of them are of the same video.

    Time steps are the rows of `time_s` (T,). A sound file has seconds only; other files have neither.
    """
    found = [_extent(path) for path in writes.values() if path.is_file()]
    return max(found, default=(0, 0.0), key=lambda one: (one[0], one[1]))


def _extent(path: Path) -> tuple[int, float]:
    if path.suffix in (".wav", ".flac"):
        import soundfile

        return 0, float(soundfile.info(path).duration)
    if path.suffix != ".h5":
        return 0, 0.0
    times = _times(path)
    step_s = float(times[1] - times[0]) if len(times) > 1 else 0.0
    return len(times), float(times[-1] - times[0]) + step_s if len(times) else 0.0


def _times(path: Path) -> Any:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return file["time_s"][()]
    except (OSError, KeyError):
        return ()
