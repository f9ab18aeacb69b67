"""How sure each system of a fusion is, frame by frame: the widths of their intervals, fitted on validation.

As in `evaluation.adaptive`, without the calibration: only the systems' widths beside each other matter. What
is fitted on a recording never tells that recording's widths while a fusion is fitted or scored: each fold's
are by fits on the other folds, and where a fold is left out for scoring, on those less that one.
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
"""Subject -> one system's trace on the grid, (T, 2); no entry where it abstains."""


class Evidence(NamedTuple):
    """What is known of one validation subject: the labels at the steps of its view, (T, 2), and its fold."""

    view: View
    truth: Floats
    fold: int


@dataclass(frozen=True, eq=False)
class PartInterval:
    """The interval of one system: of valence and of arousal; None where nothing was left to fit it on."""

    targets: tuple[Spread, ...] | None

    def widths(self, view: View, trace: Floats) -> Floats:
        """Shape: (T, 2) -> (T, 2)."""
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
    """Fit one system's interval on the subjects given."""
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
        traces: of one system, picked by the recordings outside `without`.
        settings: of the regressions.
        without: the fold that nothing may be fitted on; None: no such fold.
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
    """Widths at native frames. Shape: (T, 2), (T,), (N,) -> (N, 2)."""
    return np.column_stack([np.interp(time_s, grid_s, column) for column in widths.T])


def side_by_side(widths: Iterable[Floats | None], frames: int) -> Floats:
    """Widths of the systems of a stack; those that abstain count as knowing nothing. -> (N, M, 2)."""
    unknown = np.full((frames, len(TARGETS)), WIDEST)
    return np.stack([unknown if each is None else each for each in widths], axis=1)
