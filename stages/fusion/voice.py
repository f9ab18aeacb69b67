"""Weights that follow the voice: the share of speaking time around a frame, and stacks that make it count.

With u the weights in silence and v those in speech, each >= 0 with sum 1, the weights at a share s of
speaking time are (1 - s) u + s v: a convex combination at every share, so that no weight is ever negative and
nothing leaves the systems' own range. The fused value is then linear in twice as many columns,

    sum_m u[m] (1 - s) prediction_m + sum_m v[m] s prediction_m,

and everything that holds for weighted sums (moments, draws, the local search) holds for these. With u = v it
is the plain weighted sum.
"""

import numpy as np

from stages.core.arrays import Flags, Floats


def speaking_share(speaking: Flags, grid_s: Floats, time_s: Floats, window_s: float) -> Floats:
    """Share of speaking steps within half a window before and after each time.

    Shape: (T,), (T,), (N,) -> (N,) float64 in [0, 1].

    At the ends only steps inside the recording count. Where no step is so near, the nearest one counts.

    Args:
        speaking: steps in which the person speaks.
        grid_s: times of the steps, increasing.
        time_s: times asked for, such as those of native frames.
        window_s: width of the window, > 0.

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
    nearest = np.searchsorted((grid_s[1:] + grid_s[:-1]) / 2, time_s)
    empty = first >= stop
    first, stop = np.where(empty, nearest, first), np.where(empty, nearest + 1, stop)
    before = np.append(0, np.cumsum(speaking))
    return np.asarray((before[stop] - before[first]) / (stop - first))


def split_by_voice(stacks: Floats, share: Floats) -> Floats:
    """The columns that weights for silence, then for speech, multiply.

    Shape: (N, M, C), (N,) -> (N, 2 M, C) float64; the two halves add up to `stacks`.

    Raises:
        ValueError: lengths differ, or a share isn't in 0..1.
    """
    if len(stacks) != len(share) or (len(share) and not (share.min() >= 0 and share.max() <= 1)):
        raise ValueError(f"{len(stacks)} rows and {len(share)} shares: must match, every share in 0..1")
    weight = share[:, None, None]
    return np.concatenate([(1 - weight) * stacks, weight * stacks], axis=1)
