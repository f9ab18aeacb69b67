"""A unit that takes its process with it is set aside; the others go on, and nothing is done twice."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import pytest

from stages.core.errors import BadInput, ValaroError
from stages.engine import crashes
from stages.engine.crashes import Marked, call_in_own_process, map_with_crash_recovery, time_limit
from stages.engine.mapping import map_units

pytestmark = pytest.mark.long


def work(log: Path, item: str) -> tuple[str, str]:
    """Some items end their process, once or always; every start is written down."""
    with log.open("a") as file:
        file.write(f"{item}\n")
    if item == "crashes" or (item == "crashes once" and log.read_text().count(item) == 1):
        time.sleep(0.2)  # the others have begun by now
        os.kill(os.getpid(), signal.SIGKILL)
    if item == "never ends":
        while True:
            time.sleep(0.01)
    return item, "done"


def named(item: str) -> tuple[str, Path]:
    return item, Path(item)


def lost(item: str, cause: str) -> tuple[str, str]:
    return item, f"lost: {cause}"


def unknown(_item: str) -> None:
    return None


Run = Callable[..., dict[str, str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Do some items with a mark; what came of each."""

    def once(*items: str, jobs: int = 2, limit_s: float | None = None) -> dict[str, str]:
        marked = Marked(partial(work, tmp_path / "log"), tmp_path / "marks", named, limit_s)
        return dict(map_with_crash_recovery(marked, items, partial(map_units, jobs=jobs), unknown, lost))

    return once


def starts(tmp_path: Path) -> dict[str, int]:
    lines = (tmp_path / "log").read_text().splitlines()
    return {line: lines.count(line) for line in lines}


@pytest.mark.parametrize("jobs", [1, 2])
def test_nothing_happens_where_nothing_dies(run: Run, tmp_path: Path, jobs: int) -> None:
    assert run("a", "b", "c", jobs=jobs) == {"a": "done", "b": "done", "c": "done"}
    assert list((tmp_path / "marks").iterdir()) == []
    assert set(starts(tmp_path).values()) == {1}


def test_what_kills_its_worker_is_lost_and_nothing_else(run: Run, tmp_path: Path) -> None:
    names = [f"v{k}" for k in range(8)]
    found = run(*names[:3], "crashes", *names[3:])
    assert found.pop("crashes").startswith("lost: ")
    assert found == dict.fromkeys(names, "done")
    assert starts(tmp_path)["crashes"] == 2, "a second try, alone"
    assert list((tmp_path / "marks").iterdir()) == []


def test_who_only_shared_the_machine_with_a_crash_is_done(run: Run, tmp_path: Path) -> None:
    assert run("crashes once", "a", "b") == {"crashes once": "done", "a": "done", "b": "done"}
    assert starts(tmp_path)["crashes once"] == 2


def test_a_mark_from_a_killed_run_means_a_try_in_a_process_of_its_own(run: Run, tmp_path: Path) -> None:
    """Also where units are done in this process: it survives."""
    marks = tmp_path / "marks"
    marks.mkdir()
    Marked(work, marks, named, None).mark("crashes").touch()  # type: ignore[arg-type]
    assert run("a", "crashes", jobs=1) == {"a": "done", "crashes": "lost: exit status SIGKILL(-9)"}


@pytest.mark.parametrize("library", ["OMP", "OPENBLAS", "MKL"])
def test_a_try_in_a_process_of_its_own_takes_the_threads_of_this_one(library: str) -> None:
    name = f"{library}_NUM_THREADS"
    assert call_in_own_process(os.getenv, name) == os.environ.get(name), (
        "else the last digits differ from a quiet run's"
    )


def test_what_was_finished_before_the_crash_is_not_done_again(tmp_path: Path) -> None:
    def apply(function: Callable[[str], object], items: list[str]) -> Iterator[object]:
        if "b" in items and not (tmp_path / "log").exists():
            function("b")  # done, but nobody hears of it
            raise crashes.BrokenProcessPool
        yield from map(function, items)

    marked = Marked(partial(work, tmp_path / "log"), tmp_path / "marks", named, None)
    known = {"b": ("b", "remembered")}
    found = dict(map_with_crash_recovery(marked, ["a", "b"], apply, known.get, lost))  # type: ignore[arg-type]
    assert found == {"a": "done", "b": "remembered"}
    assert starts(tmp_path) == {"b": 1, "a": 1}


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_takes_too_long_is_interrupted(tmp_path: Path, jobs: int) -> None:
    def patient(item: str) -> tuple[str, str]:
        try:
            return work(tmp_path / "log", item)
        except BadInput as error:
            return item, error.problem

    marked = Marked(patient, tmp_path / "marks", named, 0.4)
    found = dict(
        map_with_crash_recovery(marked, ["a", "never ends"], partial(map_units, jobs=jobs), unknown, lost)
    )
    assert found == {"a": "done", "never ends": "not finished after 0.4 s"}


def deaf(item: str) -> tuple[str, str]:
    """Hangs where no signal gets through, as inside a library."""
    if item == "deaf":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        time.sleep(600)
    return item, "done"


def test_what_cannot_be_interrupted_loses_its_process(tmp_path: Path) -> None:
    marked = Marked(deaf, tmp_path / "marks", named, 0.3, grace_s=0.3)
    began = time.monotonic()
    found = dict(map_with_crash_recovery(marked, ["deaf", "x"], partial(map_units, jobs=2), unknown, lost))
    assert found.pop("deaf").startswith("lost: ")
    assert found == {"x": "done"}
    assert time.monotonic() - began < 60


def test_the_limit_is_off_after_the_block(tmp_path: Path) -> None:
    with time_limit(0.2, 1, tmp_path):
        pass
    time.sleep(0.4)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    with pytest.raises(BadInput, match=r"compute\.unit_time_limit_s"), time_limit(0.1, 9, tmp_path):
        time.sleep(5)


def test_workers_that_never_begin_end_the_stage_instead_of_being_tried_for_ever(tmp_path: Path) -> None:
    """As where they can't import the work: no item is to blame, and no round brings one nearer."""
    rounds = []

    def apply(_function: object, items: list[str]) -> Iterator[object]:
        rounds.append(len(items))
        raise BrokenProcessPool("a task has failed to un-serialize")
        yield

    marked = Marked(
        partial(work, tmp_path / "log"), tmp_path / "marks", lambda name: (name, Path(name)), None
    )
    with pytest.raises(ValaroError, match="worker processes die before they begin: a task has failed"):
        list(
            map_with_crash_recovery(
                marked, ["a", "b"], apply, lambda _: None, lambda item, cause: (item, cause)
            )
        )
    assert rounds == [2, 2, 2]
