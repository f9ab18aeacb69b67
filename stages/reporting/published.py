"""Show the paper's values for Aff-Wild2 only: for other corpora they can't be compared."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath

from stages.reporting.charts import Figure
from stages.reporting.results import Printed

NONE = "—"
PAPER = "paper"
"""Begins the names of columns with published values."""


def is_affwild2(corpus: str) -> bool:
    """Whether a corpus is Aff-Wild2, by its folder names (e.g. `data/affwild2`, `/mnt/Aff-Wild2/v6`)."""
    names = (part.lower().replace("-", "").replace("_", "") for part in PurePath(corpus).parts)
    return any(name.startswith("affwild") for name in names)


def figures_without(figures: Sequence[Figure]) -> list[Figure]:
    """The figures without the published values."""
    return [replace(figure, published=float("nan")) for figure in figures]


def tables_without(tables: Sequence[Printed]) -> list[Printed]:
    """The tables without the columns of published values, and without rows and tables that are then empty."""
    return [own for table in tables if (own := _without(table)).rows]


def _without(table: Printed) -> Printed:
    kept = [k for k, name in enumerate(table.columns) if not name.startswith(PAPER)]
    rows = [[row[k] for k in kept] for row in table.rows]
    return replace(
        table,
        columns=[table.columns[k] for k in kept],
        numeric=[table.numeric[k] for k in kept],
        rows=[row for row in rows if any(cell not in (NONE, "") for cell in row[1:])],
    )
