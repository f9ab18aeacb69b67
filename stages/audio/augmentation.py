"""Augmentation of normalised waveforms: polarity, white noise, volume (paper, section 4.2.1).

It comes after the per-window normalisation, which would otherwise undo the volume, and every kind has its
own probability, so that some windows stay as they are. (The authors augment before normalising, always one
of the three, and their noise lies 46–80 dB below the speech: in effect a polarity flip on a third.)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class WaveAugmentation:
    """How often, and how strongly, windows are altered.

    Args:
        polarity: probability of x → −x.
        noise: probability of added white Gaussian noise.
        noise_snr_db: range of the ratio of the window's power to the noise's, drawn evenly in dB.
        volume: probability of a gain.
        volume_db: range of the gain, drawn evenly in dB.

    Raises:
        ValueError: a probability outside 0–1, or a range that falls.
    """

    polarity: float = 1 / 3
    noise: float = 1 / 3
    noise_snr_db: tuple[float, float] = (10.0, 30.0)
    volume: float = 1 / 3
    volume_db: tuple[float, float] = (-20.0, -1.0)

    def __post_init__(self) -> None:
        for name in ("polarity", "noise", "volume"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, a probability must be 0–1")
        for name in ("noise_snr_db", "volume_db"):
            low, high = getattr(self, name)
            if not low <= high:
                raise ValueError(f"{name} is ({low}, {high}), must rise")

    def __call__(
        self, waveform: Tensor, sample_mask: Tensor | None = None, *, generator: torch.Generator
    ) -> Tensor:
        """Augment a batch of normalised windows; the input isn't changed.

        Shape: waveform (B, n), sample_mask (B, n) bool, true at real samples -> (B, n).

        Args:
            waveform: float, any device.
            sample_mask: padding, where it is false, stays as it is and doesn't count as power.
            generator: on the CPU, so that all devices draw the same; the same state gives the same bytes.
        """
        real = torch.ones_like(waveform, dtype=torch.bool) if sample_mask is None else sample_mask
        noisy = waveform + self._noise(waveform, real, generator)
        sign = 1.0 - 2.0 * _chosen(self.polarity, waveform, generator)
        gain_db = _uniform(self.volume_db, waveform, generator) * _chosen(self.volume, waveform, generator)
        return torch.where(real, sign * 10.0 ** (gain_db / 20.0) * noisy, waveform)

    def _noise(self, waveform: Tensor, real: Tensor, generator: torch.Generator) -> Tensor:
        """Noise at the drawn ratio to each window's own power, zero for windows that aren't chosen."""
        count = real.sum(-1, keepdim=True).clamp(min=1)
        power = torch.where(real, waveform, 0.0).square().sum(-1, keepdim=True) / count
        snr_db = _uniform(self.noise_snr_db, waveform, generator)
        chosen = _chosen(self.noise, waveform, generator)
        white = torch.randn(waveform.shape, generator=generator).to(waveform)
        return chosen * (power * 10.0 ** (-snr_db / 10.0)).sqrt() * white


def _uniform(bounds: tuple[float, float], like: Tensor, generator: torch.Generator) -> Tensor:
    """(B, 1) even draws between two bounds."""
    low, high = bounds
    return low + (high - low) * torch.rand(len(like), 1, generator=generator).to(like)


def _chosen(probability: float, like: Tensor, generator: torch.Generator) -> Tensor:
    """(B, 1), 1 with the given probability, else 0."""
    return (torch.rand(len(like), 1, generator=generator) < probability).to(like)
