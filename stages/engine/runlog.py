"""The run log: how fast each stage was, and what memory it took, run after run.

Timings differ from run to run, so they lie outside every tracked output: one line of JSON per run and kind
of work in `.valaro/runs/<stage>.jsonl` of the main repository. A line is appended in one write, so that runs
at the same time don't mix; one that a full disk cut short is passed over. Nothing here fails a stage.
"""

import json
import platform
import time
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
    """What one unit of work took, and how much it went through.

    Args:
        work_s: time in its worker.
        peak_mb: largest memory of that worker's process so far.
        frames: steps of the time grid of what it wrote; 0 where that has none.
        media_s: seconds of video or sound.
    """

    work_s: float
    peak_mb: float
    frames: int = 0
    media_s: float = 0.0


@dataclass(frozen=True)
class Run:
    """One run of a stage over the units whose results it didn't remember.

    Args:
        stage: as in dvc.yaml.
        work: name of the function; a stage may have several.
        began: UTC, ISO 8601.
        wall_s: from the first unit to the last.
        work_s: sum over the units; more than `wall_s` where several workers share them.
        computed, remembered, failed: units.
        frames, media_s: sums over the computed units, see `Cost`.
        peak_mb: of the process that took most, workers included.
        workers: `2 here`, `dask tcp://...`.
        host: name of the machine.
        entry: of a stage with a matrix, `efficientnet_b1`; "" for the others, and in older logs.
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
        """The stage as DVC calls it, `finetune@efficientnet_b1`."""
        return f"{self.stage}@{self.entry}" if self.entry else self.stage

    @property
    def frames_per_s(self) -> float | None:
        """Steps of the grid a second; None where the work has no frames."""
        return self.frames / self.wall_s if self.frames and self.wall_s else None

    @property
    def real_time(self) -> float | None:
        """Seconds of video, or sound, per second."""
        return self.media_s / self.wall_s if self.media_s and self.wall_s else None


RUN = TypeAdapter(Run)


class Stopwatch:
    """Sums up a run as its units come in."""

    def __init__(self, stage: str, work: str, workers: str, entry: str = "") -> None:
        self._stage, self._work, self._workers, self._entry = stage, work, workers, entry
        self._began, self._clock = datetime.now(UTC), time.monotonic()
        self._costs: list[Cost] = []

    def add(self, cost: Cost) -> None:
        """One more unit is done."""
        self._costs.append(cost)

    def stop(self, remembered: int, failed: int) -> Run:
        """The sums so far."""
        return Run(
            stage=self._stage,
            work=self._work,
            began=self._began.isoformat(timespec="seconds"),
            wall_s=round(time.monotonic() - self._clock, 3),
            work_s=round(sum(cost.work_s for cost in self._costs), 3),
            computed=len(self._costs) - failed,
            remembered=remembered,
            failed=failed,
            frames=sum(cost.frames for cost in self._costs),
            media_s=round(sum(cost.media_s for cost in self._costs), 3),
            peak_mb=max(cost.peak_mb for cost in [Cost(0, peak_mb()), *self._costs]),
            workers=self._workers,
            host=platform.node(),
            entry=self._entry,
        )


def append(home: Path, run: Run) -> None:
    """Add a run to the log of its stage; where that can't be written, say so and go on."""
    path = home / RUNS / f"{run.stage}.jsonl"
    # It begins with a line break too: what was cut short before must not take this line with it.
    line = f"\n{json.dumps(asdict(run), ensure_ascii=False)}\n".encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as log:
            log.write(line)
    except OSError as error:
        say(f"{run.stage}: not in the run log: {error}")


def history(home: Path) -> dict[tuple[str, str], list[Run]]:
    """All runs by stage (an entry of a matrix for itself) and kind of work, in the order they began in."""
    runs: dict[tuple[str, str], list[Run]] = {}
    for run in sorted(_lines(home), key=lambda run: run.began):
        runs.setdefault((run.label, run.work), []).append(run)
    return runs


def _lines(home: Path) -> Iterator[Run]:
    for path in sorted((home / RUNS).glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            try:
                yield RUN.validate_json(line)
            except ValidationError:  # an empty line, or half of one
                continue


def peak_mb() -> float:
    """Largest memory this process ever had, in MB.

    Linux says so by address space; `getrusage` would begin with the size of the parent at the fork.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return round(int(status.split("VmHWM:")[1].split()[0]) / 1024, 1)
    except (OSError, IndexError):
        import resource

        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 1)  # macOS counts bytes


def extent(writes: Mapping[str, Path]) -> tuple[int, float]:
    """Frames and seconds of what a unit wrote: of its longest file, as all are of the same video.

    Frames are the rows of `time_s` (T,); a sound file has seconds alone; other files have neither.
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
