"""Curves with fewer points that look the same: of every stretch its extremes stay."""

import numpy as np

from stages.core.arrays import Floats, Integers


def kept_points(values: Floats, limit: int) -> Integers:
    """Which points of a curve to draw: at most `limit`, in order, first and last among them.

    The curve is cut into stretches of equal length; of each its lowest and highest value stay, and one gap
    (NaN) if it has any, so that neither a peak nor a break is lost.

    Shape: (N,) -> (K,) indices, K <= limit.

    Args:
        values: NaN where the curve has a gap.
        limit: at least 5.

    Raises:
        ValueError: limit is under 5.
    """
    if limit < 5:
        raise ValueError(f"limit is {limit}: first, last and the three points of one stretch make 5")
    if len(values) <= limit:
        return np.arange(len(values))
    stretches = (limit - 2) // 3
    size = -(-len(values) // stretches)
    padded = np.full(stretches * size, np.nan)
    padded[: len(values)] = values
    rows = padded.reshape(stretches, size)
    gap = np.isnan(rows)
    lowest = np.where(gap, np.inf, rows).argmin(axis=1)
    highest = np.where(gap, -np.inf, rows).argmax(axis=1)
    within = np.stack([lowest, highest, gap.argmax(axis=1)])  # argmax of no gap: 0, a point like any other
    gapless = ~gap.any(axis=1)
    within[2, gapless] = lowest[gapless]
    kept = (within + np.arange(stretches) * size).ravel()
    ends = [0, len(values) - 1]
    chosen: Integers = np.unique(np.concatenate([kept[kept < len(values)], ends]))
    return chosen
