"""Read the metrics of a run from metrics/, for the report; nothing is computed again."""

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
"""Protocol of evaluate.json -> its name in plots."""


@dataclass(frozen=True)
class Printed:
    """A parsed Markdown table of the run; cells as they were written.

    Args:
        title: heading, without `#`.
        columns: names of the columns.
        numeric: whether each column has numbers.
        rows: cells of each row.
        notes: the list below the table.
    """

    title: str
    columns: list[str]
    numeric: list[bool]
    rows: list[list[str]]
    notes: list[str]

    @classmethod
    def of(cls, text: str) -> "Printed":
        """Parse Markdown that `evaluation.tables` wrote."""
        lines = text.splitlines()
        title = next((line[2:] for line in lines if line.startswith("# ")), "")
        head, rule, *rows = [_cells(line) for line in lines if line.startswith("|")]
        notes = [line[2:] for line in lines if line.startswith("- ")]
        return cls(title, head, [cell.endswith(":") for cell in rule], rows, notes)


def read_tables(folder: Path) -> list[Printed]:
    """The tables of the run, in their order."""
    return [Printed.of(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("table_*.md"))]


def read_names(table_5: Path) -> dict[str, str]:
    """System -> its name in table 5, for systems with a score."""
    return {row["system"]: row["row"] for row in _rows(table_5) if row["as_published_mean"]}


def read_optimism(table_5: Path) -> list[tuple[str, float]]:
    """(name in table 5, optimism: mean CCC as published minus out of fold) of each system."""
    return [(row["row"], float(row["optimism"])) for row in _rows(table_5) if row["optimism"]]


def read_figures(table_5: Path) -> list[Figure]:
    """The mean CCC of every system with an out-of-fold score, by both protocols, and the published value."""
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
    """The scored systems except `without`; and subject -> mean out-of-fold CCC of each of them."""
    scores: dict[str, dict[str, float]] = defaultdict(dict)
    for row in _rows(per_video_all):
        if row["protocol"] == "out_of_fold" and row["system"] != without:
            scores[row["subject"]][row["system"]] = float(row["mean_ccc"])
    names = [name for name in NAMES if any(name in found for found in scores.values())]
    return names, {subject: [found.get(name) for name in names] for subject, found in scores.items()}


@dataclass(frozen=True)
class Curves:
    """Curves of one training run with a common axis."""

    title: str
    y_label: str
    lines: list[Line]


def read_trainings(metrics: Path) -> list[Curves]:
    """Loss and validation scores of every training run with curves; epochs are counted from 1."""
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
    """The effect of one parameter, from finished experiments.

    Args:
        parameter: dotted name.
        lines: scores (valence, arousal, mean or others) against the parameter.
    """

    parameter: str
    lines: list[Line]

    @property
    def x_label(self) -> str:
        """Label of the axis: the parameter and its unit."""
        name, _, unit = self.parameter.rpartition("_")
        units = {"s": "s", "hz": "Hz", "px": "px"}
        return f"{name.replace('_', ' ')}, {units[unit]}" if unit in units else self.parameter


def read_sweeps(folder: Path) -> list[Sweep]:
    """The sweeps of numeric parameters; others can't be drawn on an axis."""
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
    """Average experiments with the same value of the parameter (e.g. other seeds)."""
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
    """Curve -> its value at an epoch, counted from 1; curves without that epoch are left out."""
    at = {line.name: line.y[line.x == epoch] for line in _curves(plots)}
    return {name: float(values[0]) for name, values in at.items() if len(values)}


def _target(name: str) -> str:
    """The target or measure in a name, which determines a line's colour."""
    return next((word for word in ("valence", "arousal", "mean", "loss") if word in name), name)


def _estimate(row: dict[str, str], protocol: str, *, out_of_fold: bool) -> Estimate:
    value, low, high = (_number(row[f"{protocol}_mean{bound}"]) for bound in ("", "_low", "_high"))
    return Estimate(value, low, high, out_of_fold)


SETS = {
    "sample": "unchanged",
    "degraded": "with noise, occlusion, lost faces",
    "shifted": "with other light and skin",
    "all": "all except those with other light and skin",
}
"""Set of validation recordings on which intervals are measured -> its name in the report."""


@dataclass(frozen=True)
class IntervalScore:
    """Out-of-fold measures of an interval on one set of recordings, for one target.

    Args:
        recordings: name of the set.
        target: valence or arousal.
        coverage: share of frames whose label is inside.
        by_third: coverage of the frames with narrow, medium and wide intervals.
        width: mean width.
        constant_coverage: coverage of an interval of constant width.
        constant_width: its width.
        narrower: relative reduction of the mean width against the constant interval, at equal coverage.
        narrower_than_clean: the same against a constant interval fitted on unchanged recordings only.
    """

    recordings: str
    target: str
    coverage: float
    by_third: list[float]
    width: float
    constant_coverage: float
    constant_width: float
    narrower: float
    narrower_than_clean: float


def read_intervals(measured: Path) -> list[IntervalScore]:
    """Measures of a system's interval, by set of recordings and target; empty if the system has none."""
    if not measured.is_file():
        return []
    found = read_json(measured)
    return [
        IntervalScore(
            words,
            target,
            figures["coverage"],
            figures["coverage_by_third"],
            figures["width"],
            figures["constant_coverage"],
            figures["constant_width"],
            figures["narrower_at_equal_coverage"],
            figures.get("narrower_than_clean_at_equal_coverage", NAN),  # missing in older runs
        )
        for name, words in SETS.items()
        for target, figures in found.get(name, {}).items()
    ]


def read_pairs(path: Path) -> list[dict[str, str]]:
    """All pairs of systems: `better`, `worse`, `difference`, `low`, `high`, `recordings`, `within_noise`."""
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
