"""Agreement of predictions with labels: CCC, RMSE, and the moments behind CCC.

A frame whose truth is NaN is unlabelled and isn't counted. CCC depends only on means, variances and
covariances. These are computed once per recording (`Moments`) and merged; the exact CCC of any weighted sum
of models, and of any set of recordings, follows from them without the frames.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np

from stages.core.arrays import Flags, Floats

TARGETS = ("valence", "arousal")
"""The two columns of every label and prediction, in this order."""
SCORED = (*TARGETS, "mean")
"""The reported scores: one per target, and their mean."""


def ccc(truth: Floats, prediction: Floats) -> float:
    """Concordance correlation coefficient, population moments (paper, equation 2).

    Shape: (N,), (N,) -> scalar in [-1, 1].

    It is finite for constants: 0 if only one side is constant, or both are but differ; 1 if both are the same
    constant, where the formula is 0/0.

    Args:
        truth: labels; NaN where unlabelled.
        prediction: one value per frame; may be NaN only where the truth is.

    Raises:
        ValueError: shapes differ, no frame is labelled, or a labelled frame's prediction isn't finite.

    >>> ccc(np.array([0.0, 1.0, np.nan]), np.array([0.0, 1.0, 9.0]))
    1.0
    """
    return Moments.of(truth, prediction[:, None]).ccc()


def ccc_per_target(truth: Floats, prediction: Floats) -> Floats:
    """CCC of every column; a frame counts only if all its targets are labelled.

    Shape: (N, C), (N, C) -> (C,).

    Raises:
        ValueError: as `ccc`.
    """
    rows = labelled_rows(truth, prediction)
    columns = range(truth.shape[1])
    return np.array([ccc(truth[rows, column], prediction[rows, column]) for column in columns])


def rmse(truth: Floats, prediction: Floats) -> float:
    """Root mean squared error over the labelled frames, the static models' measure (paper, section 5).

    Shape: (N,), (N,) -> scalar.

    Raises:
        ValueError: as `ccc`.
    """
    return float(rmse_per_target(truth[:, None], prediction[:, None])[0])


def rmse_per_target(truth: Floats, prediction: Floats) -> Floats:
    """RMSE of every column; a frame counts only if all its targets are labelled.

    Shape: (N, C), (N, C) -> (C,).

    Raises:
        ValueError: as `ccc`.
    """
    rows = labelled_rows(truth, prediction)
    if not rows.any():
        raise ValueError(f"no labelled frame among the {len(truth)} given: nothing to measure")
    error = prediction[rows].astype(np.float64) - truth[rows]
    return np.asarray(np.sqrt(np.mean(error**2, axis=0)))


def labelled_rows(truth: Floats, prediction: Floats) -> Flags:
    """The frames with all targets labelled; checks that they have a prediction.

    Shape: (N, C), (N, ...) -> (N,).

    Raises:
        ValueError: the numbers of frames or targets differ, or a labelled frame's prediction isn't finite.
    """
    if len(truth) != len(prediction) or (prediction.ndim == 2 and truth.shape != prediction.shape):
        raise ValueError(f"truth is {truth.shape}, prediction {prediction.shape}: they must match")
    rows: Flags = ~np.isnan(truth).any(axis=1)
    unusable = rows & ~np.isfinite(prediction).all(axis=tuple(range(1, prediction.ndim)))
    if unusable.any():
        first = int(np.flatnonzero(unusable)[0])
        raise ValueError(f"{unusable.sum()} labelled frames have no finite prediction, the first is {first}")
    return rows


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, means and population covariance of the columns [truth, model 1, ..., model M].

    Attributes:
        count: number of labelled frames.
        mean: (1 + M,) float64.
        covariance: (1 + M, 1 + M) float64, divided by `count`, not `count` - 1.
    """

    count: int
    mean: Floats
    covariance: Floats

    @classmethod
    def of(cls, truth: Floats, stack: Floats) -> "Moments":
        """Compute over the labelled frames; without any, the result is the neutral element of `merge`.

        Shape: (N,), (N, M).

        Raises:
            ValueError: the numbers of frames differ, or a labelled frame's prediction isn't finite.
        """
        rows = labelled_rows(truth[:, None], stack[:, :, None])
        columns = np.column_stack([truth[rows], stack[rows]]).astype(np.float64)
        if not len(columns):
            return cls(0, np.zeros(columns.shape[1]), np.zeros((columns.shape[1],) * 2))
        shift = columns[0].copy()  # relative to the first row: a constant column has a variance of exactly 0
        columns -= shift
        offset = columns.mean(axis=0)
        columns -= offset
        return cls(len(columns), shift + offset, columns.T @ columns / len(columns))

    def merge(self, other: "Moments") -> "Moments":
        """Moments of both sets of frames together, without cancellation (Chan, Golub and LeVeque, 1983).

        Raises:
            ValueError: the two hold different numbers of models.
        """
        if len(self.mean) != len(other.mean):
            raise ValueError(f"can't merge moments of {len(self.mean) - 1} and {len(other.mean) - 1} models")
        if not self.count or not other.count:
            return self if self.count else other
        count = self.count + other.count
        share = other.count / count
        delta = other.mean - self.mean
        within = (1 - share) * self.covariance + share * other.covariance
        between = share * (1 - share) * np.outer(delta, delta)
        return Moments(count, self.mean + share * delta, within + between)

    def fused(self, weights: Floats) -> "Moments":
        """Moments of [truth, weighted sum of the models], which determine the score of the fused prediction.

        Shape: (M,).

        Raises:
            ValueError: the number of weights isn't the number of models.
        """
        if np.shape(weights) != (len(self.mean) - 1,):
            raise ValueError(f"{np.shape(weights)} weights for {len(self.mean) - 1} models")
        mix = np.zeros((2, len(self.mean)))
        mix[0, 0], mix[1, 1:] = 1.0, weights
        return Moments(self.count, mix @ self.mean, mix @ self.covariance @ mix.T)

    def ccc(self) -> float:
        """CCC of the only model.

        Raises:
            ValueError: no frame is labelled, or there are several models (combine them with `fused`).
        """
        if not self.count:
            raise ValueError("no labelled frame: CCC is undefined")
        if len(self.mean) != 2:
            raise ValueError(
                f"CCC compares one model with the truth, but these moments have {len(self.mean) - 1}"
            )
        numerator, spread = 2 * self.covariance[0, 1], self.covariance[0, 0] + self.covariance[1, 1]
        return float(concordance(numerator, spread + (self.mean[0] - self.mean[1]) ** 2))


def moments_per_target(truth: Floats, prediction: Floats) -> tuple[Moments, Moments]:
    """Moments of [truth, prediction] of valence and of arousal; a frame counts if both are labelled.

    Shape: (N, 2), (N, 2).

    Raises:
        ValueError: as `ccc`, except for a recording without labels.
    """
    rows = labelled_rows(truth, prediction)
    valence, arousal = (Moments.of(truth[rows, k], prediction[rows][:, [k]]) for k in range(2))
    return valence, arousal


def concordance(numerator: Floats, denominator: Floats) -> Floats:
    """The quotient of the paper's equation 2; 1 where the denominator is 0 (equal constants)."""
    numerator, denominator = np.asarray(numerator), np.asarray(denominator)
    equal = denominator <= 0
    return np.where(equal, 1.0, numerator / np.where(equal, 1.0, denominator))


def merge_all(parts: Iterable[Moments]) -> Moments:
    """Merge the moments of all parts (at least one), in their order.

    Raises:
        TypeError: there is no part.
    """
    return reduce(Moments.merge, parts)
