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
def loaded_on_use(name: str) -> Iterator[None]:
    """Let `import name` inside the block give a stand-in that loads the module when it is used.

    MediaPipe imports matplotlib.pyplot for drawings that nobody asks for: two thirds of its start. (The
    standard library's LazyLoader doesn't help: a second `import` of the module loads it.)
    """
    if name in sys.modules:
        yield
        return
    sys.modules[name] = _Deferred(name)
    try:
        yield
    finally:
        if isinstance(sys.modules.get(name), _Deferred):
            del sys.modules[name]
