"""Fusion weights that depend on speech: the share of speaking time around a frame, and the stacks for it.

With u the weights in silence and v those in speech, each >= 0 with sum 1, the weights at a share s of
speaking time are (1 - s) u + s v. That is a convex combination at every share: no weight is negative, and the
fused value stays between the systems' predictions. It is linear in twice as many columns,

    sum_m u[m] (1 - s) prediction_m + sum_m v[m] s prediction_m,

so moments, random draws and the local search work as for plain weights. With u = v it is the plain weighted
sum.
"""

import numpy as np

from stages.core.arrays import Flags, Floats
from stages.core.times import nearest


def speaking_share(speaking: Flags, grid_s: Floats, time_s: Floats, window_s: float) -> Floats:
    """Share of steps with speech in a window centred on each time.

    Shape: (T,), (T,), (N,) -> (N,) float64 in [0, 1].

    At the ends only steps inside the recording count. If a window holds no step, the nearest step counts.

    Args:
        speaking: whether the person speaks, per step.
        grid_s: times of the steps in seconds, increasing.
        time_s: times of the results in seconds, e.g. of the native frames.
        window_s: width of the window in seconds, > 0.

    Raises:
        ValueError: there is no step, the lengths differ, or window_s isn't positive.

    >>> speaks = np.array([True, False, False, True])
    >>> speaking_share(speaks, np.arange(4.0), np.array([0.0, 1.4]), 2.0).tolist()
    [0.5, 0.0]
    """
    if not len(grid_s) or len(speaking) != len(grid_s) or window_s <= 0:
        raise ValueError(
            f"{len(speaking)} flags, {len(grid_s)} steps, window_s {window_s}: must match, not be 0"
        )
    first = np.searchsorted(grid_s, time_s - window_s / 2, side="left")
    stop = np.searchsorted(grid_s, time_s + window_s / 2, side="right")
    closest = nearest(grid_s, time_s)
    empty = first >= stop
    first, stop = np.where(empty, closest, first), np.where(empty, closest + 1, stop)
    before = np.append(0, np.cumsum(speaking))
    return np.asarray((before[stop] - before[first]) / (stop - first))


def split_by_speaking(stacks: Floats, share: Floats) -> Floats:
    """Columns for the weights in silence, then for the weights in speech.

    Shape: (N, M, C), (N,) -> (N, 2 M, C) float64; the two halves add up to `stacks`.

    Raises:
        ValueError: lengths differ, or a share isn't in 0..1.
    """
    if len(stacks) != len(share) or (len(share) and not (share.min() >= 0 and share.max() <= 1)):
        raise ValueError(f"{len(stacks)} rows and {len(share)} shares: must match, every share in 0..1")
    weight = share[:, None, None]
    return np.concatenate([(1 - weight) * stacks, weight * stacks], axis=1)
