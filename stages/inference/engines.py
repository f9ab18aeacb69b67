"""Which library runs a trained network: OpenVINO on a CPU, PyTorch on a GPU or by request.

The choice changes the last digits of a result (in bfloat16 the third one), so it enters the key of every
cached result that a network computed: `Engine.facts`.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from stages.core.errors import ValaroError
from stages.core.params import ComputeParams
from stages.engine.device import torch_device
from stages.engine.progress import say
from stages.inference.runtime import openvino_core

Library = Literal["torch", "openvino"]
Precision = Literal["float32", "bfloat16"]


class Engine(NamedTuple):
    """The library that runs a network, and the number format of its layers on a CPU."""

    library: Library
    precision: Precision

    def facts(self) -> dict[str, str]:
        """The facts that enter the key of a result."""
        return {"engine": self.library, "precision": self.precision}

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Engine":
        """The inverse of `facts`, which may have further keys."""
        return cls(facts["engine"], facts["precision"])

    def exact(self) -> "Engine":
        """The same library in float32, for small networks that half precision wouldn't make faster."""
        return Engine(self.library, "float32")


TORCH = Engine("torch", "float32")


def engine_of(settings: ComputeParams) -> Engine:
    """The engine for the parameters and this machine.

    Args:
        settings: `engine`: "auto" is OpenVINO without a GPU, else PyTorch; `precision`: "auto" is bfloat16 if
            the CPU has instructions for it, else float32.

    Raises:
        ValaroError: OpenVINO is requested together with a GPU.
    """
    on_cpu = torch_device() == "cpu"
    if settings.engine == "openvino" and not on_cpu:
        raise ValaroError(
            "compute.engine is openvino, which runs on CPUs only, but a GPU is in use. "
            "Set VALARO_DEVICE=cpu, or compute.engine to auto."
        )
    if settings.engine == "torch" or not on_cpu:
        return TORCH
    if settings.precision != "auto":
        return Engine("openvino", settings.precision)
    return Engine("openvino", "bfloat16" if has_bfloat16() else "float32")


@cache
def has_bfloat16() -> bool:
    """Whether OpenVINO supports bfloat16 on this CPU."""
    capabilities: list[str] = openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "BF16" in capabilities


def graphs_folder() -> Path:
    """Folder of exported graphs: `.valaro/graphs` of the repository, else in the user's cache.

    Where neither can be written (a container without a home, a shared checkout), it is a temporary one. A
    graph's name is a hash of everything that determines it, so the folder only affects how long it is kept.
    """
    return next((folder for folder in _folders() if _can_be_written(folder)), None) or _temporary()


def _folders() -> Iterator[Path]:
    root = os.environ.get("DVC_ROOT")
    if root or Path("dvc.yaml").is_file():
        yield Path(root or ".") / ".valaro" / "graphs"
    with suppress(RuntimeError):  # a user without a home
        yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "valaro" / "graphs"


def _can_be_written(folder: Path) -> bool:
    """Whether it can, or could be made."""
    above = next(place for place in (folder.absolute(), *folder.absolute().parents) if os.path.exists(place))  # noqa: PTH110, no error where a folder may not be entered
    return above.is_dir() and os.access(above, os.W_OK | os.X_OK)


def _temporary() -> Path:
    """A folder for this process and its workers, which find it by the environment."""
    folder = tempfile.mkdtemp(prefix="valaro-cache-")
    atexit.register(_remove, folder, os.getpid())
    os.environ["XDG_CACHE_HOME"] = folder
    say("no folder for converted networks can be written: they are converted each time. Set XDG_CACHE_HOME.")
    return Path(folder) / "valaro" / "graphs"


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
