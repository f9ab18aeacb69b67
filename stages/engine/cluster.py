"""Units of work on the machines of a Dask or a Ray cluster.

joblib has backends for both, but they don't recover from killed workers: its Ray pool doesn't replace them,
and its Dask backend never reports a failed task. Dask and Ray themselves recover: another worker repeats the
task.

Requirements on the cluster: a shared file system with the same paths on all machines, and workers with the
same code. A worker computes one unit at a time, in the folder of the stage that requested it.
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

DEATHS_ALLOWED = 3  # workers that may die during one unit; also Dask's own limit
PATIENCE_S = 60  # longest wait for the first worker
WAITING_PER_CORE = 4  # units submitted to Ray at a time: waiting for n tasks takes O(n)

_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Place:
    """What the workers must have in common with the stage.

    Args:
        folder: current folder; all paths of a unit are relative to it.
        code: see `code_here`.
        threads: threads of each worker: as many as the stage itself would use, because the last digits of a
            network's results depend on them.
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
    """Yield `function(item)` for every item, in order of completion.

    Args:
        function: a module-level function, or a `partial` of one; it is sent to the workers.
        items: one task each.
        backend: Dask or Ray.
        address: address of a running cluster (Dask: tcp://host:8786; Ray: auto, host:6379); None: start one
            on this machine, for the duration of this call.
        jobs: number of workers of a cluster that is started here.

    Raises:
        ValaroError: there is no cluster or worker, a worker lacks this folder or has other code, or several
            workers died during one unit.
    """
    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    do = partial(_on_worker, Place(Path.cwd(), code_here(), threads), function)
    yield from (_map_on_dask if backend == "dask" else _map_on_ray)(do, items, address, jobs)


@cache
def code_here() -> str:
    """Hash of all code of this package at the first call in this process."""
    code = hashlib.sha256()
    for file in sorted(ROOT.glob(f"{PACKAGE}/**/*.py")):
        code.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return code.hexdigest()


def _on_worker(place: Place, function: Callable[[Item], Result], item: Item) -> Result:
    with _one_at_a_time:  # a Dask worker has several threads, which share detectors and current folder
        if code_here() != place.code:
            raise ValaroError(
                f"the worker on {platform.node()} has other code than this stage ({ROOT}). "
                "Restart the workers in an environment with the same checkout."
            )
        try:
            os.chdir(place.folder)
        except OSError as error:
            raise ValaroError(
                f"the worker on {platform.node()} can't enter {place.folder} ({error.strerror}). All "
                "machines must have this folder at the same path: put it on a shared file system."
            ) from None
        with _threads(place.threads):
            return function(item)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Set the number of threads: by environment variables for libraries to come, directly for loaded ones."""
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
            raise _workers_died(str(error)) from None
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
        once = ray.put(do)  # the same for all units
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
            raise _workers_died(str(error)) from None
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
            # Ray itself would try for minutes, then kill the process.
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


def _workers_died(what: str) -> ValaroError:
    return ValaroError(
        f"{DEATHS_ALLOWED} workers died or were killed during one unit ({what.strip().splitlines()[0]}). "
        "They may need more memory: give it to every worker, or run fewer workers per machine."
    )
