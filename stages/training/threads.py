"""How a processor computes a network that is being trained: by as many threads as it is worth."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from stages.engine.device import torch_device
from stages.engine.garbage import keep_freed_memory

SMALL = 2_000_000
"""Parameters below which a network has one thread: the sample's. On two idle cores a second one saves a tenth
of the time below 200,000 parameters and a fifth above; where cores are busy, with other trainings (see
`compute.trainings_at_once`) or other work, the two wait for each other: five times as long and more."""


@contextmanager
def threads_for(model: nn.Module) -> Iterator[None]:
    """Inside the block, compute with one thread if `model` is small; keep the memory of a step for the next.

    On a GPU nothing changes.
    """
    if torch_device() != "cpu":
        yield
        return
    keep_freed_memory()
    before = torch.get_num_threads()
    if sum(parameter.numel() for parameter in model.parameters()) < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
