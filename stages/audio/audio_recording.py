"""From a whole recording to valence and arousal on an exact grid: overlapping windows, averaged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from stages.audio.audio_model import AudioModel
from stages.audio.audio_windows import normalised, sample_range
from stages.core.arrays import Flags, Floats
from stages.temporal.windows import overlap_average_on_grid

LENGTH_SLACK_S = 1e-6


class RecordingPrediction(NamedTuple):
    """What an audio model says about a recording, at t_k = k · step_s."""

    valence_arousal: Floats
    """(T, 2) float32; NaN where no window has a say."""
    features: Floats
    """(T, f) float32: the model's features, averaged alike; NaN where no window has a say."""


def predict_recording(
    model: AudioModel,
    waveform: Floats,
    windows_s: Floats,
    *,
    steps: int,
    window_s: float = 4.0,
    step_s: float = 0.2,
    rate_hz: int = 16_000,
    batch: int = 16,
) -> RecordingPrediction:
    """Run the model over every window, and average per step what overlapping windows say.

    Shape: waveform (n,), windows_s (W, 2) -> (steps, 2), (steps, f).

    Each window is normalised by itself, as in training; steps on padding, and steps of the grid that no
    window covers, are not invented. Runs on the device that the model is on.

    Args:
        model: predicts window_s / step_s steps per window; put into evaluation mode.
        waveform: mono, first sample at 0 s.
        windows_s: start and end in seconds, see `voiced.tiling_windows`.
        steps: length T of the grid.
        window_s: length that the windows are padded to, the one trained with.
        step_s: step of the grid.
        rate_hz: rate of the waveform.
        batch: windows per pass.

    Raises:
        ValueError: there is no window, or one is longer than window_s.
    """
    windows = np.asarray(windows_s, dtype=np.float64).reshape(-1, 2)
    if not len(windows) or (np.diff(windows) > window_s + LENGTH_SLACK_S).any():
        raise ValueError(f"{len(windows)} windows; there must be at least one, and none over {window_s} s")
    model.eval()
    values = np.concatenate(list(_per_batch(model, waveform, windows, window_s, rate_hz, batch)))
    offset_s = step_s * np.arange(values.shape[1])
    ends_s = np.minimum(windows[:, 1], len(waveform) / rate_hz)
    valid: Flags = windows[:, :1] + offset_s < ends_s[:, None] - LENGTH_SLACK_S
    average, _ = overlap_average_on_grid(windows[:, 0], values, step_s, valid, steps)
    on_grid = average.astype(np.float32)
    return RecordingPrediction(on_grid[:, :2], on_grid[:, 2:])


@torch.inference_mode()
def _per_batch(
    model: AudioModel, waveform: Floats, windows: Floats, window_s: float, rate_hz: int, batch: int
) -> Iterator[Floats]:
    """Predictions and features side by side, (b, S, 2 + f), for one batch of windows after the other."""
    device = next(model.parameters()).device
    length = round(window_s * rate_hz)
    for begin in range(0, len(windows), batch):
        ranges = [sample_range(start, end, rate_hz, length) for start, end in windows[begin : begin + batch]]
        cut = [normalised(waveform[first:stop], length) for first, stop in ranges]
        inputs, masks = (torch.from_numpy(np.stack(part)).to(device) for part in zip(*cut, strict=True))
        predicted, features = model(inputs, masks)
        yield torch.cat([predicted, features], dim=-1).float().cpu().numpy()
