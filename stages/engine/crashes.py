"""Recover from units of work that end their process, take all memory, or never finish.

Such a unit must not stop the others, nor every later run. So every unit leaves a mark on the disk for as long
as it is at work:

1. A unit over its time is interrupted; one that can't be (it hangs inside a library) has its process ended.
2. Where a worker dies, what it has finished is kept and the others go on with new workers.
3. A unit whose mark is still there, from this run or one that was killed, is tried alone at the end, in a
   process of its own. If that dies too, the unit is set aside.
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
"""Times in a row that new workers end before any item has begun: then the items aren't the cause."""


@dataclass(frozen=True)
class Marked(Generic[Item, Result]):
    """`function(item)` with a mark on the disk while it is at work, and a limit to how long that is.

    Args:
        function: what is done.
        folder: of the marks.
        name_of: name and file of an item, for the mark and for the message.
        limit_s: seconds that an item may take; None: any.
        grace_s: further seconds until the process of an item over its time is ended.
    """

    function: Callable[[Item], Result]
    folder: Path
    name_of: Callable[[Item], tuple[str, Path]]
    limit_s: float | None
    grace_s: float = 20.0

    def mark(self, item: Item) -> Path:
        """The mark of an item."""
        return self.folder / hashlib.sha256(self.name_of(item)[0].encode()).hexdigest()[:32]

    def __call__(self, item: Item) -> Result:
        """Do it; only the death of the process leaves the mark."""
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
    """Yield `do(item)` for every item as they finish, whatever happens to the processes that do them.

    Args:
        do: the marked function.
        items: one call each.
        apply: maps a function over items, in processes.
        finished: the result of an item that was done although its process died before it could say so.
        lost: the result of an item that ends every process it is tried in, with the reason.

    Raises:
        ValaroError: workers end again and again without having begun anything.
    """
    waiting = {do.mark(item): item for item in items}
    suspects = {mark: waiting.pop(mark) for mark in list(waiting) if mark.is_file()}
    fruitless = 0
    while waiting:
        left = len(waiting)
        try:
            for mark, result in apply(_Telling(do), list(waiting.values())):
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
                raise ValaroError(f"workers end before they begin: {death}") from None
    for mark, item in suspects.items():
        try:
            yield call_in_own_process(do, item)
        except BrokenProcessPool as death:
            mark.unlink(missing_ok=True)
            yield lost(item, _cause(death))


@dataclass(frozen=True)
class _Telling(Generic[Item, Result]):
    """The marked function; its result comes with the mark, so that both sides know which one it is."""

    do: Marked[Item, Result]

    def __call__(self, item: Item) -> tuple[Path, Result]:
        return self.do.mark(item), self.do(item)


def call_in_own_process(function: Callable[[Item], Result], item: Item) -> Result:
    """Call a function in a process of its own, which ends when this one does.

    It takes as many threads as this process would, since the last digits of a network's sums depend on that.

    Raises:
        BrokenProcessPool: it died.
    """
    from joblib.externals.loky import ProcessPoolExecutor

    with ProcessPoolExecutor(1, initializer=exit_with_parents, initargs=([os.getpid()],)) as pool:
        found: Result = pool.submit(function, item).result()
    return found


def _cause(death: BrokenProcessPool) -> str:
    """How it died, in a word: joblib's message ends with the exit codes."""
    codes = str(death).rpartition("{")[2].partition("}")[0]
    return f"exit status {codes}" if codes and codes != str(death) else "no exit status"


@contextmanager
def time_limit(limit_s: float | None, grace_s: float, file: Path) -> Iterator[None]:
    """Interrupt the block after so many seconds; end the process if it doesn't react, with a traceback.

    Raises:
        BadInput: the time is over.
    """
    if limit_s is None:
        yield
        return

    def interrupt(_signal: int, _frame: Any) -> NoReturn:
        problem = f"not done after {limit_s:g} s"
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
