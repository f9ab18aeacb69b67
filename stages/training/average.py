"""Exponential moving average (EMA) of the weights: less noisy than the weights of the last step."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Average:
    """The exponential moving average of a model's state over its optimiser steps.

    It starts at 0 with bias correction: the average is divided by 1 - decay^steps (Polyak and Juditsky, 1992;
    Kingma and Ba, 2015, section 3).

    Args:
        model: its parameters and buffers are averaged; integer ones are copied.
        decay: decay per step, 0 to 1.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay, self._steps = decay, 0
        self._sums = {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Add the weights after an optimiser step."""
        self._steps += 1
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                self._sums[name].lerp_(tensor.to(self._sums[name].device), 1 - self._decay)
            else:
                self._sums[name].copy_(tensor)

    def weights(self) -> dict[str, Tensor]:
        """The averaged state dict of the model; zeros before the first step."""
        lacking = 1 - self._decay**self._steps if self._steps else 1.0
        return {
            name: tensor / lacking if tensor.is_floating_point() else tensor
            for name, tensor in self._sums.items()
        }

    @contextmanager
    def in_place(self, model: nn.Module) -> Iterator[None]:
        """Load the averaged weights into the model for the length of the block, then restore its own."""
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
        """The state for `load_state_dict`."""
        return {"steps": self._steps, "sums": {name: tensor.cpu() for name, tensor in self._sums.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state."""
        self._steps = state["steps"]
        for name, tensor in state["sums"].items():
            self._sums[name].copy_(tensor)
