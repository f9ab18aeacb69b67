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

    Whoever else in the process uses them gets them, by the stand-ins. (The standard library's LazyLoader
    doesn't help: a second `import` of the module loads it.)

    Args:
        names: of modules, a package before what is in it.
    """
    deferred = {name: _Deferred(name) for name in names if name not in sys.modules}
    for name, module in deferred.items():
        parent, _, own = name.rpartition(".")
        if parent in deferred:
            setattr(deferred[parent], own, module)
    sys.modules |= deferred
    try:
        yield
    finally:
        for name, module in deferred.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
        for name, module in deferred.items():
            _hang_below_parent(name, module)


def _hang_below_parent(name: str, module: ModuleType) -> None:
    """As an import would: `package.module` is found by everybody who has imported the package."""
    parent, _, own = name.rpartition(".")
    package = sys.modules.get(parent)
    if package is not None and own not in vars(package):
        setattr(package, own, module)


@contextmanager
def slim_mediapipe() -> Iterator[None]:
    """Let `import mediapipe` inside the block load the face's solutions only: a sixth of its time.

    It imports all others too, its tasks, Matplotlib for drawings, and the microphone.
    """
    with loaded_on_use(*_UNUSED_OF_MEDIAPIPE):
        yield
    mediapipe = sys.modules["mediapipe"]
    tasks = (
        mediapipe.tasks
    )  # its name for the package `tasks.python`, which a later import must not take away
    package = importlib.import_module("mediapipe.tasks")
    mediapipe.tasks = tasks  # type: ignore[attr-defined]
    _hang_below_parent(f"{package.__name__}.python", tasks)


_UNUSED_OF_MEDIAPIPE = (
    "mediapipe.tasks",
    "mediapipe.tasks.python",
    *(
        f"mediapipe.python.solutions.{name}"
        for name in (
            "drawing_styles",
            "drawing_utils",
            "hands",
            "holistic",
            "objectron",
            "pose",
            "selfie_segmentation",
        )
    ),
)


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
