"""Progress within one long unit of work, for an optional listener."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

Item = TypeVar("Item", covariant=True)

_WATCHER: ContextVar[Callable[[float], None] | None] = ContextVar("watcher", default=None)


class Sized(Protocol[Item]):
    """An iterable with a length."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Item]: ...


@contextmanager
def watched(tell: Callable[[float], None]) -> Iterator[None]:
    """Call `tell` with the share (0 to 1) of the block's work that is done, from `counted` and `advance`."""
    token = _WATCHER.set(tell)
    try:
        yield
    finally:
        _WATCHER.reset(token)


def advance(done: int, total: int) -> None:
    """Report that `done` of `total` parts are done."""
    if tell := _WATCHER.get():
        tell(min(1.0, done / max(total, 1)))


def counted(items: Sequence[Item] | Sized[Item]) -> Iterator[Item]:
    """Yield the items; each counts as done when the next one is requested."""
    for number, item in enumerate(items, 1):
        yield item
        advance(number, len(items))
