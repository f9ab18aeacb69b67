"""From a whole recording to valence and arousal on an exact grid: overlapping windows, averaged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from stages.audio.convolutions import are_local, frames_of, receptive_field, stride_of
from stages.audio.networks import AudioNetwork
from stages.audio.samples import BLOCK, AudioLevel, Level, level_of_blocks, normalised, sample_range
from stages.core.arrays import Flags, Floats
from stages.temporal.windows import overlap_average_on_grid

LENGTH_SLACK_S = 1e-6


class Waveform(Protocol):
    """Samples of one channel: an array (n,) float32, or what reads them from a file as they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Floats: ...


class RecordingPrediction(NamedTuple):
    """The output of an audio model for a recording, at t_k = k · step_s."""

    valence_arousal: Floats
    """(T, 2) float32; NaN where no window covers the step."""
    features: Floats
    """(T, f) float32: the model's features, averaged in the same way; NaN where no window covers the step."""


class VideoPrediction(NamedTuple):
    """The output of an audio model for a video, at the steps that a window covers."""

    valence_arousal: Floats
    """(K, 2) float32."""
    features: Floats
    """(K, f) float32."""
    time_s: Floats
    """(K,)."""


def predict_video(
    network: AudioNetwork, speech: Path, voice: Path, config: Mapping[str, Any]
) -> VideoPrediction:
    """Predict all of a video's sound, silence included, on the time grid of its frames.

    Args:
        network: as `predict_recording`.
        speech: artefact of the stage speech: windows that tile the video, times of the grid.
        voice: 16 kHz WAV of the stage voice.
        config: window_s, fps_hz and normalisation that the model was trained with.
    """
    from stages.core.artefacts import read_arrays
    from stages.media.sound import open_wav

    grid = read_arrays(speech, "inference_window_s", "time_s")
    with open_wav(voice) as waveform:
        predicted, features = predict_recording(
            network,
            waveform,
            grid["inference_window_s"],
            steps=len(grid["time_s"]),
            window_s=config["window_s"],
            step_s=1 / config["fps_hz"],
            rate_hz=waveform.rate_hz,
            normalisation=config.get("normalisation", "window"),  # an imported model has no such entry
        )
    said = np.isfinite(predicted).all(axis=1)
    return VideoPrediction(predicted[said], features[said], grid["time_s"][said])


def predict_recording(
    network: AudioNetwork,
    waveform: Waveform,
    windows_s: Floats,
    *,
    steps: int,
    window_s: float = 4.0,
    step_s: float = 0.2,
    rate_hz: int = 16_000,
    batch: int = 16,
    normalisation: AudioLevel = "window",
) -> RecordingPrediction:
    """Run the model over every window, and average overlapping windows per step.

    Shape: waveform (n,), windows_s (W, 2) -> (steps, 2), (steps, f).

    Windows are normalised as in training. Where that is by the level of the recording, those that overlap
    share their convolutions. Steps on padding, and steps of the grid that no window covers, are not invented.

    Args:
        network: predicts window_s / step_s steps per window.
        waveform: mono, first sample at 0 s.
        windows_s: start and end in seconds, see `speaking.tiling_windows`.
        steps: length T of the grid.
        window_s: length that the windows are padded to, the one trained with.
        step_s: step of the grid.
        rate_hz: rate of the waveform.
        batch: windows per pass, at most.
        normalisation: as the model was trained.

    Raises:
        ValueError: there is no window, or one is longer than window_s.
    """
    windows = np.asarray(windows_s, dtype=np.float64).reshape(-1, 2)
    if not len(windows) or (np.diff(windows) > window_s + LENGTH_SLACK_S).any():
        raise ValueError(f"{len(windows)} windows; there must be at least one, and none over {window_s} s")
    level, batch = None, min(batch, network.most or batch)
    if normalisation == "recording" and len(waveform):
        level = level_of_blocks(waveform[k : k + BLOCK] for k in range(0, len(waveform), BLOCK))
    values = np.concatenate(list(_per_batch(network, waveform, windows, window_s, rate_hz, batch, level)))
    offset_s = step_s * np.arange(values.shape[1])
    ends_s = np.minimum(windows[:, 1], len(waveform) / rate_hz)
    valid: Flags = windows[:, :1] + offset_s < ends_s[:, None] - LENGTH_SLACK_S
    average, _ = overlap_average_on_grid(windows[:, 0], values, step_s, valid, steps)
    on_grid = average.astype(np.float32)
    return RecordingPrediction(on_grid[:, :2], on_grid[:, 2:])


def _per_batch(
    network: AudioNetwork,
    waveform: Waveform,
    windows: Floats,
    window_s: float,
    rate_hz: int,
    batch: int,
    level: Level | None,
) -> Iterator[Floats]:
    """Predictions and features side by side, (b, S, 2 + f), for one batch of windows after the other."""
    length = round(window_s * rate_hz)
    for begin in range(0, len(windows), batch):
        ranges = [sample_range(start, end, rate_hz, length) for start, end in windows[begin : begin + batch]]
        cut = [normalised(waveform[first:stop], length, level) for first, stop in ranges]
        inputs, real = (np.stack(part) for part in zip(*cut, strict=True))
        shared = None if level is None else _shared(network, waveform, ranges, length, level)
        yield network.windows(inputs, real) if shared is None else network.finish(shared, real)


def _shared(
    network: AudioNetwork, waveform: Waveform, ranges: list[tuple[int, int]], length: int, level: Level
) -> Floats | None:
    """The windows' convolutions (b, c, F), each second passing once; None where they can't be shared.

    They can where a frame depends on the samples under it alone, windows begin on frames, and each is long
    enough for one.
    """
    anatomy = network.convolutions
    stride, field = stride_of(anatomy), receptive_field(anatomy)
    begin, end = min(first for first, _ in ranges), max(stop for _, stop in ranges)
    real = [min(stop, len(waveform)) - first for first, stop in ranges]
    if not are_local(anatomy) or min(real) < field or any((s - begin) % stride for s, _ in ranges):
        return None
    samples = waveform[begin:end]
    found = network.convolve(normalised(samples, len(samples), level)[0])
    whole, *frames = frames_of(anatomy, np.array([length, *real])).tolist()
    pieces = np.zeros((len(ranges), len(found), whole), np.float32)
    for piece, (first, _), count in zip(pieces, ranges, frames, strict=True):
        place = (first - begin) // stride
        piece[:, :count] = found[:, place : place + count]
    return pieces
