"""Prepare the next batch while this one is worked on."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
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


def prefetch_stream(prepared: Iterator[Prepared], count: int, batch_size: int) -> Iterator[list[Prepared]]:
    """What can only be prepared in order, in lists of batch_size; a thread is one list ahead.

    In memory: two lists. What `prepared` raises is raised when its list is asked for.

    Args:
        prepared: gone through in that thread alone.
        count: how many there are.
        batch_size: of a list; the last one may be shorter.
    """

    def take() -> list[Prepared]:
        return list(islice(prepared, batch_size))

    with ThreadPoolExecutor(1) as pool:
        ahead, done = pool.submit(take), 0
        while batch := ahead.result():
            ahead = pool.submit(take)
            yield batch
            done += len(batch)
            advance(done, count)
