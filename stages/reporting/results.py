"""What the stages measured, as the report shows it: read from metrics/, nothing computed anew."""

import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.core.artefacts import read_json
from stages.core.systems import FUSIONS, SYSTEMS
from stages.reporting.charts import Estimate, Figure, Line

NAN = float("nan")
MEASURES = (("loss", "training loss"), ("ccc", "CCC, validation"), ("rmse", "RMSE, validation"))
NAMES = (*SYSTEMS, *FUSIONS)
PROTOCOLS = {
    "out_of_fold": "out of fold",
    "as_published": "as published",
}
"""Protocol of evaluate.json -> how it is called in plots."""


@dataclass(frozen=True)
class Printed:
    """One of the run's tables in Markdown, taken apart: cells as they were printed.

    Args:
        title: without the mark of a heading.
        columns: the head.
        numeric: which columns hold figures.
        rows: cells of each row.
        notes: sentences below.
    """

    title: str
    columns: list[str]
    numeric: list[bool]
    rows: list[list[str]]
    notes: list[str]

    @classmethod
    def of(cls, text: str) -> "Printed":
        """Read what `evaluation.tables` wrote."""
        lines = text.splitlines()
        title = next((line[2:] for line in lines if line.startswith("# ")), "")
        head, rule, *rows = [_cells(line) for line in lines if line.startswith("|")]
        notes = [line[2:] for line in lines if line.startswith("- ")]
        return cls(title, head, [cell.endswith(":") for cell in rule], rows, notes)


def read_tables(folder: Path) -> list[Printed]:
    """The tables that the run wrote, in their order."""
    return [Printed.of(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("table_*.md"))]


def read_names(table_5: Path) -> dict[str, str]:
    """System -> its name in table 5."""
    return {row["system"]: row["row"] for row in _rows(table_5) if row["as_published_mean"]}


def read_optimism(table_5: Path) -> list[tuple[str, float]]:
    """System's name -> what its mean CCC gains by being picked by the recordings it is scored on."""
    return [(row["row"], float(row["optimism"])) for row in _rows(table_5) if row["optimism"]]


def read_figures(table_5: Path) -> list[Figure]:
    """Every system that has a figure: the mean CCC under each protocol, and what the paper published."""
    found = []
    for row in _rows(table_5):
        estimates = [
            _estimate(row, "out_of_fold", out_of_fold=True),
            _estimate(row, "as_published", out_of_fold=False),
        ]
        published = _number(row["paper_dev_mean"])
        if np.isfinite(estimates[0].value):
            found.append(Figure(row["row"], tuple(estimates), published))
    return found


def read_rivals(per_video_all: Path, without: str) -> tuple[list[str], dict[str, list[float | None]]]:
    """Systems that were scored, `without` one, and subject -> mean CCC of each, out of fold."""
    scores: dict[str, dict[str, float]] = defaultdict(dict)
    for row in _rows(per_video_all):
        if row["protocol"] == "out_of_fold" and row["system"] != without:
            scores[row["subject"]][row["system"]] = float(row["mean_ccc"])
    names = [name for name in NAMES if any(name in found for found in scores.values())]
    return names, {subject: [found.get(name) for name in names] for subject, found in scores.items()}


@dataclass(frozen=True)
class Curves:
    """The curves of one training that share an axis."""

    title: str
    y_label: str
    lines: list[Line]


def read_trainings(metrics: Path) -> list[Curves]:
    """Loss, and scores on validation, of every training that left curves; epochs count from 1."""
    found = []
    for plots in sorted(metrics.glob("**/plots")):
        name = plots.parent.relative_to(metrics).as_posix()
        lines = [*_curves(plots)]
        for measure, y_label in MEASURES:
            chosen = [line for line in lines if line.name == measure or line.name.endswith(f"_{measure}")]
            if chosen:
                named = [Line(_target(line.name), line.x, line.y) for line in chosen]
                found.append(Curves(f"{name}: {y_label}", y_label, named))
    return found


