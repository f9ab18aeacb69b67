"""How sure a CCC is: intervals by a bootstrap over subjects or videos.

Frames of one recording aren't independent, so whole recordings are drawn with replacement. Each brings its
moments, not its frames: ten thousand resamples of a corpus are one matrix product.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.core.arrays import Floats, Integers
from stages.core.measures import Moments, concordance


@dataclass(frozen=True)
class Interval:
    """A figure and the bounds of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Intervals:
    """Of one system: CCC of valence, of arousal, and their mean."""

    valence: Interval
    arousal: Interval
    mean: Interval


def ccc_intervals(
    valence: Sequence[Moments],
    arousal: Sequence[Moments],
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Intervals:
    """Percentile intervals of the CCC over all labelled frames together (paper, equation 2).

    Both targets use the same draws of recordings, so that the interval of their mean is right.

    Args:
        valence: moments of [truth, prediction] per recording.
        arousal: the same recordings, in the same order.
        resamples: bootstrap resamples.
        confidence: of the interval.
        seed: of the resamples.

    Raises:
        ValueError: fewer than two recordings with labels, lists of different lengths, or an argument out of
            range.
    """
    if len(valence) != len(arousal):
        raise ValueError(f"{len(valence)} recordings for valence, {len(arousal)} for arousal: must match")
    if resamples < 1 or not 0 < confidence < 1:
        raise ValueError(f"resamples {resamples}, confidence {confidence}: must be >= 1, and between 0 and 1")
    usable = [
        index for index, both in enumerate(zip(valence, arousal, strict=True)) if min(m.count for m in both)
    ]
    if len(usable) < 2:
        raise ValueError(f"{len(usable)} recordings with labels: a bootstrap over recordings needs two")
    scores = [
        resampled([moments[index] for index in usable], resamples=resamples, seed=seed)
        for moments in (valence, arousal)
    ]
    figures = (*scores, (scores[0] + scores[1]) / 2)
    return Intervals(*(_interval(figure, confidence) for figure in figures))


def resampled(parts: Sequence[Moments], *, resamples: int, seed: int) -> Floats:
    """CCC of the recordings as they are, then of every resample. Shape: -> (1 + resamples,).

    The same number of recordings and seed give the same draws, so that systems can be compared in pairs.
    """
    share = np.full(len(parts), 1 / len(parts))
    times = np.random.default_rng(seed).multinomial(len(parts), share, size=resamples)
    return _scores(parts, np.vstack([np.ones_like(share, dtype=times.dtype), times]))


def _scores(parts: Sequence[Moments], times: Integers) -> Floats:
    """CCC of each resample, given how often it holds each recording. Shape: (R, G) -> (R,)."""
    count = np.array([part.count for part in parts], np.float64)
    mean = np.array([part.mean for part in parts])
    mean -= count @ mean[:, 0] / count.sum()  # one shift for both columns: near zero nothing cancels
    second = np.array([part.covariance for part in parts]) + mean[:, :, None] * mean[:, None, :]
    share = times * count
    share /= share.sum(axis=1, keepdims=True)
    centre = share @ mean
    covariance = np.einsum("rg,gij->rij", share, second) - centre[:, :, None] * centre[:, None, :]
    spread = covariance[:, 0, 0] + covariance[:, 1, 1] + (centre[:, 0] - centre[:, 1]) ** 2
    return concordance(2 * covariance[:, 0, 1], spread)


def _interval(scores: Floats, confidence: float) -> Interval:
    tail = (1 - confidence) / 2
    low, high = np.quantile(scores[1:], [tail, 1 - tail])
    return Interval(float(scores[0]), float(low), float(high))
