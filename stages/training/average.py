"""A moving average of the weights: what a noisy run has learnt, without the noise of its last steps."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Average:
    """The exponential average of a model's state over its optimiser steps.

    It begins at 0 and is divided by what it therefore lacks, so that the first steps count in full (Polyak
    and Juditsky, 1992; Kingma and Ba, 2015, section 3).

    Args:
        model: whose parameters and buffers; those that aren't floating point are taken as they are.
        decay: of the average per step, 0 to 1.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay, self._steps = decay, 0
        self._sums = {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights after a step."""
        self._steps += 1
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                self._sums[name].lerp_(tensor.to(self._sums[name].device), 1 - self._decay)
            else:
                self._sums[name].copy_(tensor)

    def weights(self) -> dict[str, Tensor]:
        """The averaged weights, as the model takes them."""
        lacking = 1 - self._decay**self._steps if self._steps else 1.0
        return {
            name: tensor / lacking if tensor.is_floating_point() else tensor
            for name, tensor in self._sums.items()
        }

    @contextmanager
    def in_place(self, model: nn.Module) -> Iterator[None]:
        """Let the model have the averaged weights for a while."""
        if not self._steps:
            yield
            return
        own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        model.load_state_dict(self.weights())
        try:
            yield
        finally:
            model.load_state_dict(own)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` goes on from."""
        return {"steps": self._steps, "sums": {name: tensor.cpu() for name, tensor in self._sums.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from an average that was kept."""
        self._steps = state["steps"]
        for name, tensor in state["sums"].items():
            self._sums[name].copy_(tensor)
