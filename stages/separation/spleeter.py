"""Spleeter in PyTorch: the separation the paper uses, without TensorFlow, on long sound at constant memory.

How a mixture at 44.1 kHz goes through, block by block (Spleeter 2.4's own steps):

1. 4096 zeros in front; frames of 4096 samples every 1024, periodic Hann window, Fourier transform.
2. Segments of 512 frames (11.9 s), the last filled up with silence. Magnitudes of the lowest 1024 bins
   (11 kHz) go through the networks, each segment for itself: so there is nothing to cross-fade.
3. The voice's mask times the mixture's spectrum. Above the networks' band the mask is 0, or (`average`)
   the band's mean.
4. Inverse transform, window, overlap-add. Only the last 3072 samples wait for the next segment, so it
   makes no difference where blocks are cut.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from stages.core.arrays import Floats
from stages.separation.separation import Separator, clean
from stages.separation.spleeter_net import SpleeterNet
from stages.separation.streaming import through_rate

RATE_HZ = 44_100
"""Of the published models' training."""

FRAME, HOP = 4096, 1024
BINS = 1024
GAIN = 2 / 3
"""Squared Hann windows, four deep, sum to 3/2."""

SEGMENTS = {"cpu": 1}
"""Segments per pass. On a CPU more would only cost memory; a GPU takes eight."""


@dataclass(frozen=True)
class SpleeterTorch(Separator):
    """`spleeter_torch`: the published networks.

    Args:
        net: with its weights, as `load_net` gives it.
        device: where torch computes.
        mask_extension: what the mask is above the networks' band.
        precision: of the networks; bfloat16 is 33 dB from float32 (random weights), transforms stay float32.
        segment_frames: T of the model; the published ones have 512.
    """

    net: SpleeterNet
    device: str = "cpu"
    mask_extension: Literal["zeros", "average"] = "zeros"
    precision: Literal["float32", "bfloat16"] = "float32"
    segment_frames: int = 512

    def stream(self, blocks: Iterable[Floats], rate_hz: int) -> Iterator[Floats]:
        """As `Separator.stream`; other rates than 44.1 kHz are resampled to it and back."""
        return through_rate(self._stream, map(clean, blocks), rate_hz, RATE_HZ)

    def _stream(self, blocks: Iterable[Floats]) -> Iterator[Floats]:
        step = self._frames * HOP
        held, tail = torch.zeros(2, FRAME), torch.zeros(2, FRAME - HOP)
        total, given = 0, -FRAME  # the zeros in front are cut again
        for block in blocks:
            total += len(block)
            held = torch.cat([held, torch.from_numpy(block.T)], dim=1)
            while held.shape[1] >= step + FRAME - HOP:
                voice, tail = self._pass(held[:, : step + FRAME - HOP], tail)
                held = held[:, step:]
                yield _numpy(voice[:, max(-given, 0) :])
                given += step
        while given < total and total:
            rest = torch.nn.functional.pad(held, (0, max(step + FRAME - HOP - held.shape[1], 0)))
            voice, tail = self._pass(rest[:, : step + FRAME - HOP], tail)
            held = held[:, step:]
            yield _numpy(voice[:, max(-given, 0) : total - given])
            given += step

    @property
    def _frames(self) -> int:
        """Frames a pass."""
        return SEGMENTS.get(torch.device(self.device).type, 8) * self.segment_frames

    @cached_property
    def _placed(self) -> tuple[SpleeterNet, Tensor]:
        """Networks and window, on the device."""
        keep_freed_memory()
        dtype = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
        net = self.net.eval().to(self.device, dtype).to(memory_format=torch.channels_last)
        return net, torch.hann_window(FRAME, periodic=True, device=self.device)

    @torch.inference_mode()
    def _pass(self, samples: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """One pass over whole segments.

        Shape: samples (2, N HOP + 3072), tail (2, 3072) -> the voice (2, N HOP), the tail of the next pass.
        """
        net, window = self._placed
        frames = samples.to(self.device).unfold(1, FRAME, HOP) * window  # (2, N, FRAME)
        spectrum = torch.fft.rfft(frames)
        mask = self._mask(net, spectrum[..., :BINS].abs())
        voice = spectrum[..., :BINS] * mask
        if self.mask_extension == "average":
            above = spectrum[..., BINS:] * mask.mean(dim=-1, keepdim=True)
            voice = torch.cat([voice, above], dim=-1)
        pieces = torch.fft.irfft(voice, n=FRAME) * (window * GAIN)
        whole = _overlap_added(pieces.cpu())
        whole[:, : FRAME - HOP] += tail
        return whole[:, : HOP - FRAME], whole[:, HOP - FRAME :]

    def _mask(self, net: SpleeterNet, magnitude: Tensor) -> Tensor:
        """(2, N, BINS) -> (2, N, BINS): frames cut into segments and joined again."""
        segments = magnitude.reshape(2, -1, self.segment_frames, BINS).transpose(0, 1)
        mask: Tensor = net(segments)
        return mask.transpose(0, 1).flatten(1, 2)


def _overlap_added(frames: Tensor) -> Tensor:
    """Frames every HOP, summed. (2, N, FRAME) -> (2, N HOP + 3072)."""
    channels, count, _ = frames.shape
    quarters = frames.reshape(channels, count, -1, HOP)
    whole = torch.zeros(channels, count + quarters.shape[2] - 1, HOP)
    for quarter in range(quarters.shape[2]):
        whole[:, quarter : quarter + count] += quarters[:, :, quarter]
    return whole.flatten(1)


def _numpy(voice: Tensor) -> Floats:
    return voice.T.contiguous().numpy()


def keep_freed_memory() -> None:
    """Let glibc reuse large blocks instead of handing each back to the system and zeroing it anew.

    Every pass asks for the same buffers of some ten megabytes; keeping them makes it two to three times
    quicker on a CPU, and the peak stays what it is. Elsewhere than on glibc nothing happens.
    """
    mmap_threshold, trim_threshold, most = -3, -1, 2**31 - 1  # of malloc.h
    try:
        tune = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    tune(mmap_threshold, most)
    tune(trim_threshold, most)
