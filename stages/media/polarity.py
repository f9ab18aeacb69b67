"""Stereo whose channels cancel: a microphone wired the wrong way round, wholly or in some bands.

The mean of such channels loses the voice. How much is lost is measured in bands of a third of an octave, each
of the same weight, as speech needs them all (ANSI S3.5): in every second, a band is lost where

    2 Re <L R*> / (<L L*> + <R R*>)  <  -1/2,

that is, where the mean holds less than a quarter of the channels' mean power.
"""

from collections.abc import Sized
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from stages.core.arrays import Flags, Floats

Mending = Literal["none", "flip", "left", "right"]

MAX_LOST = 0.2
"""A larger share of the bands' power may not cancel."""

_WINDOW = 2048
_BLOCK_WINDOWS = 21  # a second at 44.1 kHz
_LOWEST_HZ, _HIGHEST_HZ = 100.0, 8000.0
_CANCELS = -0.5
_FLOOR = 1e-4  # a band with less than this share of the loudest one's power has nothing to lose


class Sliced(Sized, Protocol):
    """(n, 2) float32 samples that are read a slice at a time: an array, or what lies on the disk."""

    def __getitem__(self, part: slice, /) -> Any: ...


def mend(samples: NDArray[np.float32], rate_hz: int) -> tuple[NDArray[np.float32], Mending]:
    """Stereo whose mean keeps what is in the channels.

    A channel that is the other one inverted is turned round; where only a part is inverted, the stronger
    channel takes the place of both. What doesn't cancel is returned as it is.

    Shape: (n, 2) -> (n, 2), and what was done.
    """
    mending = mending_for(samples, rate_hz)
    return mended(samples, mending), mending


def mending_for(samples: Sliced, rate_hz: int) -> Mending:
    """What `mend` would do to these samples. Shape: (n, 2)."""
    lost, lost_flipped, power = lost_shares(samples, rate_hz)
    if lost <= MAX_LOST:
        return "none"
    if lost_flipped <= MAX_LOST:
        return "flip"
    return "left" if power.argmax() == 0 else "right"


def mended(samples: NDArray[np.float32], mending: Mending) -> NDArray[np.float32]:
    """Samples, or some of them, after a mending. Shape: (n, 2) -> (n, 2)."""
    if mending == "none":
        return samples
    if mending == "flip":
        return samples * np.array([1, -1], np.float32)
    stronger = 0 if mending == "left" else 1
    return np.repeat(samples[:, stronger : stronger + 1], 2, axis=1)


def lost_shares(samples: Sliced, rate_hz: int) -> tuple[float, float, Floats]:
    """Share of the bands' power that cancels in (L + R) / 2 and in (L - R) / 2, and both channels' power.

    Shape: (n, 2) -> two shares from 0 to 1, (2,).
    """
    blocks = _spectra(samples, rate_hz)
    if not blocks:
        return 0.0, 0.0, np.zeros(2)
    left, right, cross = (np.array(part) for part in zip(*blocks, strict=True))
    both = left + right
    likeness = 2 * cross / np.maximum(both, np.finfo(float).tiny)
    of_band = both.sum(axis=0)
    heard = of_band > _FLOOR * of_band.max()
    if not heard.any() or not of_band.max():
        return 0.0, 0.0, np.zeros(2)
    shares = [(both * lost).sum(axis=0)[heard] / of_band[heard] for lost in _cancelling(likeness)]
    return float(shares[0].mean()), float(shares[1].mean()), np.array([left.sum(), right.sum()])


def _cancelling(likeness: Floats) -> tuple[Flags, Flags]:
    return likeness < _CANCELS, likeness > -_CANCELS


def _spectra(samples: Sliced, rate_hz: int) -> list[tuple[Floats, Floats, Floats]]:
    """Power of left and right and their cross power, (bands,) of every second in which there is sound."""
    edges_hz = _LOWEST_HZ * 2 ** (np.arange(20 + 1) / 3)
    edges_hz = edges_hz[edges_hz <= min(_HIGHEST_HZ * 1.3, rate_hz / 2)]
    edges = np.unique(np.round(edges_hz * _WINDOW / rate_hz).astype(int))
    step, window = _WINDOW * _BLOCK_WINDOWS, np.hanning(_WINDOW).astype(np.float32)
    blocks = []
    for start in range(0, len(samples) - _WINDOW + 1, step):
        piece = samples[start : start + step]
        if len(edges) < 2 or not piece.any():
            continue
        frames = piece[: len(piece) // _WINDOW * _WINDOW].reshape(-1, _WINDOW, 2)
        left, right = (np.fft.rfft(frames[..., c] * window, axis=1) for c in range(2))
        powers = (np.abs(left) ** 2, np.abs(right) ** 2, (left * right.conj()).real)
        in_bands = [np.add.reduceat(power.sum(axis=0), edges[:-1])[: len(edges) - 1] for power in powers]
        blocks.append((in_bands[0], in_bands[1], in_bands[2]))
    return blocks
