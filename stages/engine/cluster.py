"""Units of work on the machines of a Dask or a Ray cluster.

joblib has backends for both, but they don't recover from the death of a worker: its Ray pool doesn't replace
one, and its Dask backend never reports a task that failed. Both engines recover by themselves: a task whose
worker died is done again by another.

What a cluster must offer: one file system with the same paths everywhere, and workers that have imported this
very code. A worker does one unit at a time, in the folder of the stage that asks for it.
"""

import hashlib
import os
import platform
import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

from stages.core.errors import ValaroError
from stages.engine.fingerprint import PACKAGE, ROOT

Item = TypeVar("Item")
Result = TypeVar("Result")
Backend = Literal["dask", "ray"]

DEATHS_ALLOWED = 3  # workers that may die over one unit; Dask's own limit is the same
PATIENCE_S = 60  # for the first worker to appear
WAITING_PER_CORE = 4  # units handed to Ray at a time, since waiting on all of a large corpus is quadratic

_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Place:
    """Where the asking stage runs, and what its workers must share with it.

    Args:
        folder: current folder; every path of a unit is relative to it.
        code: see `code_here`.
        threads: of each worker. The same as the stage itself would take, because the last digits of a
            network's sums depend on it.
    """

    folder: Path
    code: str
    threads: int


def map_on_cluster(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    backend: Backend,
    address: str | None,
    jobs: int,
) -> Iterator[Result]:
    """Yield `function(item)` for every item, as they finish.

    Args:
        function: travels to the workers; a module-level function, or a `partial` of one.
        items: one task each.
        backend: the engine.
        address: of the running cluster (Dask: tcp://host:8786; Ray: auto, host:6379); None starts one on
            this machine for as long as the map lasts.
        jobs: workers of a cluster that is started here; a running one has as many as it has.

    Raises:
        ValaroError: no cluster or no worker there, one that lacks this folder or has other code, or a unit
            over which several workers died.
    """
    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    do = partial(_on_worker, Place(Path.cwd(), code_here(), threads), function)
    yield from (_map_on_dask if backend == "dask" else _map_on_ray)(do, items, address, jobs)


@cache
def code_here() -> str:
    """Hash of all code of this package, as it was when this process first asked."""
    code = hashlib.sha256()
    for file in sorted(ROOT.glob(f"{PACKAGE}/**/*.py")):
        code.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return code.hexdigest()


def _on_worker(place: Place, function: Callable[[Item], Result], item: Item) -> Result:
    with _one_at_a_time:  # several threads of a Dask worker: detectors and the current folder are shared
        if code_here() != place.code:
            raise ValaroError(
                f"the worker on {platform.node()} has imported other code than this stage runs ({ROOT}). "
                "Restart the workers, in an environment with the same checkout."
            )
        try:
            os.chdir(place.folder)
        except OSError as error:
            raise ValaroError(
                f"the worker on {platform.node()} can't enter {place.folder} ({error.strerror}). All "
                "machines must see this folder under the same path: put it on a file system that they share."
            ) from None
        with _threads(place.threads):
            return function(item)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Libraries that load from now on take the number from the environment, the others are told."""
    import cv2
    from threadpoolctl import threadpool_limits

    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(count))
    cv2.setNumThreads(count)
    with threadpool_limits(count):
        yield


def _map_on_dask(
    do: Callable[[Item], Result], items: Sequence[Item], address: str | None, jobs: int
) -> Iterator[Result]:
    from distributed import KilledWorker, as_completed

    with _dask(address, jobs) as client:
        futures = client.map(do, items, pure=False)
        try:
            for future in as_completed(futures, loop=client.loop):
                yield future.result()
        except KilledWorker as error:
            raise _too_deadly(str(error)) from None
        finally:
            client.cancel(futures)


@contextmanager
def _dask(address: str | None, jobs: int) -> Iterator[Any]:
    from distributed import Client, LocalCluster

    with ExitStack() as exits:
        try:
            cluster = address or exits.enter_context(
                LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address=None)
            )
            client = exits.enter_context(Client(cluster, timeout=PATIENCE_S, set_as_default=False))
            client.wait_for_workers(1, timeout=PATIENCE_S)
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            raise ValaroError(
                f"compute.address {address}: no Dask scheduler with a worker answers within {PATIENCE_S} s "
                f"({error}). Start them (dask scheduler, dask worker), or set compute.backend to local."
            ) from None
        yield client


def _map_on_ray(
    do: Callable[[Item], Result], items: Sequence[Item], address: str | None, jobs: int
) -> Iterator[Result]:
    import ray

    with _ray(address, jobs) as cores:
        task = ray.remote(num_cpus=1, max_retries=DEATHS_ALLOWED)(_call).remote
        once = ray.put(do)  # it is the same for all
        ahead = iter(items)
        waiting: list[Any] = []
        try:
            while True:
                room = WAITING_PER_CORE * cores - len(waiting)
                waiting += [task(once, item) for item in islice(ahead, room)]
                if not waiting:
                    return
                done, waiting = ray.wait(waiting)
                yield from ray.get(done)
        except ray.exceptions.RayTaskError as error:
            raise error.as_instanceof_cause() from None
        except ray.exceptions.RayError as error:
            raise _too_deadly(str(error)) from None
        finally:
            for reference in waiting:
                ray.cancel(reference)


def _call(function: Callable[[Item], Result], item: Item) -> Result:
    return function(item)


@contextmanager
def _ray(address: str | None, jobs: int) -> Iterator[int]:
    import ray

    here: dict[str, Any] = {"num_cpus": jobs, "include_dashboard": False} if address is None else {}
    try:
        if address and (endpoint := re.fullmatch(r"(?:ray://)?([^:/]+):(\d+)", address)):
            # Ray itself would try for minutes, then end the process.
            socket.create_connection((endpoint[1], int(endpoint[2])), timeout=PATIENCE_S).close()
        ray.init(address or "local", log_to_driver=False, configure_logging=False, **here)
    except (ConnectionError, OSError, ValueError) as error:
        raise ValaroError(
            f"compute.address {address}: no Ray cluster answers ({error}). Start one (ray start --head), or "
            "set compute.backend to local."
        ) from None
    try:
        yield int(ray.cluster_resources().get("CPU", 1))
    finally:
        ray.shutdown()


def _too_deadly(what: str) -> ValaroError:
    return ValaroError(
        f"over one unit {DEATHS_ALLOWED} workers died or were killed ({what.strip().splitlines()[0]}). Its "
        "memory may not suffice: give every worker more, or run fewer of them on a machine."
    )