@dataclass(frozen=True)
class Sweep:
    """What one parameter did, from finished experiments.

    Args:
        parameter: dotted name.
        lines: valence, arousal, mean or what else was looked at, over the parameter.
    """

    parameter: str
    lines: list[Line]

    @property
    def x_label(self) -> str:
        """The parameter, its unit set apart."""
        name, _, unit = self.parameter.rpartition("_")
        units = {"s": "s", "hz": "Hz", "px": "px"}
        return f"{name.replace('_', ' ')}, {units[unit]}" if unit in units else self.parameter


def read_sweeps(folder: Path) -> list[Sweep]:
    """The sweeps of parameters that are numbers; others have no axis."""
    found = []
    for path in sorted(folder.glob("*.csv")):
        rows = [*_rows(path)]
        values = [_number(row[path.stem]) for row in rows]
        if rows and np.isfinite(values).all():
            names = [name for name in rows[0] if name not in (path.stem, "experiment")]
            lines = [_mean_over_runs(name, values, [_number(row[name]) for row in rows]) for name in names]
            found.append(Sweep(path.stem, lines))
    return found


def _mean_over_runs(name: str, values: list[float], figures: list[float]) -> Line:
    """Experiments with the same value (other seeds) count as one: their mean."""
    by_value: dict[float, list[float]] = defaultdict(list)
    for value, figure in zip(values, figures, strict=True):
        if np.isfinite(figure):
            by_value[value].append(figure)
    x = sorted(by_value)
    return Line(_target(name), np.array(x), np.array([np.mean(by_value[value]) for value in x]))


def _curves(plots: Path) -> Iterator[Line]:
    for path in sorted(plots.rglob("*.tsv")):
        rows = [*_rows(path, "\t")]
        if rows:
            steps = np.array([float(row["step"]) + 1 for row in rows])
            yield Line(path.stem, steps, np.array([_number(row[path.stem]) for row in rows]))


def read_epoch(plots: Path, epoch: int) -> dict[str, float]:
    """Curve -> its value at an epoch, counted from 1; curves that lack it are left out."""
    at = {line.name: line.y[line.x == epoch] for line in _curves(plots)}
    return {name: float(values[0]) for name, values in at.items() if len(values)}


def _target(name: str) -> str:
    """The word that decides a line's colour."""
    return next((word for word in ("valence", "arousal", "mean", "loss") if word in name), name)


def _estimate(row: dict[str, str], protocol: str, *, out_of_fold: bool) -> Estimate:
    value, low, high = (_number(row[f"{protocol}_mean{bound}"]) for bound in ("", "_low", "_high"))
    return Estimate(value, low, high, out_of_fold)


SETS = {
    "sample": "as they are",
    "degraded": "with noise, occlusion, lost faces",
    "shifted": "in other light and skin",
    "all": "all but the last",
}
"""Sets of validation recordings that intervals are measured on -> in words."""


@dataclass(frozen=True)
class Sureness:
    """How an interval did out of fold, on one set of recordings, for one target."""

    recordings: str
    target: str
    coverage: float
    by_third: list[float]
    width: float
    constant_coverage: float
    constant_width: float
    narrower: float
    narrower_than_clean: float


def read_sureness(measured: Path) -> list[Sureness]:
    """Coverage and width of a system's interval, by set of recordings and target; none where none is."""
    if not measured.is_file():
        return []
    found = read_json(measured)
    return [
        Sureness(
            words,
            target,
            figures["coverage"],
            figures["coverage_by_third"],
            figures["width"],
            figures["constant_coverage"],
            figures["constant_width"],
            figures["narrower_at_equal_coverage"],
            figures.get("narrower_than_clean_at_equal_coverage", NAN),  # runs before it was measured
        )
        for name, words in SETS.items()
        for target, figures in found.get(name, {}).items()
    ]


def read_pairs(path: Path) -> list[dict[str, str]]:
    """Every pair of systems: `better`, `worse`, `difference`, `low`, `high`, `recordings`, `within_noise`."""
    return [*_rows(path)]


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return NAN


def _rows(path: Path, delimiter: str = ",") -> Iterator[dict[str, str]]:
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            yield from csv.DictReader(file, delimiter=delimiter)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]
