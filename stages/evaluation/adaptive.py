"""An interval that is narrow where the system is sure: conformalised quantile regression over recordings.

1. Two linear quantile regressions tell, from features at hand, between which errors (truth less trace) the
   middle COVERAGE of the frames lies (Koenker and Bassett, 1978), smoothed so that a gradient leads there.
2. Each fold of recordings is predicted by regressions fitted on the others. How far its errors lie beyond
   the predicted interval, in units of the interval's width, is the score that calibrates it (Romano,
   Patterson and Candes, 2019; in units of the width: Sesia and Candes, 2020).
3. Scores are taken by thirds of the predicted width, so that easy and hard frames are each covered (Vovk,
   2012). All frames of a recording are on one side: neighbours are near-duplicates.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stages.core.arrays import Floats
from stages.core.folds import Groups, assign_folds

THIRDS = 3
LEAST_WIDTH = 0.02
"""No interval is narrower: labels are given to a hundredth at best."""
FARTHEST = 4.0
"""Standard deviations at which a feature is cut off: what is stranger yet is as strange as this."""
SMOOTH = 0.02
"""Errors within which the quantile loss is rounded, so that its slope is continuous."""
SHORT_OF_EVERYTHING = 2.0
"""Of a third that too few recordings reach, the interval is the whole range of errors."""


@dataclass(frozen=True, eq=False)
class Regression:
    """Low and high quantile of the error of one target.

    Attributes:
        mean, scale: (F,) of the features it was fitted on.
        weights: (2, 1 + F), low and high: intercept first.
    """

    mean: Floats
    scale: Floats
    weights: Floats

    def predict(self, features: Floats) -> Floats:
        """Low and high error. Shape: (N, F) -> (N, 2)."""
        z = np.clip((features - self.mean) / self.scale, -FARTHEST, FARTHEST)
        bounds = np.column_stack([np.ones(len(z)), z]) @ self.weights.T
        middle, half = bounds.mean(axis=1), np.maximum(np.diff(bounds)[:, 0], LEAST_WIDTH) / 2
        return np.stack([middle - half, middle + half], axis=1)


@dataclass(frozen=True, eq=False)
class Band:
    """The calibrated interval of one target.

    Attributes:
        regression: before calibration.
        edges: (2,) predicted widths that part the thirds.
        widen: (3,) what each third is widened by on both sides, in units of the predicted width; may be < 0.
    """

    regression: Regression
    edges: Floats
    widen: Floats

    def errors(self, features: Floats) -> Floats:
        """Low and high error, truth less trace. Shape: (N, F) -> (N, 2)."""
        bounds = self.regression.predict(features)
        width = np.diff(bounds)[:, 0]
        more = width * self.widen[np.searchsorted(self.edges, width)]
        bounds = bounds + np.stack([-more, more], axis=1)
        middle, half = bounds.mean(axis=1), np.maximum(np.diff(bounds)[:, 0], LEAST_WIDTH) / 2
        return np.stack([middle - half, middle + half], axis=1)

    def to_arrays(self, prefix: str) -> dict[str, Floats]:
        """Plain arrays, as safetensors wants them."""
        arrays = {"mean": self.regression.mean, "scale": self.regression.scale}
        arrays |= {"weights": self.regression.weights, "edges": self.edges, "widen": self.widen}
        return {f"{prefix}.{name}": np.ascontiguousarray(array) for name, array in arrays.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Floats], prefix: str) -> "Band":
        """The inverse of `to_arrays`."""
        own = {name: arrays[f"{prefix}.{name}"] for name in ("mean", "scale", "weights", "edges", "widen")}
        return cls(Regression(own["mean"], own["scale"], own["weights"]), own["edges"], own["widen"])


def fit_band(
    features: Floats, errors: Floats, groups: Groups, *, coverage: float, ridge: float, folds: int, seed: int
) -> Band:
    """Fit on all rows; calibrate each fold of recordings by fits on the others.

    Shape: (N, F), (N,), (N,).

    Args:
        features: what is known of a frame without its label.
        errors: truth less an out-of-fold trace.
        groups: recording of each row; changed copies of a recording belong to it.
        coverage: share of frames that the interval is to hold.
        ridge: weight of the squared coefficients.
        folds: of recordings, at most as many as there are.
        seed: of the folds.

    Raises:
        ValueError: fewer than two recordings.
    """
    recordings = len(np.unique(groups))
    fold = assign_folds(groups, min(folds, recordings), seed)
    tail = (1 - coverage) / 2
    bounds = np.empty((len(errors), 2))
    for each in np.unique(fold):
        out = fold == each
        bounds[out] = _regress(features[~out], errors[~out], tail, ridge).predict(features[out])
    width = np.diff(bounds)[:, 0]
    scores = np.maximum(bounds[:, 0] - errors, errors - bounds[:, 1]) / width
    edges = np.quantile(width, [1 / THIRDS, 2 / THIRDS])
    third = np.searchsorted(edges, width)
    widen = np.array([_quantile(scores[third == k], groups[third == k], coverage) for k in range(THIRDS)])
    return Band(_regress(features, errors, tail, ridge), edges, widen)


def _quantile(scores: Floats, groups: Groups, coverage: float) -> float:
    """The score that `coverage` of the frames stay below; a third of one recording calibrates nothing."""
    return float(np.quantile(scores, coverage)) if len(np.unique(groups)) > 1 else SHORT_OF_EVERYTHING


def _regress(features: Floats, errors: Floats, tail: float, ridge: float) -> Regression:
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    z = np.clip((features - mean) / scale, -FARTHEST, FARTHEST)
    design = np.column_stack([np.ones(len(z)), z])
    weights = np.stack([_quantile_regression(design, errors, level, ridge) for level in (tail, 1 - tail)])
    return Regression(mean, scale, weights)


def _quantile_regression(design: Floats, errors: Floats, level: float, ridge: float) -> Floats:
    """Weights that minimise the smoothed quantile loss. Shape: (N, 1 + F), (N,) -> (1 + F,)."""
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    start = np.zeros(design.shape[1])
    start[0] = np.quantile(errors, level)
    penalised = np.r_[0.0, np.full(design.shape[1] - 1, ridge)]

    def loss(weights: Floats) -> tuple[float, Floats]:
        rest = errors - design @ weights
        rounded = np.clip(rest / SMOOTH, -1, 1)
        slope = level - 0.5 + rounded / 2  # of the loss by the rest: level - 1 below 0, level above
        value = (level - 0.5) * rest + SMOOTH * np.where(
            np.abs(rest) < SMOOTH, (rounded**2 + 1) / 4, np.abs(rest) / (2 * SMOOTH)
        )
        gradient = -(design.T @ slope) / len(rest) + penalised * weights
        return float(value.mean() + (penalised * weights**2).sum() / 2), gradient

    with threadpool_limits(1):  # products this small take longer to share among threads than to compute
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return np.asarray(found.x)


@dataclass(frozen=True)
class Measured:
    """How an interval did on recordings that it has not seen.

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
