"""Prepare the next batch while this one is worked on."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from stages.engine.advance import advance
from stages.engine.device import torch_device
from stages.engine.mapping import cores

Prepared = TypeVar("Prepared")
MOST_THREADS = 8
"""That decode pictures for one GPU."""


def decoding_threads(device: str) -> int:
    """Threads that decode pictures beside a network: one where the network itself wants the cores."""
    return 1 if device == "cpu" else min(MOST_THREADS, cores())


def loader_workers() -> int:
    """Processes that read a training's samples beside a GPU; a CPU has better things to do."""
    launched = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return 0 if torch_device() == "cpu" else max(1, min(MOST_THREADS, cores() // launched - 1))


def prefetch_batches(
    prepare: Callable[[int], Prepared], count: int, batch_size: int, threads: int
) -> Iterator[list[Prepared]]:
    """`prepare` of 0 to count - 1 in order, in lists of batch_size; threads are one list ahead.

    In memory: two lists. What `prepare` raises is raised when its list is asked for.
    """
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[list[Future[Prepared]]] = deque()
        for start in range(0, count, batch_size):
            ahead.append([pool.submit(prepare, k) for k in range(start, min(start + batch_size, count))])
            if len(ahead) > 1:
                yield [one.result() for one in ahead.popleft()]
                advance(start, count)
        for batch in ahead:
            yield [one.result() for one in batch]
        advance(count, count)
