"""Samples of a waveform as a model wants them: one length, normalised over the real ones. No torch."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import soundfile

from stages.core.arrays import Flags, Floats
from stages.core.errors import BadInput

AudioLevel = Literal["window", "recording"]
"""Whose mean and deviation a window is normalised by: its own, or its recording's."""
BLOCK = 1 << 20
VARIANCE_FLOOR = 1e-7
"""Added to the variance, as wav2vec 2.0's own processor does: silence stays silent."""


class Level(NamedTuple):
    """Mean and deviation by which samples are normalised."""

    mean: float
    deviation: float


def level_of(samples: Floats) -> Level:
    """The level of samples, what isn't finite taken for silence. Shape: (k,), k >= 1."""
    real = _finite(samples)
    return Level(float(real.mean()), float(np.sqrt(real.var() + VARIANCE_FLOOR)))


def level_of_blocks(blocks: Iterable[Floats]) -> Level:
    """The level of samples that come one block (k,) after the other."""
    count, total, squares = 0, 0.0, 0.0
    for block in blocks:
        real = _finite(block)
        count, total, squares = count + len(real), total + real.sum(), squares + (real**2).sum()
    mean = total / max(count, 1)
    variance = max(squares / max(count, 1) - mean**2, 0.0)
    return Level(float(mean), float(np.sqrt(variance + VARIANCE_FLOOR)))


@cache
def level_of_file(file: Path) -> Level:
    """The level of a whole mono file, read block by block; remembered by its name.

    Raises:
        BadInput: the file can't be read.
    """
    try:
        return level_of_blocks(soundfile.blocks(file, BLOCK))
    except (soundfile.LibsndfileError, OSError) as error:
        raise BadInput(file, f"not a readable WAV file ({error})", "Run the voice stage again") from error


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
