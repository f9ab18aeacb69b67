"""What the exports of all networks share: modules that answer in tuples, and inputs to compare on."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stages.core.arrays import Flags, Floats
from stages.inference.graphs import Run

if TYPE_CHECKING:
    from torch import Tensor, nn

SEED = 0
"""Of the inputs on which PyTorch and the graph are compared."""


def saying_tuple(model: "nn.Module", say: Callable[..., tuple["Tensor", "Tensor"]]) -> "nn.Module":
    """A model as a module whose forward pass gives what the pipeline reads, as a tuple."""
    from torch import nn

    class Saying(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: "Tensor") -> tuple["Tensor", "Tensor"]:
            return say(self.model, *inputs)

    return Saying()


def side_by_side(run: Run) -> Callable[[Floats, Flags], Floats]:
    """A temporal network as `temporal.recording` asks it: its outputs side by side, (B, W, C)."""

    def say(values: Floats, valid: Flags) -> Floats:
        return np.concatenate(run(values, valid), axis=-1)

    return say


def some_padding(length: int, share: float) -> NDArray[np.bool_]:
    """(2, length) bool: the first row all real, the second padded at its start."""
    valid = np.ones((2, length), bool)
    valid[1, : int(share * length)] = False
    return valid
