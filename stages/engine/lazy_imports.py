"""Defer imports of modules that libraries import without need: they are loaded on first use."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from threading import get_ident
from types import ModuleType
from typing import Any


class _Deferred(ModuleType):
    """Placeholder for a module that is imported when an attribute is first used."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_real(self), name)


def _real(placeholder: ModuleType) -> ModuleType:
    """The module whose place another has taken, imported."""
    if sys.modules.get(placeholder.__name__) is placeholder:
        del sys.modules[placeholder.__name__]
    return importlib.import_module(placeholder.__name__)


@contextmanager
def loaded_on_use(*names: str) -> Iterator[None]:
    """Import placeholders for these modules inside the block; a placeholder loads its module on first use.

    Other code in the process that uses a placeholder gets the real module. (LazyLoader of the standard
    library doesn't help, since a second `import` loads the module.)

    Args:
        names: names of modules, packages before their submodules.
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
            _set_on_parent(name, module)


def _set_on_parent(name: str, module: ModuleType) -> None:
    """Set the module as an attribute of its package, as an import does."""
    parent, _, own = name.rpartition(".")
    package = sys.modules.get(parent)
    if package is not None and own not in vars(package):
        setattr(package, own, module)


@contextmanager
def slim_mediapipe() -> Iterator[None]:
    """Make `import mediapipe` inside the block load the solutions for faces only, in a sixth of the time.

    By itself it also imports all other solutions, its tasks, Matplotlib and audio input.
    """
    with loaded_on_use(*_UNUSED_OF_MEDIAPIPE):
        yield
    mediapipe = sys.modules["mediapipe"]
    tasks = (
        mediapipe.tasks
    )  # its name for the package `tasks.python`, which a later import must not take away
    package = importlib.import_module("mediapipe.tasks")
    mediapipe.tasks = tasks  # type: ignore[attr-defined]
    _set_on_parent(f"{package.__name__}.python", tasks)


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
    """Skip the generation of signatures and docstrings when Matplotlib is imported inside the block.

    They are for editors, and take half of the time of the import.
    """
    from matplotlib.artist import Artist

    name = "_update_set_signature_and_docstring"
    usual = vars(Artist).get(name)
    if usual is None:  # a version of Matplotlib without it
        yield
        return
    setattr(Artist, name, classmethod(lambda _cls: None))
    try:
        yield
    finally:
        setattr(Artist, name, usual)


class _Answering(ModuleType):
    """Stand-in for a module that answers some names by itself, and loads the module for any other.

    Args:
        name: of the module.
        is_package: whether other modules are in it.
        answers: attributes that need no import.
    """

    def __init__(self, name: str, is_package: bool, **answers: Any) -> None:
        super().__init__(name)
        vars(self).update(answers, _is_package=is_package)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and not (self._is_package and name == "__path__"):
            raise AttributeError(name)  # asked of every module by `inspect`, and at every import
        return getattr(_real(self), name)


def without_compiler() -> None:
    """Let torch's optimisers, torchvision, timm and transformers work without torch's compiler.

    Its import takes over a second, as does the collection of garbage that it needs at exit (`garbage`). They
    load it only to tell it how to treat their functions. Code that compiles something still loads it.
    """
    if COMPILER in sys.modules:
        return
    parts = {
        part: _Answering(f"{COMPILER}.{part}", is_package=False)
        for part in ("utils", "_trace_wrapped_higher_order_op")
    }
    for part, name in zip(parts.values(), ("is_compile_supported", "TransformGetItemToIndex"), strict=True):
        setattr(part, name, _Later(part, name))
    marks = dict.fromkeys(("disable", "allow_in_graph", "assume_constant_result"), _left_alone)
    sys.modules[COMPILER] = _Answering(COMPILER, is_package=True, graph_break=lambda: None, **marks, **parts)
    sys.modules |= {part.__name__: part for part in parts.values()}


class _Later:
    """A function or class of a module that is loaded when this is called, or asked for an attribute."""

    def __init__(self, module: ModuleType, name: str) -> None:
        self._module, self._name = module, name

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return getattr(_real(self._module), self._name)(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(_real(self._module), self._name), name)


COMPILER = "torch._dynamo"


def _left_alone(function: Any = None, *_: Any, **__: Any) -> Any:
    return _left_alone if function is None else function


@contextmanager
def slim_signal() -> Iterator[None]:
    """Make `import scipy.signal` inside the block load what filters and resamples, in a third of the time.

    By itself it also imports SciPy's statistics, interpolation and more, for functions that nobody here
    calls. These functions load what they need when they are called.
    """
    with _names_on_use(_USED_BY_SIGNAL):
        yield


@contextmanager
def _names_on_use(used: dict[str, tuple[str, ...]]) -> Iterator[None]:
    """Import stand-ins for these packages inside the block, with names that are taken from them.

    Args:
        used: packages -> names of functions and classes.
    """
    taken = {name: _StandIn(name, own) for name, own in used.items() if name not in sys.modules}
    sys.modules |= taken
    try:
        yield
    finally:
        for name, module in taken.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


_USED_BY_SIGNAL: dict[str, tuple[str, ...]] = {
    "scipy.interpolate": ("BSpline", "make_interp_spline"),
    "scipy.ndimage": ("convolve1d",),
    "scipy.optimize": (),
    "scipy.spatial": ("cKDTree",),
    "scipy.stats": ("scoreatpercentile",),
}
"""Packages, and what `scipy.signal` takes from them by name."""


class _StandIn(_Answering):
    """A package that loads when something of it is used, except for names that this thread only imports.

    To the importing thread it is no package, as Python would look into it for each of the names.
    """

    def __init__(self, name: str, own: tuple[str, ...]) -> None:
        super().__init__(name, is_package=True, **{each: _Later(self, each) for each in own})
        self._importer = get_ident()

    def __getattr__(self, name: str) -> Any:
        if name == "__path__" and get_ident() == self._importer:
            raise AttributeError(name)
        return super().__getattr__(name)


class _Package(ModuleType):
    """Stand-in for a package: gives its modules, and runs the package's own code for any other name."""

    def __init__(self, name: str, **answers: Any) -> None:
        super().__init__(name)
        if (spec := find_spec(name)) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        vars(self).update(answers, __spec__=spec, __path__=spec.submodule_search_locations)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        module = f"{self.__name__}.{name}"
        if find_spec(module):
            return importlib.import_module(module)
        package = _real(self)
        for known in [each for each in sys.modules if each.rpartition(".")[0] == self.__name__]:
            _set_on_parent(known, sys.modules[known])  # its own code finds them imported, and doesn't
        return getattr(package, name)


