"""The cross-attention model as an inference graph, so that a CPU runs it without PyTorch."""

from pathlib import Path
from typing import Any

import numpy as np

from stages.inference.engines import Precision
from stages.inference.graphs import Exported, Run, graph_file, open_graph
from stages.inference.modules import SEED, some_padding

CODE = __name__


def open_cross_attention(file: Path, config: dict[str, Any], precision: Precision) -> Run:
    """Open a trained cross-attention model as a function of arrays.

    Shape of the function: streams (B, W, C) float32, valid steps (B, W) bool -> (B, W, 2) float32.

    Args:
        file: the weights.
        config: the configuration in their header: `window` is W, `model` has the arguments of
            `CrossAttentionModel`.
        precision: number format of the layers.

    Raises:
        GraphMismatch: see `graphs.graph_file`.
    """
    return open_graph(cross_attention_graph(file, config), precision)


def cross_attention_graph(file: Path, config: dict[str, Any]) -> Path:
    """The file of the graph; see `open_cross_attention`."""

    def exported() -> Exported:
        from stages.fusion.cross_attention import CrossAttentionModel
        from stages.training.checkpoints import load_model

        model = load_model(file, lambda config: CrossAttentionModel(**config["model"]))
        window, random = int(config["window"]), np.random.default_rng(SEED)
        values = random.standard_normal((2, window, model.inputs)).astype(np.float32)
        values[..., -1] = random.random((2, window)) > 0.5  # steps with speech
        return Exported(CODE, lambda: model, [values, some_padding(window, 0.3)])

    return graph_file(file, exported, CODE)
