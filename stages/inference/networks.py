"""The trained networks of the pipeline, each as a graph: static, dynamic, audio.

Each `open_...` reads the configuration in the header of a model file and gives a function of arrays. PyTorch
is imported only where a graph has to be exported first.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stages.core.arrays import Floats
from stages.inference.engines import Precision
from stages.inference.graphs import Exported, Run, open_graph

if TYPE_CHECKING:
    from torch import Tensor, nn

STATIC, DYNAMIC, AUDIO = "stages.vision.architectures", "stages.temporal.dynamic", "stages.audio.model"
SEED = 0
"""Of the inputs on which PyTorch and the graph are compared."""


def open_static(file: Path, image_size: int, precision: Precision) -> Run:
    """A static model: RGB images (B, 3, S, S) uint8 -> embedding (B, 256), valence_arousal (B, 2).

    Raises:
        GraphMismatch: see `graphs.open_graph`.
    """

    def exported() -> Exported:
        from stages.training.checkpoints import load_model
        from stages.vision.architectures import build_static

        shape = (2, 3, image_size, image_size)
        images = np.random.default_rng(SEED).integers(0, 256, shape, np.uint8)
        return Exported(STATIC, lambda: _saying(load_model(file, build_static), _of_image), [images])

    return open_graph(file, exported, STATIC, precision)


def open_dynamic(file: Path, config: dict[str, Any], precision: Precision) -> Run:
    """A dynamic model: (B, W, F) float32, real steps (B, W) bool -> (B, W, 2), features (B, W, d).

    Args:
        file: the weights.
        config: of their header: `window`, W, and the arguments of `DynamicModel` under `model`.
        precision: of the layers.

    Raises:
        GraphMismatch: see `graphs.open_graph`.
    """
    window, features = int(config["window"]), int(config["model"].get("features", 256))

    def exported() -> Exported:
        from stages.temporal.dynamic import DynamicModel
        from stages.training.checkpoints import load_model

        values = np.random.default_rng(SEED).standard_normal((2, window, features)).astype(np.float32)
        model = load_model(file, lambda config: DynamicModel(**config["model"]))
        return Exported(DYNAMIC, lambda: _saying(model, _of_steps), [values, _some_padding(window, 0.3)])

    return open_graph(file, exported, DYNAMIC, precision)


def open_audio(file: Path, samples: int, precision: Precision) -> Run:
    """An audio model: (B, n) float32, real samples (B, n) bool -> (B, steps, 2), features (B, steps, f).

    Args:
        file: the weights.
        samples: n, of a window.
        precision: of the layers.

    Raises:
        GraphMismatch: see `graphs.open_graph`.
    """

    def exported() -> Exported:
        from stages.audio.backbone import build_backbone
        from stages.audio.model import AudioModel
        from stages.training.checkpoints import load_model

        def build(config: dict[str, Any]) -> AudioModel:
            return AudioModel(build_backbone(config["backbone"]), **config["head"])

        real = np.ascontiguousarray(_some_padding(samples, 0.6)[:, ::-1])  # sound is padded at its end
        waveform = real * np.random.default_rng(SEED).standard_normal((2, samples)).astype(np.float32)
        return Exported(AUDIO, lambda: load_model(file, build), [waveform, real])

    return open_graph(file, exported, AUDIO, precision)


def _some_padding(length: int, share: float) -> NDArray[np.bool_]:
    """(2, length) bool: the first row all real, the second padded at its start."""
    valid = np.ones((2, length), bool)
    valid[1, : int(share * length)] = False
    return valid


def _saying(model: "nn.Module", say: Callable[..., tuple["Tensor", "Tensor"]]) -> "nn.Module":
    """The model as a module whose forward pass gives what the pipeline reads, as a tuple."""
    from torch import nn

    class Saying(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: "Tensor") -> tuple["Tensor", "Tensor"]:
            return say(self.model, *inputs)

    return Saying()


def _of_image(model: Any, image: "Tensor") -> tuple["Tensor", "Tensor"]:
    output = model(image)
    return output.embedding, output.valence_arousal


def _of_steps(model: Any, values: "Tensor", valid: "Tensor") -> tuple["Tensor", "Tensor"]:
    described = model.features(values, valid)
    return model.estimate(described), described


def batched(run: Run, size: int, *inputs: Floats) -> list[Floats]:
    """The outputs for inputs of any length, so many rows at a time."""
    parts = [run(*(array[at : at + size] for array in inputs)) for at in range(0, len(inputs[0]), size)]
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]
