"""Windows of a waveform as a model wants them: one length, normalised over their real samples.

Training reads them out of WAV files by their offset, never a whole file; each comes with its labels and
with masks that say which samples and which steps are real.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import soundfile
import torch
from torch import Tensor
from torch.utils.data import Dataset

from stages.core.arrays import Flags, Floats
from stages.core.errors import BadInput

AudioLevel = Literal["window", "recording"]
"""Whose mean and deviation a window is normalised by: its own, or its recording's."""
BLOCK = 1 << 20
VARIANCE_FLOOR = 1e-7
"""Added to the variance, as wav2vec 2.0's own processor does: silence stays silent."""


class LabelledWindow(NamedTuple):
    """One training window: n samples, S steps."""

    waveform: Tensor
    """(n,) float32: zero mean and unit variance over the real samples, then zeros."""
    sample_mask: Tensor
    """(n,) bool, true at real samples; they come first."""
    targets: Tensor
    """(S, 2) float32: valence, arousal."""
    valid: Tensor
    """(S,) bool, true at steps that have a label and audio."""


class Level(NamedTuple):
    """Mean and deviation by which samples are normalised."""

    mean: float
    deviation: float


def level_of(samples: Floats) -> Level:
    """The level of samples, what isn't finite taken for silence. Shape: (k,), k >= 1."""
    real = _finite(samples)
    return Level(float(real.mean()), float(np.sqrt(real.var() + VARIANCE_FLOOR)))


@cache
def level_of_file(file: Path) -> Level:
    """The level of a whole mono file, read block by block; remembered by its name.

    Raises:
        BadInput: the file can't be read.
    """
    count, total, squares = 0, 0.0, 0.0
    try:
        for block in soundfile.blocks(file, BLOCK):
            real = _finite(block)
            count, total, squares = count + len(real), total + real.sum(), squares + (real**2).sum()
    except (soundfile.LibsndfileError, OSError) as error:
        raise BadInput(file, f"not a readable WAV file ({error})", "Run the voice stage again") from error
    mean = total / max(count, 1)
    variance = max(squares / max(count, 1) - mean**2, 0.0)
    return Level(float(mean), float(np.sqrt(variance + VARIANCE_FLOOR)))


def _finite(samples: Floats) -> Floats:
    return np.nan_to_num(samples.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def normalised(samples: Floats, length: int, level: Level | None = None) -> tuple[Floats, Flags]:
    """Zero mean, unit variance over the real samples, then zeros up to `length`.

    Shape: (k,) with k <= length -> (length,) float32, (length,) bool, true at real samples.

    The authors normalise over the padding too, which makes the speech of a half-filled window 1.4 times
    as loud.

    Args:
        samples: of one channel.
        length: wanted.
        level: of the recording that they are from; None: their own.

    Raises:
        ValueError: more than `length` samples, or not one channel.
    """
    if samples.ndim != 1 or len(samples) > length:
        raise ValueError(f"samples of shape {samples.shape}, must be one channel of at most {length}")
    waveform = np.zeros(length, dtype=np.float32)
    if len(samples):
        mean, deviation = level or level_of(samples)
        waveform[: len(samples)] = (_finite(samples) - mean) / deviation
    return waveform, np.arange(length) < len(samples)


def sample_range(start_s: float, end_s: float, rate_hz: float, length: int) -> tuple[int, int]:
    """First sample of a window and the one after its last, at most `length` of them."""
    first = round(start_s * rate_hz)
    return first, min(round(end_s * rate_hz), first + length)


def read_samples(file: Path, first: int, stop: int, rate_hz: int) -> Floats:
    """Samples [first, stop) of a mono WAV file, fewer where the file ends before. -> (k,) float32.

    Raises:
        BadInput: the file can't be read, has another rate or more than one channel.
    """
    try:
        with soundfile.SoundFile(file) as sound:
            if sound.samplerate != rate_hz or sound.channels != 1:
                raise BadInput(
                    file,
                    f"{sound.samplerate} Hz and {sound.channels} channels, must be {rate_hz} Hz and 1",
                    "Run the voice stage again",
                )
            sound.seek(min(first, sound.frames))
            samples: Floats = sound.read(max(stop - first, 0), dtype="float32")
            return samples
    except (soundfile.LibsndfileError, OSError) as error:
        raise BadInput(file, f"not a readable WAV file ({error})", "Run the voice stage again") from error


class AudioWindows(Dataset[LabelledWindow]):
    """Labelled windows of many recordings, each read by its offset when it is asked for.

    Args:
        files: WAV file of every window (W), mono, `rate_hz`.
        windows_s: (W, 2) start and end in seconds; a short one is padded with zeros.
        targets: (W, S, 2), see `speaking.window_targets`.
        valid: (W, S) bool.
        window_s: length that all windows are brought to.
        rate_hz: rate of the files.
        normalisation: by the level of each window, or of its whole recording.

    Raises:
        ValueError: the lengths differ, or a window is longer than `window_s` or starts before 0.
        BadInput: on reading, see `read_samples`.
    """

    def __init__(
        self,
        files: Sequence[Path],
        windows_s: Floats,
        targets: Floats,
        valid: Flags,
        *,
        window_s: float = 4.0,
        rate_hz: int = 16_000,
        normalisation: AudioLevel = "window",
    ) -> None:
        counts = [len(files), len(windows_s), len(targets), len(valid)]
        if len(set(counts)) != 1:
            raise ValueError(f"files, windows, targets, masks number {counts}; must match")
        bounds = np.asarray(windows_s, dtype=np.float64).reshape(-1, 2)
        length_s = bounds[:, 1] - bounds[:, 0]
        if (bounds < 0).any() or (length_s < 0).any() or (length_s > window_s + 0.5 / rate_hz).any():
            raise ValueError(f"windows must start at 0 s or later and last 0–{window_s} s")
        self.files, self.windows_s, self.rate_hz = list(files), bounds, rate_hz
        self.targets, self.valid = np.asarray(targets, np.float32), np.asarray(valid, bool)
        self.length, self.window_s = round(window_s * rate_hz), window_s
        self.of_recording = normalisation == "recording"

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> LabelledWindow:
        """One window. Steps past the end of the file aren't valid: there is no sound."""
        start_s, end_s = self.windows_s[index]
        first, stop = sample_range(start_s, end_s, self.rate_hz, self.length)
        samples = read_samples(self.files[index], first, stop, self.rate_hz)
        level = level_of_file(self.files[index]) if self.of_recording else None
        waveform, sample_mask = normalised(samples, self.length, level)
        step_starts_s = np.arange(len(self.valid[index])) * self.window_s / len(self.valid[index])
        heard = step_starts_s * self.rate_hz < len(samples)
        return LabelledWindow(
            torch.from_numpy(waveform),
            torch.from_numpy(sample_mask),
            torch.from_numpy(self.targets[index]),
            torch.from_numpy(self.valid[index] & heard),
        )
