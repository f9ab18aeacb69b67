"""A table as people read it (Markdown, columns aligned) and as programs do (CSV)."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

Cell = str | int | float | None
ABSENT = "—"


@dataclass(frozen=True)
class Table:
    """A table, its title, and what must be known to read it.

    Args:
        title: one line.
        columns: names, for the head of both forms; units in them.
        rows: one cell per column; None where there is no figure.
        notes: sentences below the table; in Markdown only.
        mark: what every form must say about the corpus: a line on top, and the CSV's last column.
        decimals: of figures in Markdown; the paper prints 3 or 4.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = field(default=())
    mark: str = ""
    decimals: int = 3

    def __post_init__(self) -> None:
        torn = [row for row in self.rows if len(row) != len(self.columns)]
        if torn:
            raise ValueError(f"a row of {len(torn[0])} cells for {len(self.columns)} columns: {torn[0]}")

    def markdown(self) -> str:
        """Title, mark, table with aligned columns, notes."""
        lines = [[_plain(cell, self.decimals) for cell in row] for row in self.rows]
        numeric = [
            any(isinstance(row[k], int | float) for row in self.rows) for k in range(len(self.columns))
        ]
        head = [name.replace("_", " ") for name in self.columns]
        places = range(len(head))
        numeric = [any(isinstance(row[k], int | float) for row in self.rows) for k in places]
        widths = [max(3, *(len(line[k]) for line in [head, *lines])) for k in places]
        rule = ["-" * (widths[k] - 1) + ":" if numeric[k] else "-" * widths[k] for k in places]

        def drawn(cells: Sequence[str]) -> str:
            padded = (cells[k].rjust(widths[k]) if numeric[k] else cells[k].ljust(widths[k]) for k in places)
            return f"| {' | '.join(padded)} |"

        top = [f"# {self.title}", "", *([f"**{self.mark}**", ""] if self.mark else [])]
        below = ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n".join([*top, drawn(head), drawn(rule), *map(drawn, lines), *below]) + "\n"

    def csv(self) -> str:
        """Head and rows, figures with 4 decimals, nothing where there is no figure; `corpus` comes last."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow([*self.columns, "corpus"])
        for row in self.rows:
            cells = [_plain(cell, 4) for cell in row]
            writer.writerow([*("" if cell == ABSENT else cell for cell in cells), self.mark])
        return buffer.getvalue()


def _plain(cell: Cell, decimals: int) -> str:
    """A cell as text; a line break or a bar from outside would break the table."""
    if cell is None or cell == "":
        return ABSENT
    if isinstance(cell, float):
        return f"{cell:.{decimals}f}"
    return " ".join(str(cell).replace("|", "/").split())
