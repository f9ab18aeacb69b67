"""From the steps of a whole recording to valence and arousal: windows that tile it, averaged. No torch."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.arrays import Flags, Floats
from stages.temporal.missing import bridge
from stages.temporal.windows import consecutive_runs, cut, overlap_average, tile

Say = Callable[[Floats, Flags], Floats]
"""A temporal model: values (B, W, F) float32, steps that count (B, W) bool -> (B, W, C) float32."""


def predict_sequence(
    say: Say,
    embedding: Floats,
    window: int,
    hop: int,
    batch_size: int = 256,
    known: Flags | None = None,
) -> Floats:
    """Predict a whole recording; overlapping windows are averaged (paper, section 3.2.2).

    Shape: (T, F) -> (T, C) float32.

    Args:
        say: the model; see `dynamic.saying`, `inference.modules.joined_outputs`.
        embedding: one row per step, normalised as in training.
        window: steps per window, the paper's 5 to 40; a shorter recording is padded at its start.
        hop: steps between windows, usually half a window.
        batch_size: windows at a time; changes only the last digits of results.
        known: (T,) steps that may be attended to; the others are interpolated. None: all.

    Raises:
        ValueError: as `windows.tile`.
    """
    starts = tile(len(embedding), window, hop)
    values, valid = cut(embedding.astype(np.float32), starts, window)
    if known is not None:
        valid &= cut(known[:, None].astype(np.float32), starts, window)[0][:, :, 0] > 0
        some = valid.any(axis=1)  # attention needs a step to attend to
        starts, values, valid = starts[some], values[some], valid[some]
    said = [
        say(part, mask)
        for part, mask in zip(_batches(values, batch_size), _batches(valid, batch_size), strict=True)
    ]
    average, voices = overlap_average(starts, np.concatenate(said), valid, len(embedding))
    return bridge(average, voices > 0).astype(np.float32)


def predict_runs(
    say: Say, features: Floats, time_s: Floats, *, step_s: float, window: int, hop: int
) -> Floats:
    """`predict_sequence` of a recording with gaps: no window reaches over one.

    Shape: (T, F), (T,) -> (T, C) float32.

    Args:
        say: as in `predict_sequence`.
        features: one row per step.
        time_s: times of the rows.
        step_s: the regular step; 1.5 x this is a gap.
        window: steps per window; a shorter run is padded at its start.
        hop: steps between windows.
    """
    runs = consecutive_runs(np.ones(len(time_s), bool), time_s, step_s)
    parts = [predict_sequence(say, features[begin:end], window, hop) for begin, end in runs]
    return np.concatenate(parts) if parts else np.empty((0, 2), np.float32)


def _batches(rows: NDArray[Any], size: int) -> list[NDArray[Any]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