def is_ours() -> bool:
    """Whether this process runs a stage or is a worker of one, so that nobody else uses libraries here."""
    program = getattr(sys.modules["__main__"], "__spec__", None)
    return program is not None and program.name.startswith(("stages.", "joblib."))


@contextmanager
def slim_transformers() -> Iterator[None]:
    """Let modules of transformers with networks be imported inside the block, in a quarter of the time.

    By itself the package first reads its 2,000 files twice to list what they define. Then every network
    imports SciPy for the losses of object detection, and SymPy for FlexAttention and for networks that are
    spread over processes (Accelerate, which trains a copy in each, needs none of this). The list and SciPy
    are loaded on use. The two others may be missing from PyTorch, so that transformers can do without: the
    modules that are loaded inside the block do.
    """
    from unittest.mock import patch  # 20 ms, which most stages do without

    if "transformers" not in sys.modules:
        sys.modules["transformers"] = _Package("transformers", __version__=version("transformers"))
    if "transformers.models" not in sys.modules:
        sys.modules["transformers.models"] = _Package("transformers.models")
    library = sys.modules["transformers"]
    answers: dict[str, Any] = {
        "is_torch_flex_attn_available": lambda: False,
        "is_torch_distributed_available": lambda: False,
        "direct_transformers_import": lambda *_, **__: library,  # by itself a second copy of the package
    }
    with (
        _names_on_use({"scipy.optimize": ("linear_sum_assignment",)}),
        patch.multiple(importlib.import_module("transformers.utils"), create=True, **answers),
        patch.multiple(importlib.import_module("transformers.utils.import_utils"), create=True, **answers),
    ):
        yield


@contextmanager
def slim_sklearn() -> Iterator[None]:
    """Let the parts of scikit-learn that grow trees be imported inside the block, in a sixth of the time.

    By itself the library imports most of its estimators with them, and for these SciPy's statistics and
    pandas. All of them are loaded on use.
    """
    with _names_on_use({"scipy.stats": (), "pandas": ()}):
        for name in _WITH_TREES:
            if name not in sys.modules:
                sys.modules[name] = _Package(name)
        yield


_WITH_TREES = (
    "sklearn.ensemble",
    "sklearn.ensemble._hist_gradient_boosting",
    "sklearn.neighbors",  # a module of it shares code with trees
    "sklearn.tree",
)
