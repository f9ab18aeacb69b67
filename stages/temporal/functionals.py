"""Statistics of embeddings over short windows, the features of the KELM (paper, section 3.2.2)."""

from collections.abc import Callable, Sequence

import numpy as np

from stages.core.arrays import Flags, Floats, Integers

FUNCTIONALS = ("mean", "min", "max")


def window_of_step(steps: int, fps_hz: float, window_s: float = 2.0, min_tail_s: float = 0.5) -> Integers:
    """Which non-overlapping window each step of the grid belongs to.

    Shape: -> (steps,), non-decreasing from 0; -1 in a last window of less than min_tail_s, which is dropped
    (unless it is the only one).

    Args:
        steps: length of the grid.
        fps_hz: its rate.
        window_s: length of a window; at least one step.
        min_tail_s: shortest last window that is kept.

    Raises:
        ValueError: steps is negative, or the window holds less than one step.

    >>> window_of_step(12, fps_hz=5.0).tolist()
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, -1]
    """
    if steps < 0 or not window_s * fps_hz >= 1:
        raise ValueError(f"{steps} steps, {window_s * fps_hz} steps a window: must be >= 0 and >= 1")
    index = np.floor(np.arange(steps) / (window_s * fps_hz) + 1e-9).astype(np.int64)
    tail = index == index[-1] if steps else np.empty(0, bool)
    if steps and index[-1] > 0 and tail.sum() / fps_hz < min_tail_s - 1e-9:
        index[tail] = -1
    return np.asarray(index)


def functionals(
    embedding: Floats,
    window: Integers,
    names: Sequence[str] = FUNCTIONALS,
    known: Flags | None = None,
) -> Floats:
    """Mean, minimum, maximum (those asked for, in that order) of every dimension over every window.

    Shape: (T, F), (T,) -> (W, len(names) x F) float32; NaN for a window without a known step.

    Args:
        embedding: one row per step of the grid.
        window: window of each step, from `window_of_step`.
        names: some of FUNCTIONALS, each once.
        known: steps that count, such as those whose face was found; None: all.

    Raises:
        ValueError: names are unknown, repeated or none, or lengths differ.
    """
    if not names or len(set(names)) != len(names) or not set(names) <= set(FUNCTIONALS):
        raise ValueError(
            f"functionals are {list(names)}, must be some of {', '.join(FUNCTIONALS)}, each once"
        )
    windows = int(window.max(initial=-1)) + 1
    counted = window if known is None else np.where(known, window, -1)
    kept, starts = _rows_and_starts(counted, len(embedding))
    described = np.full((windows, len(names) * embedding.shape[1]), np.nan, np.float32)
    if not len(starts):
        return described
    reduce: dict[str, Callable[[Floats, Integers], Floats]] = {
        "mean": _mean,
        "min": np.minimum.reduceat,
        "max": np.maximum.reduceat,
    }
    rows = embedding[kept].astype(np.float64)
    described[counted[kept][starts]] = np.hstack([reduce[name](rows, starts) for name in names])
    return described


def nearest_described(described: Floats) -> Floats:
    """Give a window without a known step what the last one before it has, else the first one after it.

    Shape: (W, D) -> (W, D); zeros where no window has any.
    """
    filled = np.isfinite(described).all(axis=1)
    if not filled.any():
        return np.zeros_like(described)
    last = np.maximum.accumulate(np.where(filled, np.arange(len(described)), -1))
    return np.asarray(described[np.where(last < 0, int(filled.argmax()), last)])


def window_targets(
    valence_arousal: Floats, labelled: Flags, window: Integers, min_share: float = 0.5
) -> Floats:
    """Mean label of the labelled steps of every window (paper, section 3.2.2).

    Shape: (T, 2), (T,), (T,) -> (W, 2) float32; NaN where less than min_share of the steps is labelled.

    Raises:
        ValueError: lengths differ.
    """
    kept, starts = _rows_and_starts(window, len(valence_arousal))
    if not len(starts):
        return np.empty((0, valence_arousal.shape[1]), np.float32)
    flags = labelled[kept]
    known = np.add.reduceat(flags, starts, dtype=np.int64)
    sums = np.add.reduceat(np.where(flags[:, None], valence_arousal[kept], 0.0), starts, dtype=np.float64)
    targets = sums / np.maximum(known, 1)[:, None]
    targets[(known == 0) | (known < min_share * np.diff(np.append(starts, len(flags))))] = np.nan
    return np.asarray(targets, np.float32)


def hold(values: Floats, window: Integers) -> Floats:
    """Give every step its window's value; steps of a dropped tail take the last window's.

    Shape: (W, C), (T,) -> (T, C).

    Raises:
        ValueError: the number of values isn't the number of windows.
    """
    windows = int(window.max(initial=-1)) + 1
    if len(values) != windows:
        raise ValueError(f"{len(values)} values for {windows} windows: must match")
    return values[window]  # -1 is the last one


def _rows_and_starts(window: Integers, steps: int) -> tuple[Flags, Integers]:
    """Steps that belong to a window, and where among them each window starts."""
    if len(window) != steps:
        raise ValueError(f"{len(window)} window numbers for {steps} steps: must match")
    kept = window >= 0
    return kept, np.flatnonzero(np.diff(window[kept], prepend=-1))


def _mean(rows: Floats, starts: Integers) -> Floats:
    return np.asarray(np.add.reduceat(rows, starts) / np.diff(np.append(starts, len(rows)))[:, None])
