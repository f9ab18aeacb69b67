"""An interval that is narrow where the system is sure: location, size, conformal calibration over recordings.

1. Two regressions, sums of small trees, predict from known features the median of the error (truth minus
   trace) and then the mean logarithm of its distance from that median. The interval lies about the median:
   where frames of a kind are mostly over- or underestimated, it moves. (Regressions of both quantiles learn
   from the few errors in the tails; these two learn from all errors, so that few recordings suffice.)
2. Each fold of recordings is predicted by regressions fitted on the others. An error's distance from the
   middle, in half widths, is the score that calibrates (Lei, G'Sell, Rinaldo, Tibshirani, Wasserman, 2018).
3. Scores are taken by thirds of the predicted width, so that easy and hard frames are each covered (Vovk,
   2012). Where a third of narrower intervals would end up wider than the next, the two are one: their order
   tells nothing. All frames of a recording are on one side: neighbours are near-duplicates.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stages.core.arrays import Floats, Integers
from stages.core.folds import Groups
from stages.core.params import IntervalParams
from stages.evaluation.boosting import Boosted, Ranked, fit_boosted

THIRDS = 3
LEAST_WIDTH = 0.02
"""No interval is narrower: labels are given to a hundredth at best."""
LARGEST_ERROR = 2.0
"""Labels and traces lie in [-1, 1]."""
SHORT_OF_EVERYTHING = 1e3
"""Half widths of a third that too few recordings reach: the whole range of errors."""


@dataclass(frozen=True, eq=False)
class Spread:
    """Where the error of one target lies, before calibration.

    Attributes:
        middle: median of the error.
        size: mean logarithm of its distance from that.
        stretch: half width of the interval in units of exp(size).
    """

    middle: Boosted
    size: Boosted
    stretch: float

    def predict(self, features: Floats) -> Floats:
        """Low and high error. Shape: (N, F) -> (N, 2)."""
        middle = self.middle.predict(features)
        half = self.stretch * np.exp(np.minimum(self.size.predict(features), np.log(LARGEST_ERROR)))
        return _between(middle, half)

    def to_arrays(self, prefix: str) -> dict[str, Floats]:
        """Plain arrays, as safetensors wants them."""
        parts = {"middle": self.middle.to_arrays(), "size": self.size.to_arrays()}
        arrays = {
            f"{prefix}.{part}.{name}": array for part, own in parts.items() for name, array in own.items()
        }
        return arrays | {f"{prefix}.stretch": np.array([self.stretch])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Floats], prefix: str) -> "Spread":
        """The inverse of `to_arrays`."""
        middle, size = (
            Boosted.from_arrays(
                {name.removeprefix(start): arrays[name] for name in arrays if name.startswith(start)}
            )
            for start in (f"{prefix}.middle.", f"{prefix}.size.")
        )
        return cls(middle, size, float(arrays[f"{prefix}.stretch"][0]))


def _between(middle: Floats, half: Floats) -> Floats:
    """Bounds about a middle, no nearer than labels are exact, no farther than errors go. -> (N, 2)."""
    half = np.maximum(half, LEAST_WIDTH / 2)
    bounds = np.stack([middle - half, middle + half], axis=1)
    return np.asarray(np.clip(bounds, -LARGEST_ERROR, LARGEST_ERROR))


def _middle_and_half(bounds: Floats) -> tuple[Floats, Floats]:
    """Shape: (N, 2) -> (N,), (N,)."""
    return bounds.mean(axis=1), np.diff(bounds)[:, 0] / 2


@dataclass(frozen=True, eq=False)
class Band:
    """The calibrated interval of one target.

    Attributes:
        spread: before calibration.
        edges: (2,) predicted widths that part the thirds.
        factors: (3,) what the widths of each third are multiplied by.
    """

    spread: Spread
    edges: Floats
    factors: Floats

    def errors(self, features: Floats) -> Floats:
        """Low and high error, truth less trace. Shape: (N, F) -> (N, 2)."""
        middle, half = _middle_and_half(self.spread.predict(features))
        return _between(middle, half * self.factors[np.searchsorted(self.edges, 2 * half)])

    def to_arrays(self, prefix: str) -> dict[str, Floats]:
        """Plain arrays, as safetensors wants them."""
        thirds = {f"{prefix}.edges": self.edges, f"{prefix}.factors": self.factors}
        return self.spread.to_arrays(prefix) | thirds

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Floats], prefix: str) -> "Band":
        """The inverse of `to_arrays`."""
        edges, factors = (arrays[f"{prefix}.{name}"] for name in ("edges", "factors"))
        return cls(Spread.from_arrays(arrays, prefix), edges, factors)


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
        kinds: (N,) of each row's recording, such as clean or degraded; see `fit_spread`. None: one kind.
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
        self._known: dict[frozenset[int], Spread] = {}

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
            bounds[own] = self._spread(left_out | {each}).predict(self._features[own])
        return _calibrated(
            self._spread(left_out),
            bounds[rows],
            self._errors[rows],
            self._groups[rows],
            self._settings.coverage,
        )

    def _spread(self, left_out: frozenset[int]) -> Spread:
        if left_out not in self._known:
            rows = ~np.isin(self._fold, list(left_out))
            kinds = None if self._kinds is None else self._kinds[rows]
            self._known[left_out] = fit_spread(
                self._features[rows], self._errors[rows], self._settings.coverage, self._settings, kinds
            )
        return self._known[left_out]


def _calibrated(spread: Spread, bounds: Floats, errors: Floats, groups: Groups, coverage: float) -> Band:
    """A band stretched, by thirds of the width, as bounds predicted by fits on other recordings need it."""
    middle, half = _middle_and_half(bounds)
    scores = np.abs(errors - middle) / half
    edges = np.quantile(2 * half, [1 / THIRDS, 2 / THIRDS])
    third = np.searchsorted(edges, 2 * half)
    return Band(spread, edges, _factors(scores, half, third, groups, coverage))


def _factors(scores: Floats, half: Floats, third: Integers, groups: Groups, coverage: float) -> Floats:
    """What the widths of each third are multiplied by; thirds whose order turns round are one. -> (3,)."""
    blocks = [[k] for k in range(THIRDS) if (third == k).any()]
    while True:
        rows = [np.isin(third, block) for block in blocks]
        found = [_quantile(scores[own], groups[own], coverage) for own in rows]
        widths = [factor * np.median(half[own]) for factor, own in zip(found, rows, strict=True)]
        turned = np.flatnonzero(np.diff(widths) < 0)
        if not len(turned):
            break
        first = int(turned[0])
        blocks[first : first + 2] = [blocks[first] + blocks[first + 1]]
    factors = np.full(THIRDS, SHORT_OF_EVERYTHING)
    for block, factor in zip(blocks, found, strict=True):
        factors[block] = factor
    return factors


def _quantile(scores: Floats, groups: Groups, coverage: float) -> float:
    """The score that `coverage` of the frames stay below; a third of one recording calibrates nothing."""
    return float(np.quantile(scores, coverage)) if len(np.unique(groups)) > 1 else SHORT_OF_EVERYTHING


def fit_spread(
    features: Floats,
    errors: Floats,
    coverage: float,
    settings: IntervalParams,
    kinds: Groups | None = None,
) -> Spread:
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
    ranked = Ranked.of(rows)
    middle = fit_boosted(ranked, rest, "absolute_error", settings, weights)
    left = np.abs(rest - middle.predict(rows))
    size = fit_boosted(ranked, np.log(left + LEAST_WIDTH), "squared_error", settings)
    stretch = float(np.quantile(left / np.exp(size.predict(rows)), coverage))
    return Spread(middle, size, stretch)


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
