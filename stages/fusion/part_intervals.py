"""Confidence of each system of a fusion: the width of its interval at each frame, fitted on validation.

The regressions are those of `evaluation.adaptive`, without calibration, because only the ratio of the
systems' widths matters. While a fusion is fitted or scored, the widths of a recording come from fits on other
folds; if a fold is held out for scoring, it is excluded from these fits too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stages.core.arrays import Floats
from stages.core.measures import TARGETS
from stages.core.params import IntervalParams
from stages.evaluation.adaptive import Spread, fit_spread
from stages.evaluation.difficulty import View
from stages.fusion.width import WIDEST

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


def cross_fitted_widths(
    evidence: Mapping[str, Evidence], traces: Traces, settings: IntervalParams, without: int | None
) -> dict[str, Floats]:
    """Subject -> one system's widths (T, 2), each by fits on other recordings.

    Args:
        evidence: of all subjects.
        traces: of one system, by the models that the recordings outside `without` selected.
        settings: parameters of the regressions.
        without: a fold to exclude from every fit; None: exclude none.
    """
    found: dict[str, Floats] = {}
    for fold in sorted({each.fold for each in evidence.values()}):
        seen = {name: each for name, each in evidence.items() if each.fold not in (fold, without)}
        part = fit_part(seen, traces, settings)
        for name, each in evidence.items():
            if each.fold == fold and name in traces:
                found[name] = part.widths(each.view, traces[name])
    return found


def at_native(widths: Floats, grid_s: Floats, time_s: Floats) -> Floats:
    """Interpolate widths at native frames. Shape: (T, 2), (T,), (N,) -> (N, 2)."""
    return np.column_stack([np.interp(time_s, grid_s, column) for column in widths.T])


def stack_widths(widths: Iterable[Floats | None], frames: int) -> Floats:
    """Stack the widths of all systems; a system without a prediction gets WIDEST. M x (N, 2) -> (N, M, 2)."""
    unknown = np.full((frames, len(TARGETS)), WIDEST)
    return np.stack([unknown if each is None else each for each in widths], axis=1)
