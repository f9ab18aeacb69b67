"""Run an audio model by OpenVINO's graphs on a processor, or by PyTorch, through one interface."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from stages.audio.convolutions import RATE_HZ, Anatomy, Convolutions, frames_of
from stages.core.arrays import Flags, Floats
from stages.inference.engines import Engine

if TYPE_CHECKING:
    from torch import nn

MOST_ON_A_PROCESSOR = 4
"""Windows per batch on a processor. 16 were no faster, and OpenVINO keeps the memory of the largest batch:
1.1 GB instead of 0.6 (windows of 4 s, 12 layers of 1024, bfloat16)."""
PARTS = 4
"""A stretch is padded to a multiple of a window's quarter. OpenVINO keeps what it prepared for every length
that it has met, 2.7 MB each in the same model."""


class AudioNetwork(Protocol):
    """An audio model in evaluation mode. It returns 2 + f values per step: valence, arousal, features."""

    @property
    def most(self) -> int | None:
        """Most windows per batch; None: no limit."""

    @property
    def convolutions(self) -> Anatomy:
        """Of its backbone."""

    def windows(self, waveform: Floats, real: Flags) -> Floats:
        """Shape: (b, n) float32, true at real samples (b, n) -> (b, S, 2 + f) float32."""

    def convolve(self, waveform: Floats) -> Floats:
        """The convolutions of a stretch alone, where `are_local`. Shape: (n,) float32 -> (c, F) float32."""

    def finish(self, convolved: Floats, real: Flags) -> Floats:
        """`windows`, from what the convolutions made. Shape: (b, c, F), (b, n) -> (b, S, 2 + f)."""


class GraphAudio:
    """An audio model as graphs on the processor; see `audio_graph.open_audio`.

    Args:
        file: the model.
        config: of its header: `backbone`, `window_s`.
        engine: precision of the layers.
    """

    def __init__(self, file: Path, config: dict[str, Any], engine: Engine) -> None:
        from stages.audio.audio_graph import open_audio

        self.convolutions, self.most = Convolutions.of(config["backbone"]), MOST_ON_A_PROCESSOR
        self._part = -(-round(config["window_s"] * RATE_HZ) // PARTS)
        self._convolve, self._rest = open_audio(file, config, engine.precision)

    def windows(self, waveform: Floats, real: Flags) -> Floats:
        """See `AudioNetwork`."""
        return self.finish(self._convolve(np.where(real, waveform, np.float32(0)))[0], real)

    def convolve(self, waveform: Floats) -> Floats:
        """See `AudioNetwork`."""
        surplus = -len(waveform) % self._part
        convolved: Floats = self._convolve(np.pad(waveform, (0, surplus))[None])[0][0]
        return convolved[:, : frames_of(self.convolutions, np.array(len(waveform)))]

    def finish(self, convolved: Floats, real: Flags) -> Floats:
        """See `AudioNetwork`."""
        return np.concatenate(self._rest(convolved, real), axis=-1)


class TorchAudio:
    """An audio model in PyTorch, on the device that it lies on.

    Args:
        model: an `AudioModel`, or what takes waveforms and masks as one does; put into evaluation mode.
    """

    def __init__(self, model: "nn.Module") -> None:
        self._model: Any = model.eval()
        self.most = None
        self._device = next(model.parameters()).device

    @property
    def convolutions(self) -> Anatomy:
        """See `AudioNetwork`."""
        anatomy: Anatomy = self._model.backbone.config
        return anatomy

    def windows(self, waveform: Floats, real: Flags) -> Floats:
        """See `AudioNetwork`."""
        return self._said(waveform, real)

    def convolve(self, waveform: Floats) -> Floats:
        """See `AudioNetwork`."""
        import torch

        from stages.audio.backbone import convolve

        with torch.inference_mode():
            found = convolve(self._model.backbone, torch.from_numpy(waveform[None]).to(self._device))
            convolved: Floats = found[0].cpu().numpy()
        return convolved

    def finish(self, convolved: Floats, real: Flags) -> Floats:
        """See `AudioNetwork`."""
        import torch

        unused = np.zeros(real.shape, np.float32)  # the convolutions have processed the samples already
        return self._said(unused, real, convolved=torch.from_numpy(convolved).to(self._device))

    def _said(self, waveform: Floats, real: Flags, **known: Any) -> Floats:
        import torch

        with torch.inference_mode():
            inputs = (torch.from_numpy(array).to(self._device) for array in (waveform, real))
            said: Floats = torch.cat(self._model(*inputs, **known), dim=-1).float().cpu().numpy()
        return said
