"""An interval that is narrow where the system is sure: conformalised quantile regression over recordings.

1. Two quantile regressions (Koenker and Bassett, 1978), sums of small trees, predict from known features
   between which errors (truth minus trace) the middle `coverage` of the frames lies. The interval need
   not lie evenly about the trace: where frames of a kind are mostly over- or underestimated, it moves.
2. Each fold of recordings is predicted by regressions fitted on the others. How far its errors lie beyond
   the predicted interval is the score that calibrates it (Romano, Patterson and Candes, 2019).
3. Scores are taken by thirds of the predicted width, so that easy and hard frames are each covered (Vovk,
   2012). All frames of a recording are on one side: neighbours are near-duplicates.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stages.core.arrays import Floats, Integers
from stages.core.folds import Groups
from stages.core.params import IntervalParams
from stages.evaluation.boosting import Boosted, fit_boosted

THIRDS = 3
LEAST_WIDTH = 0.02
"""No interval is narrower: labels are given to a hundredth at best."""
SHORT_OF_EVERYTHING = 2.0
"""Of a third that too few recordings reach, the interval is the whole range of errors."""


@dataclass(frozen=True, eq=False)
class Quantiles:
    """Low and high quantile of the error of one target."""

    low: Boosted
    high: Boosted

    def predict(self, features: Floats) -> Floats:
        """Low and high error. Shape: (N, F) -> (N, 2)."""
        return _apart(np.stack([self.low.predict(features), self.high.predict(features)], axis=1))

    def to_arrays(self, prefix: str) -> dict[str, Floats]:
        """Plain arrays, as safetensors wants them."""
        sides = {"low": self.low.to_arrays(), "high": self.high.to_arrays()}
        return {
            f"{prefix}.{side}.{name}": array for side, own in sides.items() for name, array in own.items()
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Floats], prefix: str) -> "Quantiles":
        """The inverse of `to_arrays`."""
        low, high = (
            Boosted.from_arrays(
                {name.removeprefix(start): arrays[name] for name in arrays if name.startswith(start)}
            )
            for start in (f"{prefix}.low.", f"{prefix}.high.")
        )
        return cls(low, high)


def _apart(bounds: Floats) -> Floats:
    """Bounds about their middle, no nearer than labels are exact. Shape: (N, 2) -> (N, 2)."""
    middle, half = bounds.mean(axis=1), np.maximum(np.diff(bounds)[:, 0], LEAST_WIDTH) / 2
    return np.stack([middle - half, middle + half], axis=1)


@dataclass(frozen=True, eq=False)
class Band:
    """The calibrated interval of one target.

    Attributes:
        quantiles: before calibration.
        edges: (2,) predicted widths that part the thirds.
        widen: (3,) what each third is widened by on both sides; may be < 0.
    """

    quantiles: Quantiles
    edges: Floats
    widen: Floats

    def errors(self, features: Floats) -> Floats:
        """Low and high error, truth less trace. Shape: (N, F) -> (N, 2)."""
        bounds = self.quantiles.predict(features)
        more = self.widen[np.searchsorted(self.edges, np.diff(bounds)[:, 0])]
        return _apart(bounds + np.stack([-more, more], axis=1))

    def to_arrays(self, prefix: str) -> dict[str, Floats]:
        """Plain arrays, as safetensors wants them."""
        thirds = {f"{prefix}.edges": self.edges, f"{prefix}.widen": self.widen}
        return self.quantiles.to_arrays(prefix) | thirds

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Floats], prefix: str) -> "Band":
        """The inverse of `to_arrays`."""
        return cls(
            Quantiles.from_arrays(arrays, prefix), arrays[f"{prefix}.edges"], arrays[f"{prefix}.widen"]
        )


class CrossFitted:
    """Bands of one target: of all recordings, and of those outside a fold, each calibrated over folds.

    A regression is fitted once for every one or two folds that are left out: the one without fold a and b
    calibrates both the band of those outside a and the band of those outside b.

    Args:
        features: (N, F) what is known of a frame without its label.
        errors: (N,) truth less an out-of-fold trace.
        groups: (N,) recording of each row; changed copies of a recording belong to it.
        fold: (N,) of each row's recording.
        settings: coverage, trees.
        kinds: (N,) of each row's recording, such as clean or degraded; see `fit_quantiles`. None: one kind.
    """

    def __init__(
        self,
        features: Floats,
        errors: Floats,
        groups: Groups,
        fold: Integers,
        settings: IntervalParams,
        kinds: Groups | None = None,
    ) -> None:
        self._features, self._errors, self._groups = features, errors, groups
        self._fold, self._settings, self._kinds = fold, settings, kinds
        self._known: dict[frozenset[int], Quantiles] = {}

    def band(self, without: int | None = None) -> Band:
        """The band of all recordings, or of those outside one fold.

        Raises:
            ValueError: they are of fewer than two folds.
        """
        left_out = frozenset(() if without is None else (without,))
        rows = ~np.isin(self._fold, list(left_out))
        folds = np.unique(self._fold[rows]).tolist()
        if len(folds) < 2:
            raise ValueError(f"{len(folds)} folds: calibration needs two")
        bounds = np.empty((len(self._errors), 2))
        for each in folds:
            own = self._fold == each
            bounds[own] = self._quantiles(left_out | {each}).predict(self._features[own])
        return _calibrated(
            self._quantiles(left_out),
            bounds[rows],
            self._errors[rows],
            self._groups[rows],
            self._settings.coverage,
        )

    def _quantiles(self, left_out: frozenset[int]) -> Quantiles:
        if left_out not in self._known:
            rows = ~np.isin(self._fold, list(left_out))
            kinds = None if self._kinds is None else self._kinds[rows]
            self._known[left_out] = fit_quantiles(
                self._features[rows], self._errors[rows], self._settings.coverage, self._settings, kinds
            )
        return self._known[left_out]


def _calibrated(
    quantiles: Quantiles, bounds: Floats, errors: Floats, groups: Groups, coverage: float
) -> Band:
    """A band widened, by thirds of the width, as bounds predicted by fits on other recordings need it."""
    width = np.diff(bounds)[:, 0]
    scores = np.maximum(bounds[:, 0] - errors, errors - bounds[:, 1])
    edges = np.quantile(width, [1 / THIRDS, 2 / THIRDS])
    third = np.searchsorted(edges, width)
    widen = np.array([_quantile(scores[third == k], groups[third == k], coverage) for k in range(THIRDS)])
    return Band(quantiles, edges, widen)


def _quantile(scores: Floats, groups: Groups, coverage: float) -> float:
    """The score that `coverage` of the frames stay below; a third of one recording calibrates nothing."""
    return float(np.quantile(scores, coverage)) if len(np.unique(groups)) > 1 else SHORT_OF_EVERYTHING


def fit_quantiles(
    features: Floats,
    errors: Floats,
    coverage: float,
    settings: IntervalParams,
    kinds: Groups | None = None,
) -> Quantiles:
    """Between which errors the middle `coverage` of the rows lies. Shape: (N, F), (N,).

    Args:
        features: what is known of a frame without its label.
        errors: truth less trace.
        coverage: in (0, 1).
        settings: of the trees; of more than `rows` rows every so many-th is taken, as neighbours are alike.
        kinds: (N,); the errors of each kind count in units of their mean: otherwise the large errors of
            degraded recordings would outweigh those of clean ones. None: all alike.
    """
    thinned = slice(None, None, -(-len(errors) // settings.rows))
    rows, rest = features[thinned], errors[thinned]
    weights = None if kinds is None else _evened(rest, kinds[thinned])
    tail = (1 - coverage) / 2
    return Quantiles(*(fit_boosted(rows, rest, level, settings, weights) for level in (tail, 1 - tail)))


def _evened(errors: Floats, kinds: Groups) -> Floats:
    """Weights by which every kind of rows has the same mean size of error. Shape: (N,), (N,) -> (N,)."""
    _, member = np.unique(kinds, return_inverse=True)
    size = np.bincount(member, np.abs(errors)) / np.bincount(member)
    return np.asarray(1 / np.maximum(size, LEAST_WIDTH)[member])


@dataclass(frozen=True)
class Measured:
    """How well an interval held on recordings that it was not fitted on.

    Attributes:
        coverage: share of frames whose truth it held.
        width: its mean.
        by_third: coverage of the thirds by the predicted width, the narrowest first.
    """

    coverage: float
    width: float
    by_third: tuple[float, float, float]


def measure(bounds: Floats, errors: Floats) -> Measured:
    """Compare intervals of the error with the errors. Shape: (N, 2), (N,)."""
    held = (errors >= bounds[:, 0]) & (errors <= bounds[:, 1])
    width = np.diff(bounds)[:, 0]
    rank = np.argsort(np.argsort(width, kind="stable"), kind="stable")
    third = np.minimum(rank * THIRDS // max(1, len(rank)), THIRDS - 1)
    easy, middling, hard = (
        float(held[third == k].mean()) if (third == k).any() else 1.0 for k in range(THIRDS)
    )
    return Measured(float(held.mean()), float(width.mean()), (easy, middling, hard))


def width_at(bounds: Floats, errors: Floats, coverage: float) -> float:
    """Mean width once the intervals are stretched about their middles so as to hold exactly `coverage`.

    Shape: (N, 2), (N,). It compares intervals of unlike coverage.
    """
    middle, half = bounds.mean(axis=1), np.diff(bounds)[:, 0] / 2
    stretch = np.quantile(np.abs(errors - middle) / half, coverage)
    return float(2 * half.mean() * stretch)
