"""Confidence of each system of a fusion: the width of its interval at each frame, fitted on validation.

The regressions are those of `evaluation.adaptive`, without calibration, because only the ratio of the
systems' widths matters. While a fusion is fitted or scored, the widths of a recording come from fits on other
folds; if a fold is held out for scoring, it is excluded from these fits too.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stages.core.arrays import Floats
from stages.core.measures import TARGETS
from stages.core.params import IntervalParams
from stages.evaluation.adaptive import Spread, fit_spread
from stages.evaluation.difficulty import View
from stages.fusion.width import WIDEST

PART = "part"
"""Prefix of the arrays of an interval in a file."""
Traces = Mapping[str, Floats]
"""Subject -> one system's trace on the grid, (T, 2); no entry where the system has no prediction."""


class Evidence(NamedTuple):
    """One validation subject: its features, its labels at the same steps, (T, 2), and its fold."""

    view: View
    truth: Floats
    fold: int


@dataclass(frozen=True, eq=False)
class PartInterval:
    """The interval of one system, for valence and for arousal; None if there was no data to fit it on."""

    targets: tuple[Spread, ...] | None

    def widths(self, view: View, trace: Floats) -> Floats:
        """Widths of the interval around a trace. Shape: (T, 2) -> (T, 2)."""
        if self.targets is None:
            return np.full(trace.shape, WIDEST)
        features = view.around(trace)
        columns = [np.diff(each.predict(features[:, k]))[:, 0] for k, each in enumerate(self.targets)]
        return np.stack(columns, axis=1)

    def to_arrays(self, prefix: str) -> dict[str, Floats]:
        """Plain arrays, as safetensors wants them."""
        arrays: dict[str, Floats] = {}
        for target, each in zip(TARGETS, self.targets or (), strict=False):
            arrays |= each.to_arrays(f"{prefix}.{target}")
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Floats], prefix: str) -> "PartInterval":
        """The inverse of `to_arrays`."""
        if not any(name.startswith(f"{prefix}.") for name in arrays):
            return cls(None)
        return cls(tuple(Spread.from_arrays(arrays, f"{prefix}.{target}") for target in TARGETS))


def fit_part(evidence: Mapping[str, Evidence], traces: Traces, settings: IntervalParams) -> PartInterval:
    """Fit one system's interval on the labelled steps of the given subjects."""
    features, errors = [], []
    for name, (view, truth, _) in evidence.items():
        if name in traces:
            known = ~np.isnan(truth).any(axis=1)
            features.append(view.around(traces[name])[known])
            errors.append((truth - traces[name])[known])
    if not sum(map(len, errors)):
        return PartInterval(None)
    rows, rest = np.concatenate(features), np.concatenate(errors)
    return PartInterval(
        tuple(fit_spread(rows[:, k], rest[:, k], settings.coverage, settings) for k in range(len(TARGETS)))
    )


class PartFits:
    """Fits of the interval of one system. Each is made once, also if several folds need it.

    The fit without folds a and b is the same whichever of them is scored, if both selected the same traces.

    Args:
        evidence: of all subjects.
        settings: parameters of the regressions.
    """

    def __init__(self, evidence: Mapping[str, Evidence], settings: IntervalParams) -> None:
        self._evidence, self._settings = evidence, settings
        self._known: dict[str, PartInterval] = {}

    def part(self, traces: Traces, left_out: Collection[int | None] = ()) -> PartInterval:
        """The interval fitted on the subjects outside some folds.

        Args:
            traces: of the system, by the models that the recordings outside these folds selected.
            left_out: folds to exclude; None stands for no fold.
        """
        seen = {name: each for name, each in self._evidence.items() if each.fold not in left_out}
        asked = hashlib.sha256()
        for name in (name for name in seen if name in traces):
            asked.update(name.encode() + b"\0" + hashlib.sha256(traces[name].tobytes()).digest())
        key = asked.hexdigest()
        if key not in self._known:
            self._known[key] = fit_part(seen, traces, self._settings)
        return self._known[key]

    def widths(self, traces: Traces, without: int | None) -> dict[str, Floats]:
        """Subject -> its widths, (T, 2), by fits on other recordings.

        Args:
            traces: of the system, by the models that the recordings outside `without` selected.
            without: a fold to exclude from every fit; None: exclude none.
        """
        found: dict[str, Floats] = {}
        for fold in sorted({each.fold for each in self._evidence.values()}):
            part = self.part(traces, (fold, without))
            for name, each in self._evidence.items():
                if each.fold == fold and name in traces:
                    found[name] = part.widths(each.view, traces[name])
        return found


class SystemWidths(NamedTuple):
    """The widths of one system's interval, for the fusions by width."""

    part: PartInterval
    """The interval, fitted on all of validation."""
    whole: Mapping[str, Floats]
    """Subject -> widths, (T, 2), by fits on other recordings."""
    by_fold: Mapping[str, Floats]
    """Subject -> the same, (folds, T, 2), by fits that exclude that fold too."""
    time_s: Mapping[str, Floats]
    """Subject -> time of the steps, (T,)."""

    def of(self, name: str, fold: int | None) -> Floats:
        """Widths of a subject, (T, 2), by fits that exclude a fold, given by its position; None: none."""
        return self.whole[name] if fold is None else np.asarray(self.by_fold[name][fold])

    def to_arrays(self) -> dict[str, Floats]:
        """Arrays for a safetensors file."""
        columns = {"whole": self.whole, "by_fold": self.by_fold, "time_s": self.time_s}
        arrays = {
            f"{column}.{name}": np.ascontiguousarray(array)
            for column, own in columns.items()
            for name, array in own.items()
        }
        return arrays | self.part.to_arrays(PART)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Floats]) -> "SystemWidths":
        """The inverse of `to_arrays`."""
        whole, by_fold, time_s = (
            {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
            for start in ("whole.", "by_fold.", "time_s.")
        )
        return cls(PartInterval.from_arrays(arrays, PART), whole, by_fold, time_s)


def at_native(widths: Floats, grid_s: Floats, time_s: Floats) -> Floats:
    """Interpolate widths at native frames. Shape: (T, 2), (T,), (N,) -> (N, 2)."""
    return np.column_stack([np.interp(time_s, grid_s, column) for column in widths.T])


def stack_widths(widths: Iterable[Floats | None], frames: int) -> Floats:
    """Stack the widths of all systems; a system without a prediction gets WIDEST. M x (N, 2) -> (N, M, 2)."""
    unknown = np.full((frames, len(TARGETS)), WIDEST)
    return np.stack([unknown if each is None else each for each in widths], axis=1)
