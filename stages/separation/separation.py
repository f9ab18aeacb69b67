"""Separate the voice from a stereo mixture: interchangeable separators, and measures to compare them.

`classical` needs no weights. It estimates the background's power at every point of the spectrogram in two
ways: from the difference of the channels (voices are mixed to the middle, so what differs is background),
and from the level that the point's frequency rarely falls below (the noise floor). The larger estimate
is taken, and a Wiener gain keeps the rest. Removing repetitions as well (REPET-SIM, Rafii & Pardo 2012) was
tried and dropped: spoken vowels recur too, and a clean voice lost 10 dB.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from stages.core.arrays import Floats

TINY = 1e-12
"""Power that counts as silence; 16-bit rounding is 100 times stronger."""


class Separator(ABC):
    """Anything that separates the voice from a mixture."""

    @abstractmethod
    def stream(self, blocks: Iterable[Floats], rate_hz: int) -> Iterator[Floats]:
        """The voice of a long mixture, block by block.

        Shape: blocks (n, 2), (n, 1) or (n,) of any length -> blocks (m, 2) float32 of other lengths, as
        many samples in all; finite whatever comes in. Where the blocks are cut changes nothing.
        """

    def separate(self, stereo: Floats, rate_hz: int) -> Floats:
        """(n, 2) float32 in [-1, 1] -> the voice, (n, 2) float32.

        Raises:
            ValueError: rate_hz is not positive, or there are more than two channels.
        """
        if not rate_hz > 0:
            raise ValueError(f"rate_hz is {rate_hz}, must be > 0")
        mixture = clean(stereo)
        return np.concatenate([mixture[:0], *self.stream([mixture], rate_hz)])


def clean(stereo: Floats) -> Floats:
    """(n, 2) float32 of finite numbers; (n,) and (n, 1) are doubled, NaN and infinities become 0.

    Raises:
        ValueError: more than two channels, or none.
    """
    samples = np.asarray(stereo, dtype=np.float32)
    samples = samples[:, None] if samples.ndim == 1 else samples
    if samples.ndim != 2 or samples.shape[1] not in (1, 2):
        raise ValueError(f"samples of shape {samples.shape}, must be (n, 1) or (n, 2)")
    finite = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
    return np.repeat(finite, 2, axis=1) if samples.shape[1] == 1 else finite


@dataclass(frozen=True)
class PassThrough(Separator):
    """`none`: the mixture itself, for recordings without music or noise."""

    def stream(self, blocks: Iterable[Floats], rate_hz: int) -> Iterator[Floats]:  # noqa: ARG002
        """Only cleaned of NaN."""
        return map(clean, blocks)


@dataclass(frozen=True)
class Classical(Separator):
    """`classical`: centre and noise floor, in blocks, so that the working memory doesn't grow with length.

    Args:
        block_s: length that the noise and the voice's place are estimated over.
        overlap_s: cross-fade between two blocks, under half of block_s.
        frame_s: length of a spectrogram frame; the nearest power of two in samples.
        band_hz: what lies outside isn't voice.
        noise_quantile: of a frequency's power over time, taken for its noise floor.
        noise_factor: from that quantile to the noise's mean power, and some reserve.
        side_factor: the background's power in the sum of the channels, per power in their difference.
        gain_floor: the least gain, which keeps holes from ringing.
    """

    block_s: float = 12.0
    overlap_s: float = 1.0
    frame_s: float = 0.046
    band_hz: tuple[float, float] = (60.0, 12_000.0)
    noise_quantile: float = 0.2
    noise_factor: float = 2.0
    side_factor: float = 1.5
    gain_floor: float = 0.05

    def stream(self, blocks: Iterable[Floats], rate_hz: int) -> Iterator[Floats]:
        """In overlapping pieces of block_s, with cross-fades that sum to 1 everywhere."""
        length, overlap = max(round(self.block_s * rate_hz), 2), round(self.overlap_s * rate_hz)
        rise = ((np.arange(overlap) + 0.5) / max(overlap, 1)).astype(np.float32)[:, None]
        held, faded = np.zeros((0, 2), dtype=np.float32), np.zeros((0, 2), dtype=np.float32)
        for block in blocks:
            held = np.concatenate([held, clean(block)])
            while len(held) > length:
                voice = _faded_in(self._block(held[:length], rate_hz), faded, rise)
                yield voice[: length - overlap]
                faded, held = rise[::-1] * voice[length - overlap :], held[length - overlap :]
        if len(held):
            yield _faded_in(self._block(held, rate_hz), faded, rise)

    def _block(self, mixture: Floats, rate_hz: int) -> Floats:
        from scipy.signal import istft, stft  # takes a second to import, and Spleeter doesn't need it

        frame = 2 ** max(round(np.log2(self.frame_s * rate_hz)), 4)
        options = {"fs": rate_hz, "nperseg": frame, "noverlap": 3 * frame // 4}
        padded = np.pad(mixture, [(0, max(frame - len(mixture), 0)), (0, 0)])
        frequency_hz, _, channels = stft(padded.T, **options)
        middle, side = (channels[0] + channels[1]) / 2, (channels[0] - channels[1]) / 2
        centred = _centredness(middle, side)
        power = _smooth(_power(middle)) + TINY
        background = np.maximum(self._floor(power), centred * self.side_factor * _smooth(_power(side)))
        gain = (1 - background / power).clip(self.gain_floor, 1)
        gain[(frequency_hz < self.band_hz[0]) | (frequency_hz > self.band_hz[1])] = 0
        kept = np.stack([gain * (middle + sign * (1 - centred) * side) for sign in (1, -1)])
        voice = istft(kept, **options)[1].T[: len(mixture)]
        return np.asarray(voice, dtype=np.float32)

    def _floor(self, power: Floats) -> Floats:
        """The level that each frequency rarely falls below. (F, T) -> (F, 1)."""
        quantile = np.quantile(power, self.noise_quantile, axis=1, keepdims=True)
        return np.asarray(self.noise_factor * quantile, dtype=power.dtype)


def _faded_in(voice: Floats, faded: Floats, rise: Floats) -> Floats:
    """A piece joined to the faded end of the one before; the first has none."""
    if len(faded):
        voice[: len(faded)] = rise * voice[: len(faded)] + faded
    return voice


def _power(spectrum: Floats) -> Floats:
    return np.asarray(spectrum.real**2 + spectrum.imag**2)


def _smooth(power: Floats) -> Floats:
    """Mean over 3 frequencies and 5 frames: a single point of noise says little about its mean power."""
    from scipy.ndimage import uniform_filter

    return np.asarray(uniform_filter(power, size=(3, 5), mode="nearest"))


def _centredness(middle: Floats, side: Floats) -> float:
    """1 where the channels agree; 0 where each holds another voice: then the difference isn't background.

    Falls from 1 to 0 while the difference's energy goes from a quarter to half of the sum's.
    """
    ratio = float(_power(side).sum()) / (float(_power(middle).sum()) + TINY)
    return float(np.clip(2 - 4 * ratio, 0, 1))


def sdr_db(reference: Floats, estimate: Floats) -> float:
    """Signal-to-distortion ratio, 10 log10(‖s‖² / ‖s − ŝ‖²), over all samples and channels.

    Infinite for a perfect estimate, minus infinity for a silent reference and a sound estimate.

    Raises:
        ValueError: the shapes differ.
    """
    target, guess = np.asarray(reference, np.float64), np.asarray(estimate, np.float64)
    if target.shape != guess.shape:
        raise ValueError(f"reference {target.shape} and estimate {guess.shape} differ in shape")
    signal, error = float(np.sum(target**2)), float(np.sum((target - guess) ** 2))
    if error == 0:
        return float("inf")
    return float(10 * np.log10(signal / error)) if signal > 0 else float("-inf")


def si_sdr_db(reference: Floats, estimate: Floats) -> float:
    """Scale-invariant ratio: the reference is first scaled to explain as much of the estimate as it can.

    Source: Le Roux et al. 2019, equation 3, without removing the mean.
    """
    target, guess = np.asarray(reference, np.float64), np.asarray(estimate, np.float64)
    energy = float(np.sum(target**2))
    scale = float(np.sum(target * guess)) / energy if energy > 0 else 0.0
    return sdr_db(scale * target, guess)
