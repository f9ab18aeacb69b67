"""Prepare the next batch while the current one is processed."""

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
"""Maximum number of threads that decode pictures for one GPU."""


def decoding_threads(device: str) -> int:
    """Number of threads that decode pictures for a network: one if the network itself runs on the CPU."""
    return 1 if device == "cpu" else min(MOST_THREADS, cores())


def loader_workers() -> int:
    """Number of processes that read training samples for a GPU; 0 (none besides this one) on a CPU."""
    launched = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return 0 if torch_device() == "cpu" else max(1, min(MOST_THREADS, cores() // launched - 1))


def prefetch_batches(
    prepare: Callable[[int], Prepared], count: int, batch_size: int, threads: int
) -> Iterator[list[Prepared]]:
    """Yield `prepare(k)` for k from 0 to count - 1, in order, in lists; threads prepare one list in advance.

    Memory: two lists. An exception of `prepare` is raised when its list is requested.

    Args:
        prepare: called in the threads.
        count: number of calls.
        batch_size: length of the lists; the last one may be shorter.
        threads: number of threads.
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
    """Yield the items of an iterator in lists; a thread prepares one list in advance.

    Memory: two lists. An exception of `prepared` is raised when its list is requested.

    Args:
        prepared: iterated in that thread only.
        count: number of items, for the progress.
        batch_size: length of the lists; the last one may be shorter.
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
