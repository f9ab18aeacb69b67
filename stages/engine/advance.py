"""Progress within one long unit of work, for whoever listens; it costs nothing where nobody does."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

Item = TypeVar("Item", covariant=True)

_WATCHER: ContextVar[Callable[[float], None] | None] = ContextVar("watcher", default=None)


class Sized(Protocol[Item]):
    """What has a length and can be iterated."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Item]: ...


@contextmanager
def watched(tell: Callable[[float], None]) -> Iterator[None]:
    """Tell what share (0 to 1) of the block's work is done, whenever `counted` or `advance` learns it."""
    token = _WATCHER.set(tell)
    try:
        yield
    finally:
        _WATCHER.reset(token)


def advance(done: int, total: int) -> None:
    """So many of so many parts are done."""
    if tell := _WATCHER.get():
        tell(min(1.0, done / max(total, 1)))


def counted(items: Sequence[Item] | Sized[Item]) -> Iterator[Item]:
    """The items, one by one, each counted when the next one is asked for."""
    for number, item in enumerate(items, 1):
        yield item
        advance(number, len(items))
