"""`valaro speed`: what every stage took when it last ran, beside the run before."""

from pathlib import Path

from stages.engine.progress import plain_table
from stages.engine.runlog import Run, history
from valaro.commands.terminal import note, result

COLUMNS = (
    "began (UTC)",
    "stage",
    "units",
    "wall s",
    "frames/s",
    "x real time",
    "peak MB",
    "before",
    "workers",
)
NOTHING = "—"


def speed(repository: Path) -> None:
    """Print a line per stage and kind of work, from the run log of a repository."""
    runs = history(repository / ".valaro")
    if not runs:
        note(f"{repository.absolute()}: no stage has run here yet. Run `dvc repro`.")
        return
    rows = [_cells(found[-1], found[-2] if found[1:] else None) for found in runs.values()]
    for line in plain_table(COLUMNS, rows):
        result(line)


def _cells(run: Run, before: Run | None) -> tuple[str, ...]:
    return (
        run.began[:16].replace("T", " "),
        f"{run.label}: {run.work}",
        f"{run.computed}{f' (+{run.failed} failed)' if run.failed else ''}",
        f"{run.wall_s:.1f}",
        _number(run.frames_per_s),
        _number(run.real_time),
        f"{run.peak_mb:.0f}",
        _before(run, before),
        run.workers,
    )


def _before(run: Run, before: Run | None) -> str:
    """The earlier run's rate and how it compares; of work without frames, its time a unit."""
    if before is None:
        return NOTHING
    if run.real_time and before.real_time:
        return f"{_number(before.real_time)} x ({run.real_time / before.real_time - 1:+.0%})"
    if run.computed and before.computed and before.wall_s:
        change = run.wall_s / run.computed / (before.wall_s / before.computed) - 1
        return f"{before.wall_s / before.computed:.1f} s a unit ({change:+.0%})"
    return NOTHING


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
