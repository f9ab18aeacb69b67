"""Match times of one sequence to those of another."""

import numpy as np

from stages.core.arrays import Floats, Integers


def nearest(grid_time_s: Floats, time_s: Floats) -> Integers:
    """Index of the grid time nearest to each time; on a tie, the earlier one.

    Shape: (T,), (N,) -> (N,) int64.

    Args:
        grid_time_s: at least one time in seconds, increasing.
        time_s: the times in seconds.

    >>> nearest(np.array([0.0, 1.0, 2.0]), np.array([-3.0, 0.5, 0.6, 9.0])).tolist()
    [0, 0, 1, 2]
    """
    halfway_s = (grid_time_s[:-1] + grid_time_s[1:]) / 2
    return np.searchsorted(halfway_s, time_s, side="left")
