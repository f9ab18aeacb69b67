"""Decimate curves for drawing: keep the extremes of every segment, so that they look the same."""

import numpy as np

from stages.core.arrays import Floats, Integers


def kept_points(values: Floats, limit: int) -> Integers:
    """Which points of a curve to draw: at most `limit`, in order, including the first and the last.

    The curve is divided into segments of equal length. Of each segment, the lowest and the highest value are
    kept, and one gap (NaN) if it has any, so that no peak and no gap is lost.

    Shape: (N,) -> (K,) indices, K <= limit.

    Args:
        values: NaN where the curve has a gap.
        limit: at least 5.

    Raises:
        ValueError: limit is under 5.
    """
    if limit < 5:
        raise ValueError(
            f"limit is {limit}, must be 5 or more: first, last and the three points of one segment"
        )
    if len(values) <= limit:
        return np.arange(len(values))
    segments = (limit - 2) // 3
    size = -(-len(values) // segments)
    padded = np.full(segments * size, np.nan)
    padded[: len(values)] = values
    rows = padded.reshape(segments, size)
    gap = np.isnan(rows)
    lowest = np.where(gap, np.inf, rows).argmin(axis=1)
    highest = np.where(gap, -np.inf, rows).argmax(axis=1)
    within = np.stack([lowest, highest, gap.argmax(axis=1)])  # argmax without a gap: 0; replaced below
    gapless = ~gap.any(axis=1)
    within[2, gapless] = lowest[gapless]
    kept = (within + np.arange(segments) * size).ravel()
    ends = [0, len(values) - 1]
    chosen: Integers = np.unique(np.concatenate([kept[kept < len(values)], ends]))
    return chosen
