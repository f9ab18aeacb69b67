"""Arrays of recordings that a training asks for in every epoch: kept in memory, up to a limit."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

Arrays = TypeVar("Arrays", bound=Sequence[Any])
MOST_BYTES = 1 << 27
"""Of all that is kept together: twice what the temporal model sees of Aff-Wild2's validation videos."""


class Kept(Generic[Arrays]):
    """A function of a name whose results are remembered while there is room; those that come later are not.

    Args:
        read: name -> several arrays, or None in the place of one. Nobody changes them.
        most_bytes: of all arrays that are remembered.
    """

    def __init__(self, read: Callable[[str], Arrays], most_bytes: int = MOST_BYTES) -> None:
        self._read, self._room = read, most_bytes
        self._kept: dict[str, Arrays] = {}

    def __call__(self, name: str) -> Arrays:
        """What `read` says of the name."""
        if name in self._kept:
            return self._kept[name]
        arrays = self._read(name)
        size = sum(array.nbytes for array in arrays if array is not None)
        if size <= self._room:
            self._room -= size
            self._kept[name] = arrays
        return arrays
