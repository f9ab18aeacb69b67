"""Modules that others import without need: loaded only if somebody uses them."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


class _Deferred(ModuleType):
    """Placeholder for a module that is imported when an attribute is first used."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def loaded_on_use(*names: str) -> Iterator[None]:
    """Let `import` of these names inside the block give a stand-in that loads the module when it is used.

    MediaPipe imports matplotlib.pyplot for drawings, and the microphone for sound, that nobody asks for: two
    thirds of its start. (The standard library's LazyLoader doesn't help: a second `import` of the module
    loads it.)
    """
    deferred = [name for name in names if name not in sys.modules]
    sys.modules |= {name: _Deferred(name) for name in deferred}
    try:
        yield
    finally:
        for name in deferred:
            if isinstance(sys.modules.get(name), _Deferred):
                del sys.modules[name]


@contextmanager
def without_signatures() -> Iterator[None]:
    """Let Matplotlib define its artists inside the block without writing each one's list of arguments.

    It does so at every import, for editors, and it is half of that import.
    """
    from matplotlib.artist import Artist

    name = "_update_set_signature_and_docstring"
    usual = vars(Artist).get(name)
    if usual is None:  # another version of Matplotlib, which does otherwise
        yield
        return
    setattr(Artist, name, classmethod(lambda _cls: None))
    try:
        yield
    finally:
        setattr(Artist, name, usual)
