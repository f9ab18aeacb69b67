"""How a processor computes a network that is being trained: by as many threads as it is worth."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from stages.engine.device import torch_device
from stages.engine.garbage import keep_freed_memory

SMALL = 1_000_000
"""Parameters below which a network has one thread. Two would spend as long on meeting as on work: hardly
quicker on idle cores, they take twice the processor's time, and eight times as long on busy cores."""


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
