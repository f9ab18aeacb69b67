"""The static model as a graph: a processor needs no PyTorch for it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.inference.engines import Precision
from stages.inference.graphs import Exported, Run, open_graph
from stages.inference.modules import SEED, with_forward

if TYPE_CHECKING:
    from torch import Tensor

CODE = __name__


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
        return Exported(CODE, lambda: with_forward(load_model(file, build_static), _of_image), [images])

    return open_graph(file, exported, CODE, precision)


def _of_image(model: Any, image: "Tensor") -> tuple["Tensor", "Tensor"]:
    output = model(image)
    return output.embedding, output.valence_arousal
