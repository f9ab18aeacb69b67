"""The static model as a graph: a processor needs no PyTorch for it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.inference.engines import Precision
from stages.inference.graphs import Exported, Run, graph_file, open_graph
from stages.inference.modules import SEED, with_forward

if TYPE_CHECKING:
    from torch import Tensor

CODE = __name__


def open_static(file: Path, config: dict[str, Any], precision: Precision) -> Run:
    """A static model: RGB images (B, 3, S, S) uint8 -> embedding (B, 256), valence_arousal (B, 2).

    Args:
        file: the weights.
        config: of their header: `image_size` is S.
        precision: of the layers.

    Raises:
        GraphMismatch: see `graphs.graph_file`.
    """
    return open_graph(static_graph(file, config), precision)


def static_graph(file: Path, config: dict[str, Any]) -> Path:
    """The file of the graph; see `open_static`."""

    def exported() -> Exported:
        from stages.training.checkpoints import load_model
        from stages.vision.architectures import build_static

        shape = (2, 3, config["image_size"], config["image_size"])
        images = np.random.default_rng(SEED).integers(0, 256, shape, np.uint8)
        return Exported(CODE, lambda: with_forward(load_model(file, build_static), _of_image), [images])

    return graph_file(file, exported, CODE)


def _of_image(model: Any, image: "Tensor") -> tuple["Tensor", "Tensor"]:
    output = model(image)
    return output.embedding, output.valence_arousal
