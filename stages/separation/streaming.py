"""Long sound in blocks: read, resampled and written, never held in memory as a whole.

A stream is an iterator of blocks, (n, channels) float32 of any length. It stands for their concatenation:
results don't depend on where the blocks are cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from stages.core.arrays import Floats
from stages.core.errors import BadInput
from stages.engine.lazy_imports import slim_signal
from stages.engine.machine import disk_named
from stages.media.limits import Limits

Samples = NDArray[np.float32]
Stream = Iterable[Floats]

BLOCK = 1 << 18
"""Samples read at once: six seconds at 44.1 kHz."""

FULL_SCALE = 32_768

FORMATS = ("WAV", "WAVEX", "FLAC")
"""What is read, by libsndfile's names: what stages write, and WAV files of others."""

UNKNOWN = 1 << 36
"""The most samples a FLAC file can state; libsndfile gives more for a file that was never finished."""


def rate_of(path: Path, limits: Limits | None = None) -> int:
    """Samples per second of a WAV or FLAC file.

    Raises:
        BadInput: as `read_blocks`.
    """
    with _opened(path, limits or Limits()) as file:
        return int(file.samplerate)


def read_blocks(path: Path, limits: Limits | None = None, size: int = BLOCK) -> Iterator[Samples]:
    """The samples of a WAV or FLAC file, (n, channels) at a time.

    Args:
        path: the file.
        limits: how many samples it may hold; None for the defaults.
        size: samples at a time.

    Raises:
        BadInput: not such a file, not whole, or more samples than allowed.
    """
    with _opened(path, limits or Limits()) as file:
        count = 0
        while len(block := file.read(size, dtype="float32", always_2d=True)):
            count += len(block)
            yield block
        if count != file.frames:
            raise _unreadable(path)


@contextmanager
def _opened(path: Path, limits: Limits) -> Iterator[soundfile.SoundFile]:
    """A sound file for reading, of a format that stages write and of no more samples than allowed."""
    try:
        with soundfile.SoundFile(path) as file:
            if file.format not in FORMATS or file.frames >= UNKNOWN:  # libsndfile opens any, under any name
                raise _unreadable(path)
            if file.format == "FLAC":  # a kilobyte of it can be an hour of silence
                limits.check_sound(path, file.frames)
            yield file
    except (OSError, soundfile.SoundFileError) as error:
        raise _unreadable(path) from error


def write_blocks(path: Path, blocks: Stream, rate_hz: int) -> None:
    """Write one channel as PCM16; what is beyond full scale is clipped.

    Raises:
        ValueError: a sample is NaN or infinite.
    """
    with disk_named(path), soundfile.SoundFile(path, "w", rate_hz, 1, "PCM_16", format="WAV") as file:
        for block in blocks:
            if not np.isfinite(block).all():
                raise ValueError(f"{path}: a sample is NaN or infinite")
            file.write(np.clip(np.rint(block * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16))


def resample_blocks(blocks: Stream, from_hz: int, to_hz: int) -> Iterator[Floats]:
    """Polyphase resampling of a stream; sample k of the result is at k / to_hz.

    The filter reaches a few samples to either side, so every block is resampled together with its neighbours'
    samples, and only its own part is kept. The result is that of resampling the whole at once,
    round(n to_hz / from_hz) samples.

    Raises:
        ValueError: a rate is not positive.
    """
    if from_hz <= 0 or to_hz <= 0:
        raise ValueError(f"rates {from_hz} and {to_hz} Hz must be positive")
    return iter(blocks) if from_hz == to_hz else _resampled(blocks, from_hz, to_hz)


def _resampled(blocks: Stream, from_hz: int, to_hz: int) -> Iterator[Floats]:
    with slim_signal():
        from scipy.signal import resample_poly  # a fifth of a second

    common = gcd(from_hz, to_hz)
    up, down = to_hz // common, from_hz // common
    reach = down * -(-(10 * max(up, down) // up + 1) // down)  # of SciPy's filter, in whole periods
    held, before, taken, given = None, 0, 0, 0
    for block in blocks:
        held = block if held is None else np.concatenate([held, block])
        taken += len(block)
        ready = (len(held) - before - reach) // down * down
        if ready <= 0:
            continue
        piece = resample_poly(held[: before + ready + reach], up, down, axis=0)
        piece = piece[before * up // down : (before + ready) * up // down]
        given += len(piece)
        yield piece.astype(np.float32, copy=False)
        held, before = held[max(before + ready - reach, 0) :], min(before + ready, reach)
    if held is not None and len(held):
        piece = resample_poly(held, up, down, axis=0)[before * up // down :]
        yield piece[: round(taken * to_hz / from_hz) - given].astype(np.float32, copy=False)


def through_rate(
    process: Callable[[Stream], Iterator[Floats]], blocks: Stream, rate_hz: int, inner_hz: int
) -> Iterator[Floats]:
    """Run a process that needs another rate; the result is at rate_hz, and exactly as long as the input."""
    taken = given = 0

    def counted() -> Iterator[Floats]:
        nonlocal taken
        for block in blocks:
            taken += len(block)
            yield block

    width = 0
    inner = process(resample_blocks(counted(), rate_hz, inner_hz))
    for block in resample_blocks(inner, inner_hz, rate_hz):
        width, block_kept = block.shape[1], block[: taken - given]
        given += len(block_kept)
        yield block_kept
    if given < taken:
        yield np.zeros((taken - given, width or 2), dtype=np.float32)


def _unreadable(path: Path) -> BadInput:
    return BadInput(path, "not a readable WAV or FLAC file", "Remove it, so that it is made again")
