"""Spleeter: the separation the paper uses, without TensorFlow, on long sound at constant memory.

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

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from stages.core.arrays import Floats
from stages.engine.garbage import keep_freed_memory
from stages.engine.mapping import network_threads
from stages.inference.graphs import Run
from stages.separation.separation import Separator, clean
from stages.separation.streaming import through_rate

if TYPE_CHECKING:
    from torch import Tensor

    from stages.separation.spleeter_net import SpleeterNet

RATE_HZ = 44_100
"""Of the published models' training."""

FRAME, HOP = 4096, 1024
BINS = 1024
GAIN = 2 / 3
"""Squared Hann windows, four deep, sum to 3/2."""

SEGMENTS = {"cpu": 1}
"""Segments per pass. On a CPU more would only cost memory; a GPU takes eight."""


MaskExtension = Literal["zeros", "average"]


class Spleeter(Separator):
    """What both ways to run the networks share: the stream, cut into segments."""

    def stream(self, blocks: Iterable[Floats], rate_hz: int) -> Iterator[Floats]:
        """As `Separator.stream`; other rates than 44.1 kHz are resampled to it and back."""
        return through_rate(self._stream, map(clean, blocks), rate_hz, RATE_HZ)

    def _stream(self, blocks: Iterable[Floats]) -> Iterator[Floats]:
        step = self._frames * HOP
        held, tail = np.zeros((2, FRAME), np.float32), np.zeros((2, FRAME - HOP), np.float32)
        total, given = 0, -FRAME  # the zeros in front are cut again
        for block in blocks:
            total += len(block)
            held = np.concatenate([held, block.T], axis=1)
            while held.shape[1] >= step + FRAME - HOP:
                voice, tail = self._pass(held[:, : step + FRAME - HOP], tail)
                held = held[:, step:]
                yield _rows(voice[:, max(-given, 0) :])
                given += step
        while given < total and total:
            missing = max(step + FRAME - HOP - held.shape[1], 0)
            rest = np.pad(held, ((0, 0), (0, missing)))
            voice, tail = self._pass(rest[:, : step + FRAME - HOP], tail)
            held = held[:, step:]
            yield _rows(voice[:, max(-given, 0) : total - given])
            given += step

    @property
    @abstractmethod
    def _frames(self) -> int:
        """Frames a pass."""

    @abstractmethod
    def _pieces(self, samples: Floats) -> Floats:
        """The voice in every frame, windowed. Shape: (2, N HOP + 3072) -> (2, N, FRAME)."""

    def _pass(self, samples: Floats, tail: Floats) -> tuple[Floats, Floats]:
        """One pass over whole segments.

        Shape: samples (2, N HOP + 3072), tail (2, 3072) -> the voice (2, N HOP), the tail of the next pass.
        """
        whole = _overlap_added(self._pieces(samples))
        whole[:, : FRAME - HOP] += tail
        return whole[:, : HOP - FRAME], whole[:, HOP - FRAME :]


@dataclass(frozen=True)
class SpleeterTorch(Spleeter):
    """`spleeter_torch` in PyTorch, the reference.

    Args:
        net: with its weights, as `load_net` gives it.
        device: where torch computes.
        mask_extension: what the mask is above the networks' band.
        precision: of the networks; bfloat16 is 33 dB from float32 (random weights), transforms stay float32.
        segment_frames: T of the model; the published ones have 512.
    """

    net: SpleeterNet
    device: str = "cpu"
    mask_extension: MaskExtension = "zeros"
    precision: Literal["float32", "bfloat16"] = "float32"
    segment_frames: int = 512

    @property
    def _frames(self) -> int:
        return SEGMENTS.get(self.device.partition(":")[0], 8) * self.segment_frames

    @cached_property
    def _placed(self) -> tuple[SpleeterNet, Tensor]:
        """Networks and window, on the device."""
        import torch

        keep_freed_memory()
        dtype = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
        net = self.net.eval().to(self.device, dtype).to(memory_format=torch.channels_last)
        return net, torch.hann_window(FRAME, periodic=True, device=self.device)

    def _pieces(self, samples: Floats) -> Floats:
        import torch

        net, window = self._placed
        with torch.inference_mode():
            given = torch.from_numpy(np.ascontiguousarray(samples)).to(self.device)
            spectrum = torch.fft.rfft(given.unfold(1, FRAME, HOP) * window)
            mask = self._mask(net, spectrum[..., :BINS].abs())
            voice = spectrum[..., :BINS] * mask
            if self.mask_extension == "average":
                above = spectrum[..., BINS:] * mask.mean(dim=-1, keepdim=True)
                voice = torch.cat([voice, above], dim=-1)
            pieces: Floats = (torch.fft.irfft(voice, n=FRAME) * (window * GAIN)).cpu().numpy()
        return pieces

    def _mask(self, net: SpleeterNet, magnitude: Tensor) -> Tensor:
        """(2, N, BINS) -> (2, N, BINS): frames cut into segments and joined again."""
        segments = magnitude.reshape(2, -1, self.segment_frames, BINS).transpose(0, 1)
        mask: Tensor = net(segments)
        return mask.transpose(0, 1).flatten(1, 2)


@dataclass(frozen=True)
class SpleeterGraph(Spleeter):
    """`spleeter_torch` on a processor, without PyTorch.

    Args:
        run: the networks as a graph, see `spleeter_graph.open_spleeter`.
        mask_extension: as `SpleeterTorch`.
        segment_frames: likewise.
    """

    run: Run
    mask_extension: MaskExtension = "zeros"
    segment_frames: int = 512

    @property
    def _frames(self) -> int:
        return self.segment_frames

    @cached_property
    def _window(self) -> Floats:
        """Periodic Hann. (FRAME,) float32."""
        window: Floats = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
        return window.astype(np.float32)

    def _pieces(self, samples: Floats) -> Floats:
        from scipy import fft  # in single precision, unlike NumPy's before its version 2

        frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME, axis=1)[:, ::HOP]
        spectrum = fft.rfft(frames * self._window, workers=network_threads())
        magnitude = np.abs(spectrum[..., :BINS])
        segments = magnitude.reshape(2, -1, self.segment_frames, BINS).swapaxes(0, 1)
        mask = self.run(segments)[0].swapaxes(0, 1).reshape(magnitude.shape)
        spectrum[..., :BINS] *= mask
        above = mask.mean(axis=-1, keepdims=True) if self.mask_extension == "average" else np.float32(0)
        spectrum[..., BINS:] *= above
        pieces: Floats = fft.irfft(spectrum, n=FRAME, workers=network_threads())
        pieces *= self._window * np.float32(GAIN)
        return pieces


def _overlap_added(frames: Floats) -> Floats:
    """Frames every HOP, summed. (2, N, FRAME) -> (2, N HOP + 3072)."""
    channels, count, _ = frames.shape
    quarters = frames.reshape(channels, count, -1, HOP)
    whole = np.zeros((channels, count + quarters.shape[2] - 1, HOP), np.float32)
    for quarter in range(quarters.shape[2]):
        whole[:, quarter : quarter + count] += quarters[:, :, quarter]
    return whole.reshape(channels, -1)


def _rows(voice: Floats) -> Floats:
    return np.ascontiguousarray(voice.T)
