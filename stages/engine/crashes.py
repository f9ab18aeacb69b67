"""Recover from units of work that crash their process, use all memory, or never finish.

Such a unit must stop neither the other units nor all later runs. So a file marks every unit while it is
computed:

1. A unit that exceeds its time limit is interrupted; if that fails (it hangs inside a library), its process
   is killed.
2. If a worker dies, finished results are kept and new workers compute the remaining units.
3. A unit whose mark remains, from this or an earlier run, is computed again at the end, alone in a process of
   its own. If that process dies too, the unit is set aside.
"""

import faulthandler
import hashlib
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

from stages.core.errors import BadInput, ValaroError
from stages.engine.lifetime import exit_with_parents

Item = TypeVar("Item")
Result = TypeVar("Result")
Apply = Callable[[Callable[[Any], Any], list[Any]], Iterator[Any]]

FRUITLESS_ROUNDS = 3
"""Number of consecutive rounds in which all workers die before any item begins: then no item is the cause."""


@dataclass(frozen=True)
class Marked(Generic[Item, Result]):
    """A function with a mark on the disk while it runs, and a time limit.

    Args:
        function: the function.
        folder: folder of the marks.
        name_of: item -> its name, for the mark, and its file, for messages.
        limit_s: time limit per item in seconds; None: no limit.
        grace_s: further seconds after which the process is killed.
    """

    function: Callable[[Item], Result]
    folder: Path
    name_of: Callable[[Item], tuple[str, Path]]
    limit_s: float | None
    grace_s: float = 20.0

    def mark(self, item: Item) -> Path:
        """Path of an item's mark."""
        return self.folder / hashlib.sha256(self.name_of(item)[0].encode()).hexdigest()[:32]

    def __call__(self, item: Item) -> Result:
        """Call the function; the mark remains only if the process dies."""
        mark = self.mark(item)
        self.folder.mkdir(parents=True, exist_ok=True)
        mark.touch()
        try:
            with time_limit(self.limit_s, self.grace_s, self.name_of(item)[1]):
                return self.function(item)
        finally:
            mark.unlink(missing_ok=True)


def map_with_crash_recovery(
    do: Marked[Item, Result],
    items: Iterable[Item],
    apply: Apply,
    finished: Callable[[Item], Result | None],
    lost: Callable[[Item, str], Result],
) -> Iterator[Result]:
    """Yield `do(item)` for every item, in order of completion, even if worker processes die.

    Args:
        do: the marked function.
        items: one call each.
        apply: (function, items) maps the function over the items in processes.
        finished: item -> its result, if it was finished before its process died; None if it wasn't.
        lost: (item, cause) -> the result of an item whose process died twice.

    Raises:
        ValaroError: workers die repeatedly before any item begins.
    """
    waiting = {do.mark(item): item for item in items}
    suspects = {mark: waiting.pop(mark) for mark in list(waiting) if mark.is_file()}
    fruitless = 0
    while waiting:
        left = len(waiting)
        try:
            for mark, result in apply(_WithMark(do), list(waiting.values())):
                del waiting[mark]
                yield result
        except BrokenProcessPool as death:
            for mark, item in list(waiting.items()):
                if (result := finished(item)) is not None:
                    mark.unlink(missing_ok=True)
                    yield result
                elif mark.is_file():
                    suspects[mark] = item
                else:
                    continue
                del waiting[mark]
            fruitless = fruitless + 1 if len(waiting) == left else 0
            if fruitless == FRUITLESS_ROUNDS:
                raise ValaroError(f"worker processes die before they begin: {death}") from None
    for mark, item in suspects.items():
        try:
            yield call_in_own_process(do, item)
        except BrokenProcessPool as death:
            mark.unlink(missing_ok=True)
            yield lost(item, _cause(death))


@dataclass(frozen=True)
class _WithMark(Generic[Item, Result]):
    """The marked function; returns the mark too, which identifies the item in the main process."""

    do: Marked[Item, Result]

    def __call__(self, item: Item) -> tuple[Path, Result]:
        return self.do.mark(item), self.do(item)


def call_in_own_process(function: Callable[[Item], Result], item: Item) -> Result:
    """Call a function in a separate process, which ends when this one ends.

    It uses as many threads as this process would, since the last digits of a network's results depend on
    them.

    Raises:
        BrokenProcessPool: the process died.
    """
    from joblib.externals.loky import ProcessPoolExecutor

    with ProcessPoolExecutor(1, initializer=exit_with_parents, initargs=([os.getpid()],)) as pool:
        found: Result = pool.submit(function, item).result()
    return found


def _cause(death: BrokenProcessPool) -> str:
    """The cause of death in words: joblib's message ends with the exit codes."""
    codes = str(death).rpartition("{")[2].partition("}")[0]
    return f"exit status {codes}" if codes and codes != str(death) else "no exit status"


@contextmanager
def time_limit(limit_s: float | None, grace_s: float, file: Path) -> Iterator[None]:
    """Interrupt the block after a time limit; if that fails, kill the process with a traceback.

    Args:
        limit_s: time limit in seconds; None: no limit.
        grace_s: further seconds until the process is killed.
        file: the input, for the message.

    Raises:
        BadInput: the time limit is exceeded.
    """
    if limit_s is None:
        yield
        return

    def interrupt(_signal: int, _frame: Any) -> NoReturn:
        problem = f"not finished after {limit_s:g} s"
        raise BadInput(file, problem, "Check that it isn't damaged, or raise compute.unit_time_limit_s")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    faulthandler.dump_traceback_later(limit_s + grace_s, exit=True, file=sys.__stderr__ or sys.stderr)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)
