"""A cluster gives the same bytes as this machine, whoever dies on the way."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from stages.core.artefacts import PARTIAL, files_of, write_arrays
from stages.core.errors import ValaroError
from stages.core.params import ComputeParams, SmoothParams
from stages.engine import cluster
from stages.engine.mapping import map_units
from stages.engine.stage import Stage
from stages.engine.units import Unit
from stages.smooth import smooth_subject

UNITS = 24
FRAMES = 40_000  # some tenths of a second each, so that a kill finds every worker at work
PATIENCE_S = 90


@pytest.fixture
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Unit]:
    """Real work of the package, in a repository of our own."""
    monkeypatch.chdir(tmp_path)
    for name in ("DVC_ROOT", "DVC_STAGE"):
        monkeypatch.delenv(name, raising=False)
    made = []
    for number in range(UNITS):
        reads = {role: Path("in", f"{role}-{number}.h5") for role in ("predictions", "index")}
        for path, rate_hz in zip(reads.values(), (5, 25), strict=True):
            time_s = np.arange(FRAMES * rate_hz // 25) / rate_hz
            values = np.sin(np.stack([time_s + number, 2 * time_s], axis=1)).astype(np.float32)
            write_arrays(path, {"time_s": time_s, "valence_arousal": values})
        made.append(Unit(f"subject {number}", reads, {"trace": Path("out", f"{number}.h5")}))
    return made


def smoothed(units: list[Unit], compute: ComputeParams) -> dict[str, str]:
    """Digests of what a stage writes there, from nothing."""
    with Stage("smooth", Path("out")) as stage:
        stage.run(smooth_subject, units, SmoothParams(window_s=60.0), compute=compute)
    assert [path.name for path in Path("out").glob(f"{PARTIAL}*")] == []
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files_of(Path("out"))}
    for path in files_of(Path(".valaro")):
        if path.parent.name not in ("locks", "runs"):
            path.unlink()
    for path in Path("out").glob("*.h5"):
        path.unlink()
    return digests


def at(backend: str, address: str | None = None, jobs: int = 2) -> ComputeParams:
    values = {"jobs": jobs, "backend": backend, "address": address, "unit_time_limit_s": None}
    return ComputeParams.model_validate(values)


@contextmanager
def killer(find: Callable[[], list[psutil.Process]]) -> Iterator[list[int]]:
    """Kill one worker as soon as the third result is remembered; the list says which."""
    killed: list[int] = []
    over = threading.Event()

    def strike() -> None:
        while not over.is_set():
            if len(list(Path(".valaro/memo/smooth").glob("*/*.json"))) >= 3 and (found := find()):
                found[0].kill()
                killed.append(found[0].pid)
                return
            time.sleep(0.01)

    thread = threading.Thread(target=strike)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A Dask scheduler and two workers, started as one would by hand, in another folder than the stage's."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    note = elsewhere / "scheduler.json"
    common = ["--scheduler-file", str(note), "--no-dashboard"]
    worker = ["dask_worker", *common, "--nthreads", "1", "--no-nanny"]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{command}", *arguments],
            cwd=elsewhere,
            env=os.environ | {"PYTHONPATH": str(cluster.ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for command, *arguments in (
            ["dask_scheduler", *common, "--host", "127.0.0.1", "--port", "0"],
            worker,
            worker,
        )
    ]
    deadline = time.monotonic() + PATIENCE_S
    while not note.is_file():
        assert time.monotonic() < deadline and running[0].poll() is None
        time.sleep(0.1)
    yield json.loads(note.read_text())["address"], running[1:]
    for process in running:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_though_a_worker_dies(units: list[Unit], scheduler: Any) -> None:
    address, workers = scheduler
    here = smoothed(units, at("local", jobs=1))
    with killer(lambda: [psutil.Process(workers[0].pid)]) as killed:
        there = smoothed(units, at("dask", address))
    assert there == here
    assert killed == [workers[0].pid]
    assert workers[0].wait(PATIENCE_S) == -signal.SIGKILL
    assert workers[1].poll() is None
    assert smoothed(units, at("dask", address)) == here, "and the one that is left goes on"


def ray_workers() -> list[psutil.Process]:
    """Worker processes of the Ray that this process started, while they work for it."""
    named = []
    for child in psutil.Process().children(recursive=True):
        try:
            if child.name().startswith("ray::_call"):
                named.append(child)
        except psutil.Error:
            continue
    return named


@pytest.mark.slow
def test_ray_gives_the_same_though_a_worker_dies(units: list[Unit]) -> None:
    here = smoothed(units, at("local", jobs=1))
    with killer(ray_workers) as killed:
        there = smoothed(units, at("ray"))
    assert there == here
    assert len(killed) == 1


@pytest.mark.slow
def test_a_unit_that_kills_every_worker_ends_the_stage_with_a_reason() -> None:
    with pytest.raises(
        ValaroError, match=r"3 workers died or were killed during one unit .* give it to every worker"
    ):
        list(map_units(os._exit, [1], 1, "dask"))


@pytest.mark.parametrize(
    ("backend", "address"), [("dask", "tcp://127.0.0.1:9"), ("ray", "127.0.0.1:9"), ("dask", "nonsense://x")]
)
def test_no_cluster_there(backend: Any, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PATIENCE_S", 1)
    with pytest.raises(ValaroError, match=f"compute.address {address}: no .* set compute.backend to local"):
        list(map_units(abs, [1], 1, backend, address))


def test_nothing_to_do_needs_no_cluster() -> None:
    assert list(map_units(abs, [], 1, "dask", "tcp://127.0.0.1:9")) == []


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> cluster.Place:
    """Another folder than the one the worker is in, and one thread."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "7")
    monkeypatch.chdir("/")  # and back again, after the test
    return cluster.Place(tmp_path, cluster.code_here(), threads=1)


def test_a_worker_goes_to_the_stage_and_takes_its_threads(place: cluster.Place) -> None:
    assert cluster._on_worker(place, lambda name: (Path.cwd(), os.environ[name]), "OMP_NUM_THREADS") == (
        place.folder,
        "1",
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"code": "older"}, "has other code than this stage"),
        ({"folder": Path("/nowhere")}, "can't enter /nowhere"),
    ],
)
def test_a_worker_that_would_do_something_else_refuses(
    place: cluster.Place, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValaroError, match=message):
        cluster._on_worker(replace(place, **change), abs, 1)


def test_threads_of_one_worker_take_turns(place: cluster.Place) -> None:
    at_work: list[int] = []

    def alone(number: int) -> int:
        at_work.append(number)
        time.sleep(0.05)
        assert at_work == [number]
        return at_work.pop()

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(lambda n: cluster._on_worker(place, alone, n), range(3))) == [0, 1, 2]
