"""What a stage tells the console: one bar on a terminal, a few plain lines elsewhere."""

import sys
import time
from types import TracebackType

from stages.core.memo import Note

LINES_WITHOUT_TERMINAL = 4
NOTES_SHOWN = 8


class Progress:
    """One progress bar per stage: units done, rate, time left; quiet when not a terminal."""

    def __init__(self, stage: str, total: int, remembered: int) -> None:
        self._stage, self._total, self._done = stage, total, 0
        self._terminal = sys.stderr.isatty()
        self._remembered, self._begin = remembered, time.monotonic()

    def __enter__(self) -> "Progress":
        if self._terminal:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = TextColumn("{task.description:12}"), BarColumn(), MofNCompleteColumn()
            self._bar = Bar(
                *columns,
                TimeRemainingColumn(),
                TextColumn("{task.fields[name]}"),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._task = self._bar.add_task(self._stage, total=self._total, name="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._terminal:
            self._bar.stop()
        if kind is None:
            seconds = time.monotonic() - self._begin
            fresh = self._total - self._remembered
            say(f"{self._stage}: {fresh} computed in {seconds:.1f} s, {self._remembered} remembered")

    def step(self, name: str) -> None:
        """One more unit is done."""
        self._done += 1
        if self._terminal:
            self._bar.update(self._task, advance=1, name=name)
        elif self._done % max(1, -(-self._total // LINES_WITHOUT_TERMINAL)) == 0 and self._done < self._total:
            say(f"{self._stage}: {self._done} of {self._total}")


def say(line: str) -> None:
    """One line for the reader of the console."""
    print(line, file=sys.stderr, flush=True)


def say_notes(stage: str, notes: list[Note]) -> None:
    """The notes of a stage, quarantined inputs first, cut after a few."""
    ordered = sorted(notes, key=lambda note: not note.quarantined)
    for note in ordered[:NOTES_SHOWN]:
        say(f"{stage}: {'SET ASIDE' if note.quarantined else 'note'}: {note}")
    if len(ordered) > NOTES_SHOWN:
        say(f"{stage}: and {len(ordered) - NOTES_SHOWN} more notes")
