"""How far a prediction has come: what a caller is told, and the bar that a terminal or a notebook shows."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from stages.core.notes import printable

STEPS = {
    "index": 2.0,
    "decode": 20.0,
    "faces": 15.0,
    "tracks": 1.0,
    "mouth": 25.0,
    "speech": 0.5,
    "embed": 15.0,
    "dynamic": 2.0,
    "kelm": 2.0,
    "voice": 4.0,
    "audio": 10.0,
    "cross_attention": 2.0,
    "smooth": 0.5,
    "fuse": 0.5,
    "results": 20.0,
}
"""Approximate time of each step relative to the others, from a minute of 720p on two cores."""
OTHER_STEP = 2.0
DONE = "done"
"""The step of a recording that is finished; `share` is then that of the next one."""


class Progress(NamedTuple):
    """Where a prediction is.

    Args:
        recording (Path): the file at work.
        step (str): what is being done with it, such as `faces`.
        share (float): of this recording, 0 to 1.
        done (int): recordings finished.
        total (int): recordings there are.
    """

    recording: Path
    step: str
    share: float
    done: int
    total: int

    @property
    def label(self) -> str:
        """The recording and its folder: many may have one name."""
        return "/".join(self.recording.parts[-2:])


Tell = Callable[[Progress], None]


class Meter:
    """Turns steps and their shares into the share of a recording.

    Args:
        steps: of every recording, in their order.
        total: recordings.
        tell: told on every change.
    """

    def __init__(self, steps: Sequence[str], total: int, tell: Tell) -> None:
        weights = [STEPS.get(step, OTHER_STEP) for step in steps]
        self._whole = sum(weights)
        self._before = {step: sum(weights[:k]) for k, step in enumerate(steps)}
        self._tell, self._total, self._done = tell, total, 0

    def __call__(self, recording: Path, step: str, share: float) -> None:
        """Such a share of the step is done."""
        before = self._before.get(step, 0.0)
        reached = (before + share * STEPS.get(step, OTHER_STEP)) / self._whole
        self._tell(Progress(recording, step, min(1.0, reached), self._done, self._total))

    def finished(self, recording: Path) -> None:
        """One more recording is done."""
        self._done += 1
        self._tell(Progress(recording, DONE, 0.0, self._done, self._total))


class Bar:
    """A bar over all recordings that moves within each; on the terminal it leaves nothing."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Drawn
        from rich.table import Column

        cut = Column(ratio=1, no_wrap=True, overflow="ellipsis")
        self._bar = Drawn(
            TextColumn("predict"),
            BarColumn(20),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[count]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[what]}", markup=False, table_column=cut),
            console=Console(stderr=True),
            transient=True,
            expand=True,
            redirect_stdout=False,  # it would end up on stderr
        )
        self._total = total
        self._task = self._bar.add_task("", total=float(total), what="", count=self._count(0))

    def __call__(self, progress: Progress) -> None:
        """Move the bar."""
        what = printable(f"{progress.label}: {progress.step}")
        reached, count = progress.done + progress.share, self._count(progress.done)
        self._bar.update(self._task, completed=reached, count=count, what=what)

    def __enter__(self) -> "Bar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hide()

    def hide(self) -> None:
        """Leave the terminal to others."""
        self._bar.stop()

    def _count(self, done: int) -> str:
        return f"{done}/{self._total}" if self._total > 1 else ""


def ignore(_progress: Progress) -> None:
    """For those who don't want to be told."""


def nobody(_recording: Path, _step: str, _share: float) -> None:
    """A callback that does nothing; it can be sent to worker processes."""
