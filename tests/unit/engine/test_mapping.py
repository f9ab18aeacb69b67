"""The same results from one process or several, and no threads fighting for the cores."""

import gc
import math
import os
from typing import Any

import pytest

from stages.engine.garbage import NEW_OBJECTS
from stages.engine.mapping import cores, map_units


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_every_item_gives_one_result(jobs: int) -> None:
    assert sorted(map_units(math.sqrt, [9.0, 1.0, 4.0], jobs)) == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("jobs", [1, 4])
def test_nothing_to_do(jobs: int) -> None:
    assert list(map_units(math.sqrt, [], jobs)) == []


def test_one_item_stays_in_this_process() -> None:
    assert list(map_units(lambda item: (item, os.getpid()), iter([7]), 4)) == [(7, os.getpid())]


@pytest.mark.parametrize("library", ["OMP", "OPENBLAS", "MKL"])
def test_every_worker_gets_its_share_of_the_cores(library: str) -> None:
    share = str(max(1, cores() // 2))
    assert list(map_units(os.getenv, [f"{library}_NUM_THREADS"] * 2, 2)) == [share, share]


def _threshold(_: Any) -> int:
    return gc.get_threshold()[0]


def test_workers_collect_garbage_as_rarely_as_a_stage() -> None:
    assert list(map_units(_threshold, [1, 2], 2)) == [NEW_OBJECTS, NEW_OBJECTS]


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_arrives_as_itself(jobs: int) -> None:
    with pytest.raises(ValueError, match="math domain"):
        list(map_units(math.sqrt, [4.0, -1.0, 9.0], jobs))


def test_there_is_a_core() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
