"""Common parts of all exports: modules with another forward method, and example inputs."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stages.core.arrays import Flags, Floats
from stages.inference.graphs import Run

if TYPE_CHECKING:
    from torch import Tensor, nn

SEED = 0
"""Seed of the inputs on which PyTorch and the graph are compared."""
MOST_ROWS = 32
"""Windows per call of a temporal network. 256 were no faster, and OpenVINO keeps what it prepared for every
number of rows that it has met, 0.4 MB each (dynamic model, 3 layers of 256, windows of 20)."""


def with_forward(model: "nn.Module", forward: Callable[..., tuple["Tensor", "Tensor"]]) -> "nn.Module":
    """Wrap a model in a module with another forward pass.

    Args:
        model: the model.
        forward: (model, inputs...) -> the outputs that the pipeline needs, as a tuple.
    """
    from torch import nn

    class Wrapper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: "Tensor") -> tuple["Tensor", "Tensor"]:
            return forward(self.model, *inputs)

    return Wrapper()


def joined_outputs(run: Run) -> Callable[[Floats, Flags], Floats]:
    """A temporal network in the form of `temporal.recording.Say`: outputs concatenated, (B, W, C)."""

    def predict(values: Floats, valid: Flags) -> Floats:
        starts = range(0, len(values), MOST_ROWS)
        parts = [run(values[k : k + MOST_ROWS], valid[k : k + MOST_ROWS]) for k in starts]
        return np.concatenate([np.concatenate(outputs, axis=-1) for outputs in parts])

    return predict


def some_padding(length: int, share: float) -> NDArray[np.bool_]:
    """Example mask, (2, length) bool: no padding in the first row; `share` of the second, at its start."""
    valid = np.ones((2, length), bool)
    valid[1, : int(share * length)] = False
    return valid
