"""Graphs: trained networks in OpenVINO's form, each exported once from its PyTorch module.

1. A graph is found by what decides it: the bytes of the weights, the code that builds the module, the
   versions of PyTorch and OpenVINO.
2. Where there is none yet, PyTorch builds the module, OpenVINO converts it, and both compute the same
   inputs. Only a graph that agrees within TOLERANCE is kept; else `GraphMismatch` says by how much.
3. From then on neither PyTorch nor the libraries of the architecture are imported.

Exporting takes some ten seconds of processor time a network and 900 MB, opening it half a second. So it
happens in a process of its own, which ends soon after: a worker never has PyTorch beside its videos.
"""

import atexit
import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stages.core.artefacts import remove, whole
from stages.core.errors import ValaroError
from stages.engine.fingerprint import key_of, md5_of, remembered_code_of
from stages.engine.lifetime import exit_with_parents
from stages.engine.progress import say
from stages.inference.engines import Precision, graphs_folder
from stages.inference.runtime import openvino_core

if TYPE_CHECKING:
    import openvino
    from torch import nn

Arrays = list[NDArray[Any]]
Run = Callable[..., Arrays]
MODEL = "model.xml"
TOLERANCE = 1e-3
"""Largest difference from PyTorch, in units of the output's largest absolute value (at least 1)."""
MOST_GRAPHS = 24
"""Kept in the folder; the ones used longest ago go first."""
IDLE_S = 5
"""After which the process that exports ends. Networks of one stage follow each other sooner, and share it."""


class GraphMismatch(ValaroError):
    """The network can't be exported, or its graph computes something else: PyTorch has to run it."""


@dataclass(frozen=True)
class Exported:
    """What is needed to export one network.

    Args:
        code: module whose code, with all it imports, decides what the network computes.
        build: the module with its weights, in eval mode on the CPU; takes and returns tensors, in a tuple if
            there are several.
        examples: inputs of a batch of two, for conversion and comparison.
        free_axes: how many of an input's first axes may have any length.
        lay_out: makes OpenVINO's model of the module; None: OpenVINO's converter does.
    """

    code: str
    build: Callable[[], "nn.Module"]
    examples: Sequence[NDArray[Any]]
    free_axes: int = 1
    lay_out: Callable[[Any], "openvino.Model"] | None = None


def open_graph(
    weights: Path, exported: Callable[[], Exported], code: str, precision: Precision, *, part: str = ""
) -> Run:
    """The network of a weights file as a function of arrays, exported first if need be.

    Shape: one array per input (B, ...) -> one array per output (B, ...), float32.

    Args:
        weights: the file; it and the code name the graph.
        exported: what is needed where the graph isn't there yet.
        code: module whose code decides what the network computes.
        precision: of the layers.
        part: which of several graphs of the same weights.

    Raises:
        GraphMismatch: there is no graph that computes what PyTorch does.
        ValaroError: the process that exports was ended.
    """
    return _compiled(graph_file(weights, exported, code, part), precision)


def graph_file(weights: Path, exported: Callable[[], Exported], code: str, part: str = "") -> Path:
    """The file of that graph, for those who compile it in their own way; see `open_graph`."""
    folders = graphs_folder()
    folder = folders / key_of(
        weights=md5_of(weights),
        part=part,
        code=remembered_code_of(code, folders.with_name("codes.json")),
        openvino=version("openvino"),
        torch=version("torch"),
    )
    if not (folder / MODEL).is_file():
        say(f"{weights.name}: made ready for this processor; only the first time, it takes some ten seconds")
        _export_apart(exported, folder)
        _prune(folders)
    os.utime(folder)
    return folder / MODEL


def _export_apart(exported: Callable[[], Exported], folder: Path) -> None:
    """Export in another process, unless PyTorch is here already or this process may have no children."""
    if "torch" in sys.modules or multiprocessing.current_process().daemon:
        _export(exported, folder)
        return
    try:
        _exporter(os.getpid()).submit(_export, exported, folder).result()
    except BrokenProcessPool:
        _exporter.cache_clear()
        raise ValaroError(
            "the process that makes a network ready for this processor was ended, perhaps for want of "
            "memory: it takes 1 GB. Free some, or let PyTorch compute: compute.engine: torch"
        ) from None


@cache
def _exporter(pid: int) -> Any:
    """A process for the exports of the process `pid`, which is this one."""
    from joblib.externals.loky import ProcessPoolExecutor

    return ProcessPoolExecutor(1, timeout=IDLE_S, initializer=_begin, initargs=(pid,))


def _begin(parent: int) -> None:
    exit_with_parents([parent])
    atexit.register(os._exit, 0)  # the libraries take seconds to end, with nothing left to save


def _export(exported: Callable[[], Exported], folder: Path) -> None:
    import torch

    network = exported()
    module = network.build().eval()
    tensors = tuple(torch.from_numpy(example) for example in network.examples)
    with torch.no_grad():
        outputs = module(*tensors)
        graph = network.lay_out(module) if network.lay_out else _converted(network, module, tensors)
    with whole(folder) as partial:
        partial.mkdir(parents=True, exist_ok=True)
        _save(graph, partial / MODEL)
        _require_equal(outputs if isinstance(outputs, tuple) else (outputs,), partial / MODEL, network)


def _converted(network: Exported, module: "nn.Module", tensors: tuple[Any, ...]) -> Any:
    import openvino

    axes = network.free_axes
    free = [
        ([-1] * axes + list(example.shape[axes:]), openvino.Type(example.dtype))
        for example in network.examples
    ]
    try:
        with warnings.catch_warnings():  # of PyTorch's, about its own tracing
            warnings.simplefilter("ignore")
            return openvino.convert_model(module, example_input=tensors, input=free)
    except Exception as refusal:  # an operation that OpenVINO doesn't know, or that can't be traced
        reason = " ".join(str(refusal).split())
        raise GraphMismatch(f"{network.code}: can't be exported ({reason:.200})") from None


def _save(graph: Any, file: Path) -> None:
    import openvino

    openvino.save_model(graph, file, compress_to_fp16=False)


def _require_equal(outputs: Sequence[Any], file: Path, network: Exported) -> None:
    """Refuse a graph that answers otherwise than the module did."""
    for k, (wanted, found) in enumerate(
        zip(outputs, _compiled(file, "float32")(*network.examples), strict=True)
    ):
        right = wanted.float().numpy()
        off = float(np.abs(found - right).max() / max(1.0, np.abs(right).max()))
        if not off <= TOLERANCE:
            raise GraphMismatch(
                f"{network.code}: output {k} of the exported graph is off by {off:.2g}, over {TOLERANCE:g}"
            )


def _compiled(file: Path, precision: Precision) -> Run:
    """The graph as a function, on as many threads as OMP_NUM_THREADS says (PyTorch's own rule)."""
    options = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
        "INFERENCE_NUM_THREADS": int(os.environ.get("OMP_NUM_THREADS", "2")),
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # the workers of a stage would all be pinned to the same cores
    }
    compiled = openvino_core().compile_model(file, "CPU", options)

    def run(*arrays: NDArray[Any]) -> Arrays:
        answers = compiled([np.ascontiguousarray(array) for array in arrays])
        return [np.array(answers[k], np.float32) for k in range(len(compiled.outputs))]

    return run


def _prune(folder: Path) -> None:
    """Remove the graphs used longest ago, beyond MOST_GRAPHS."""
    found = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in found[MOST_GRAPHS:]:
        remove(path)
