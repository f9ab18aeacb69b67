"""Map a function over units of work, on this machine's cores (by joblib) or on a Dask or Ray cluster."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Literal, TypeVar

from stages.engine.garbage import collect_rarely
from stages.engine.lifetime import exit_with_parents

Item = TypeVar("Item")
Result = TypeVar("Result")
Backend = Literal["local", "dask", "ray"]


def cores() -> int:
    """Number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def network_threads() -> int:
    """Threads of a network on a processor: OMP_NUM_THREADS, two by default.

    The last digits of its results depend on them, and training magnifies these.
    """
    return int(os.environ.get("OMP_NUM_THREADS", "2"))


def map_units(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    jobs: int,
    backend: Backend = "local",
    address: str | None = None,
    threads: int | None = None,
) -> Iterator[Result]:
    """Yield `function(item)` for every item, in order of completion; in this process if `jobs` is 1.

    Workers end when this process ends.

    Args:
        function: a pure function; picklable if `jobs` > 1 or on a cluster.
        items: one call each.
        jobs: number of worker processes on this machine.
        backend: where the workers are. Workers of a cluster use as many threads as this process would, and
            outlive it.
        address: address of the cluster, see `cluster.map_on_cluster`.
        threads: of each worker on this machine; None: cores / jobs, since oversubscribed cores are up to ten
            times slower.
    """
    waiting = list(items)
    jobs = min(jobs, len(waiting))
    if backend != "local" and waiting:
        from stages.engine.cluster import map_on_cluster

        yield from map_on_cluster(function, waiting, backend, address, jobs)
        return
    if jobs <= 1:
        yield from map(function, waiting)
        return
    from joblib import Parallel, delayed, parallel_config

    threads = threads or max(1, cores() // jobs)
    beginning = {"initializer": _begin, "initargs": (os.getpid(), threads)}
    with parallel_config(backend="loky", inner_max_num_threads=threads, **beginning):
        calls = (delayed(function)(item) for item in waiting)
        results = Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch="2*n_jobs")(calls)
        _end_workers_at_exit()
        yield from results


def _begin(parent: int, threads: int) -> None:
    """Initialise a worker, even if it never gets an item."""
    exit_with_parents([parent])
    collect_rarely()
    import cv2

    cv2.setNumThreads(threads)


@cache
def _end_workers_at_exit() -> None:
    """Kill the workers at exit. Call it after loky has started: the last registered function runs first.

    joblib keeps idle workers for the next call. At exit, loky asks them to stop and waits; if one of them is
    killed at that moment (e.g. when memory runs out), it keeps the lock of their queue, and the others never
    stop. `atexit` would be too late: Python waits for loky's thread before.
    """
    threading._register_atexit(_end_workers)  # type: ignore[attr-defined]  # loky's own way to be called


def _end_workers() -> None:
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor(reuse=True).shutdown(kill_workers=True)
