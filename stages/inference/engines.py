"""Which library runs a trained network: OpenVINO on processors, PyTorch on a GPU or by request.

The choice moves the last digits of a result (in bfloat16 the third one), so it enters the key of every
remembered result that a network computed: `engine_facts`.
"""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from stages.core.errors import ValaroError
from stages.core.params import ComputeParams
from stages.engine.device import torch_device
from stages.inference.runtime import openvino_core

Library = Literal["torch", "openvino"]
Precision = Literal["float32", "bfloat16"]


class Engine(NamedTuple):
    """What runs a network, and the precision of its layers on a processor."""

    library: Library
    precision: Precision

    def facts(self) -> dict[str, str]:
        """What enters the key of a result."""
        return {"engine": self.library, "precision": self.precision}

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Engine":
        """The inverse of `facts`, which may hold others."""
        return cls(facts["engine"], facts["precision"])

    def exact(self) -> "Engine":
        """The same library in float32: for a network so small that half precision would save nothing."""
        return Engine(self.library, "float32")


TORCH = Engine("torch", "float32")


def engine_of(settings: ComputeParams) -> Engine:
    """The engine that the parameters and this machine ask for.

    Args:
        settings: `engine`: "auto" is OpenVINO where no GPU computes; `precision`: "auto" is bfloat16 where
            the processor has instructions for it.

    Raises:
        ValaroError: OpenVINO is asked for together with a GPU.
    """
    on_cpu = torch_device() == "cpu"
    if settings.engine == "openvino" and not on_cpu:
        raise ValaroError(
            "compute.engine is openvino, which runs on processors, but a GPU is in use. "
            "Set VALARO_DEVICE=cpu, or compute.engine to auto."
        )
    if settings.engine == "torch" or not on_cpu:
        return TORCH
    if settings.precision != "auto":
        return Engine("openvino", settings.precision)
    return Engine("openvino", "bfloat16" if has_bfloat16() else "float32")


@cache
def has_bfloat16() -> bool:
    """Whether OpenVINO computes in bfloat16 on this processor by itself."""
    capabilities: list[str] = openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "BF16" in capabilities


def graphs_folder() -> Path:
    """Where exported graphs are kept: `.valaro/graphs` of the repository, else the user's cache.

    Graphs are found by what decides them, so that it matters for their lifetime alone where they lie.
    """
    root = os.environ.get("DVC_ROOT")
    if root or Path("dvc.yaml").is_file():
        return Path(root or ".") / ".valaro" / "graphs"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "valaro" / "graphs"
