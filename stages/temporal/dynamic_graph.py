"""The dynamic model as an OpenVINO graph, so that a processor runs it without PyTorch."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.inference.engines import Precision
from stages.inference.graphs import Exported, Run, graph_file, open_graph
from stages.inference.modules import SEED, some_padding, with_forward

if TYPE_CHECKING:
    from torch import Tensor

CODE = __name__


def open_dynamic(file: Path, config: dict[str, Any], precision: Precision) -> Run:
    """A dynamic model: (B, W, F) float32, real steps (B, W) bool -> (B, W, 2), features (B, W, d).

    Args:
        file: the weights.
        config: of their header: `window`, W, and the arguments of `DynamicModel` under `model`.
        precision: of the layers.

    Raises:
        GraphMismatch: see `graphs.graph_file`.
    """
    return open_graph(dynamic_graph(file, config), precision)


def dynamic_graph(file: Path, config: dict[str, Any]) -> Path:
    """The file of the graph; see `open_dynamic`."""
    window, features = int(config["window"]), int(config["model"].get("features", 256))

    def exported() -> Exported:
        from stages.temporal.dynamic import DynamicModel
        from stages.training.checkpoints import load_model

        values = np.random.default_rng(SEED).standard_normal((2, window, features)).astype(np.float32)
        model = load_model(file, lambda config: DynamicModel(**config["model"]))
        return Exported(CODE, lambda: with_forward(model, _of_steps), [values, some_padding(window, 0.3)])

    return graph_file(file, exported, CODE)


def _of_steps(model: Any, values: "Tensor", valid: "Tensor") -> tuple["Tensor", "Tensor"]:
    described = model.features(values, valid)
    return model.estimate(described), described
