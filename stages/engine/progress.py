"""Console output of a stage: a progress bar on a terminal, a few lines elsewhere, and tables."""

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from stages.core.notes import Note
from stages.engine.launch import rank

if TYPE_CHECKING:
    from rich.box import Box
    from rich.table import Table

LINES_WITHOUT_TERMINAL = 4
WIDEST = 10_000
"""Width of a console, in characters, that truncates nothing."""
NOTES_SHOWN, ALIKE_SHOWN, NAMES_SHOWN = 8, 3, 10
"""Maximum lines of notes on the console; of notes with the same remedy before they are merged to one line; of
names in that line."""


class Bar:
    """A progress bar: units done, frames per second, time left, current unit; erased at the end.

    Args:
        label: name of the work.
        total: number of units.
        done: number of units that are done already.
    """

    def __init__(self, label: str, total: int, done: int = 0) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.table import Column

        cut = Column(ratio=1, no_wrap=True, overflow="ellipsis")
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[what]}", markup=False, table_column=cut),
            console=Console(stderr=True),
            transient=True,
            expand=True,
            redirect_stdout=False,  # else stdout would be written to stderr
        )
        self._task = self._bar.add_task(label, total=total, completed=done, what="", rate="")

    def show(self) -> None:
        """Start drawing."""
        self._bar.start()

    def hide(self) -> None:
        """Erase the bar."""
        self._bar.stop()

    def at_work(self, what: str) -> None:
        """Show the name of the current unit."""
        self._bar.update(self._task, what=what)

    def advance(self, rate: str) -> None:
        """Count a unit as done, and show the rate."""
        self._bar.update(self._task, advance=1, rate=rate)


class Progress:
    """Progress of a stage: a bar on a terminal, else a few lines.

    Args:
        stage: name of the stage.
        total: number of units.
        remembered: number of them with a cached result.
    """

    def __init__(self, stage: str, total: int, remembered: int) -> None:
        self._stage, self._total, self._done = stage, total, remembered
        self._bar = Bar(stage, total, remembered) if sys.stderr.isatty() else None
        self._remembered, self._begin, self._frames = remembered, time.monotonic(), 0

    def __enter__(self) -> "Progress":
        if self._bar:
            self._bar.show()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.hide()
        if kind is None:
            seconds, fresh = time.monotonic() - self._begin, self._total - self._remembered
            rate = f" ({self._rate()})" if self._frames else ""
            say(f"{self._stage}: {fresh} computed in {seconds:.1f} s, {self._remembered} remembered{rate}")

    def step(self, name: str, frames: int = 0) -> None:
        """Count a unit as done, with its number of frames."""
        self._done, self._frames = self._done + 1, self._frames + frames
        if self._bar:
            self._bar.advance(self._rate())
            self._bar.at_work(name)
        elif self._done % max(1, -(-self._total // LINES_WITHOUT_TERMINAL)) == 0 and self._done < self._total:
            say(f"{self._stage}: {self._done} of {self._total}")

    def _rate(self) -> str:
        return frames_per_second(self._frames, time.monotonic() - self._begin)


def frames_per_second(frames: int, seconds: float) -> str:
    """A rate in words; "" without frames."""
    rate = frames / max(seconds, 1e-3)
    return f"{rate:,.0f} frames/s" if rate >= 10 else f"{rate:.1f} frames/s" if frames else ""


def say(line: str) -> None:
    """Print one line to stderr; of processes launched together, only the first one prints."""
    if not rank():
        print(line, file=sys.stderr, flush=True)


def say_notes(stage: str, notes: list[Note]) -> None:
    """Print the notes of a stage, quarantined inputs first; similar notes are merged, the rest counted."""
    kinds: dict[tuple[bool, str], list[Note]] = {}
    for note in sorted(notes, key=lambda note: not note.quarantined):
        kinds.setdefault((note.quarantined, note.remedy), []).append(note)
    lines = [(note, alike) for notes in kinds.values() for note, alike in _shown(notes)]
    for note, alike in lines[:NOTES_SHOWN]:
        say(f"{stage}: {'SET ASIDE' if note.quarantined else 'note'}: {note}{alike}")
    if rest := sum(map(len, kinds.values())) - NOTES_SHOWN if len(lines) > NOTES_SHOWN else 0:
        say(f"{stage}: and {rest} more notes")


def _shown(notes: list[Note]) -> list[tuple[Note, str]]:
    """The notes of one kind to print, each with a text on the similar ones that are left out."""
    if len(notes) <= ALIKE_SHOWN:
        return [(note, "") for note in notes]
    names = [note.subject for note in notes[1:]]
    listed = ", ".join(names[:NAMES_SHOWN]) + (" ..." if len(names) > NAMES_SHOWN else "")
    return [(notes[0], f" The same for {len(names)} more: {listed}")]


def say_table(head: Sequence[str], rows: Sequence[Sequence[str]], best: int | None = None) -> None:
    """Print a table: drawn on a terminal, aligned plain text elsewhere.

    Args:
        head: names of the columns.
        rows: cells as text; numeric columns are right-aligned.
        best: index of the row to highlight; None: none.
    """
    if not sys.stderr.isatty():
        for line in plain_table(head, rows, best):
            say(line)
    elif not rank():
        _draw(head, rows, best)


def plain_table(head: Sequence[str], rows: Sequence[Sequence[str]], best: int | None = None) -> list[str]:
    """The lines of a table in plain text, with two blanks between columns and support for wide characters."""
    from io import StringIO

    from rich.console import Console

    text = StringIO()
    Console(file=text, width=WIDEST, color_system=None).print(_table(head, rows, best, box=None))
    return [line.rstrip() for line in text.getvalue().splitlines()]


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]], best: int | None, box: "Box | None"
) -> "Table":
    """The table, with a last column that marks the best row."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box, header_style="bold", pad_edge=False, padding=(0, 1 if box else 2, 0, 0))
    for name, at_right in zip([*head, ""], [*_numeric(rows), False], strict=True):
        table.add_column(Text(name), justify="right" if at_right else "left", no_wrap=True)
    for number, row in enumerate(rows):
        is_best = number == best
        table.add_row(*map(Text, [*row, "<- best" if is_best else ""]), style="bold green" if is_best else "")
    return table


def _numeric(rows: Sequence[Sequence[str]]) -> list[bool]:
    return [all(map(_is_number, column)) for column in zip(*rows, strict=True)]


def _is_number(cell: str) -> bool:
    return cell in ("", "—") or cell.lstrip("+-−").replace(",", "").replace(".", "", 1).isdigit()


def _draw(head: Sequence[str], rows: Sequence[Sequence[str]], best: int | None) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.text import Text

    console, table = Console(stderr=True), _table(head, rows, best, SIMPLE_HEAD)
    if console.measure(table, options=console.options.update(width=WIDEST)).maximum <= console.width:
        console.print(table)
        return
    for number, (name, *figures) in enumerate(rows):  # too narrow for a table: one paragraph per row
        words = ", ".join(
            f"{what} {cell}".strip() for what, cell in zip(head[1:], figures, strict=True) if cell
        )
        mark = ",  <- best" if number == best else ""
        console.print(Text(f"{name}: {words}{mark}", "bold green" if number == best else ""))
