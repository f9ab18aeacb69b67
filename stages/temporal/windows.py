"""Windows over a sequence, and the way back: averages where windows overlap.

A window is known by its start. A start below 0 means a window longer than the sequence: its first steps lie
before the beginning, are filled with zeros and masked out.
"""

import numpy as np

from stages.core.arrays import Flags, Floats, Integers

SLACK = 1e-6  # of a step: decimal hops such as 0.2 s have no exact binary value


def tile(steps: int, window: int, hop: int) -> Integers:
    """Starts of windows every `hop` steps, all kept, and one more flush with the end if they leave a rest.

    A sequence shorter than the window gets one window that ends with it (start = steps - window < 0).

    Raises:
        ValueError: steps, window or hop is below 1, or hop exceeds window (steps would be skipped).

    >>> tile(10, window=4, hop=2).tolist(), tile(9, 4, 2).tolist(), tile(3, 4, 2).tolist()
    ([0, 2, 4, 6], [0, 2, 4, 5], [-1])
    """
    if min(steps, window, hop) < 1 or hop > window:
        raise ValueError(f"steps {steps}, window {window}, hop {hop}: all must be >= 1, and hop <= window")
    starts = np.arange(0, steps - window + 1, hop)
    if not len(starts) or starts[-1] != steps - window:
        starts = np.append(starts, steps - window)
    return starts


def labelled_runs(labelled: Flags, time_s: Floats, step_s: float, window: int, hop: int) -> Integers:
    """Starts of training windows: every step labelled, and no gap in time inside (paper, section 4).

    Each run of labelled, consecutive steps is tiled by itself (`tile`), so that no window crosses its ends;
    runs shorter than the window give none.

    Shape: (T,), (T,) -> (W,).

    Args:
        labelled: which steps are labelled.
        time_s: their times.
        step_s: the regular step; 1.5 x this is a gap.
        window: steps in a window.
        hop: steps between starts, <= window.

    Raises:
        ValueError: lengths differ, or as `tile`.
    """
    if len(labelled) != len(time_s):
        raise ValueError(f"{len(labelled)} flags for {len(time_s)} times: must match")
    runs = [
        begin + tile(end - begin, window, hop)
        for begin, end in consecutive_runs(labelled, time_s, step_s)
        if end - begin >= window
    ]
    return np.concatenate([np.empty(0, np.int64), *runs])


def consecutive_runs(kept: Flags, time_s: Floats, step_s: float) -> list[tuple[int, int]]:
    """Stretches of kept steps without a gap in time: first step of each, and the one after its last.

    Shape: (T,), (T,).

    Args:
        kept: which steps count.
        time_s: their times.
        step_s: the regular step; 1.5 x this is a gap.
    """
    linked = kept[1:] & kept[:-1] & (np.diff(time_s) < 1.5 * step_s)
    first = np.flatnonzero(kept & ~np.append(False, linked)[: len(kept)])
    last = np.flatnonzero(kept & ~np.append(linked, False)[: len(kept)])
    return list(zip(first.tolist(), (last + 1).tolist(), strict=True))


def cut(sequence: Floats, starts: Integers, window: int) -> tuple[Floats, Flags]:
    """The windows themselves; steps before the beginning are zeros and false in the mask.

    Shape: (T, C), (W,) -> (W, window, C), (W, window).

    Raises:
        ValueError: a window runs past the end.
    """
    steps = _steps(starts, window)
    if steps.size and steps.max() >= len(sequence):
        raise ValueError(f"a window ends at step {steps.max()}, the sequence has {len(sequence)}")
    inside = steps >= 0
    values = sequence[np.maximum(steps, 0)]
    values[~inside] = 0
    return values, inside


def overlap_average(starts: Integers, values: Floats, mask: Flags, steps: int) -> tuple[Floats, Integers]:
    """Average all windows that cover a step, for every step.

    Shape: (W,), (W, window, C), (W, window) -> (steps, C) float64, (steps,).

    Args:
        starts: first step of each window.
        values: its predictions.
        mask: false where a value stands on padding; such values are ignored.
        steps: length of the sequence.

    Returns:
        The averages, NaN where no window covers the step; and how many windows cover it.

    Raises:
        ValueError: shapes don't fit, or an unmasked value lies outside the sequence.
    """
    if values.shape[:2] != mask.shape or len(starts) != len(values):
        raise ValueError(f"{len(starts)} starts, values {values.shape}, mask {mask.shape}: must match")
    where = _steps(starts, values.shape[1])[mask]
    if where.size and not (where.min() >= 0 and where.max() < steps):
        raise ValueError(f"values at steps {where.min()} to {where.max()}, must be in 0 to {steps - 1}")
    count = np.bincount(where, minlength=steps)
    sums = [np.bincount(where, weights=column, minlength=steps) for column in values[mask].T]
    average = np.column_stack(sums) / np.maximum(count, 1)[:, None]
    average[count == 0] = np.nan
    return average, count


def overlap_average_on_grid(
    window_start_s: Floats, values: Floats, step_s: float, valid: Flags, steps: int
) -> tuple[Floats, Integers]:
    """Average windows on the exact grid t_k = k x step_s, wherever they start.

    Value j of a window holds from start + j x step_s on. A window that starts between two points is first
    interpolated to the points inside it. (The authors spread 20 values over 4 s ends included, so that
    neighbouring windows interleave instead of being averaged.)

    Shape: (W,), (W, S, C), (W, S) -> (steps, C) float64, (steps,).

    Args:
        window_start_s: start of each window, >= 0.
        values: its predictions, step_s apart.
        step_s: step of the grid and of the windows.
        valid: false where a value stands on padding.
        steps: length of the grid; points beyond it are ignored.

    Returns:
        The averages, NaN where no window covers the step; and how many windows cover it.

    Raises:
        ValueError: shapes don't fit, or step_s isn't positive.
    """
    if not step_s > 0:
        raise ValueError(f"step_s is {step_s}, must be > 0")
    position = np.asarray(window_start_s, np.float64) / step_s
    first = np.ceil(position - SLACK)
    ahead = np.where(first - position < SLACK, 0.0, first - position)[:, None, None]
    later = np.concatenate([values[:, 1:], values[:, -1:]], axis=1)
    real = np.concatenate([valid[:, 1:], valid[:, -1:]], axis=1)[:, :, None]
    at_points = np.where(real, (1 - ahead) * values + ahead * later, values)
    starts = first.astype(np.int64)
    inside = valid & (_steps(starts, values.shape[1]) < steps)
    return overlap_average(starts, at_points, inside, steps)


def _steps(starts: Integers, window: int) -> Integers:
    """Step of every value. Shape: (W,) -> (W, window)."""
    return np.asarray(starts)[:, None] + np.arange(window)
