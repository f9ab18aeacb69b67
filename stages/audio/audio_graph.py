"""The audio model as two OpenVINO graphs, so that a processor runs it without PyTorch."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.audio.convolutions import RATE_HZ
from stages.core.arrays import Floats
from stages.inference.engines import Precision
from stages.inference.graphs import Exported, Run, graph_file, open_graph
from stages.inference.modules import SEED, some_padding, with_forward

if TYPE_CHECKING:
    from torch import Tensor

CODE = __name__


def open_audio(file: Path, config: dict[str, Any], precision: Precision) -> tuple[Run, Run]:
    """An audio model in two graphs, so that windows that overlap can share the first.

    The convolutions: (B, n) float32 -> (B, c, F), n free. The rest: (B, c, F), real samples (B, n) bool ->
    (B, steps, 2), features (B, steps, f).

    Args:
        file: the weights.
        config: of their header: `window_s` holds n samples.
        precision: of the layers.

    Raises:
        GraphMismatch: see `graphs.graph_file`.
    """
    convolutions, rest = audio_graphs(file, config)
    return open_graph(convolutions, precision), open_graph(rest, precision)


def audio_graphs(file: Path, config: dict[str, Any]) -> tuple[Path, Path]:
    """The files of the graphs; see `open_audio`."""
    samples = round(config["window_s"] * RATE_HZ)

    def model() -> Any:
        from stages.audio.backbone import build_backbone
        from stages.audio.model import AudioModel
        from stages.training.checkpoints import load_model

        return load_model(file, lambda c: AudioModel(build_backbone(c["backbone"]), **c["head"]))

    real = np.ascontiguousarray(some_padding(samples, 0.6)[:, ::-1])  # sound is padded at its end
    noise = np.random.default_rng(SEED).standard_normal((2, samples))
    waveform: Floats = np.where(real, noise, 0).astype(np.float32)

    def convolutions() -> Exported:
        return Exported(CODE, lambda: model().backbone.feature_extractor, [waveform], free_axes=2)

    def rest() -> Exported:
        from stages.audio.backbone import convolve

        whole = model()
        whole.backbone.loss_function = None  # else it warns when tracing looks at it
        convolved = convolve(whole.backbone, _tensor(waveform)).detach().numpy()
        return Exported(CODE, lambda: with_forward(whole, _of_convolved), [convolved, real])

    return (
        graph_file(file, convolutions, CODE, "convolutions"),
        graph_file(file, rest, CODE, "rest"),
    )


def _of_convolved(model: Any, convolved: "Tensor", real: "Tensor") -> tuple["Tensor", "Tensor"]:
    valence_arousal, features = model(real.float(), real, convolved)
    return valence_arousal, features


def _tensor(array: Floats) -> "Tensor":
    import torch

    return torch.from_numpy(array)
