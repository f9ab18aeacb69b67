"""Graphs: trained networks in OpenVINO's format, each exported once from its PyTorch module.

1. The key of a graph is a hash of everything that determines it: the bytes of the weights, the code that
   builds the module, the versions of PyTorch and OpenVINO.
2. If there is no graph yet, PyTorch builds the module, OpenVINO converts it, and both compute the same
   inputs. Only a graph that agrees within TOLERANCE is kept; else `GraphMismatch` says by how much it
   differs.
3. Later, neither PyTorch nor the libraries of the architecture are imported.

Exporting takes a few seconds of CPU time per network and 900 MB, opening half a second. It is done in a
separate process that ends soon after, so that workers don't keep PyTorch in memory beside their videos.
"""

import atexit
import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
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
from stages.engine.mapping import network_threads
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
"""Maximum number of graphs in the folder; those used longest ago are removed."""
IDLE_S = 5
"""Idle time after which the exporting process ends; the networks of one stage share it."""


class GraphMismatch(ValaroError):
    """The network can't be exported, or its graph computes other values: PyTorch must run it."""


@dataclass(frozen=True)
class Exported:
    """What is needed to export one network.

    Args:
        code: name of the module whose code, with its imports, determines what the network computes.
        build: returns the PyTorch module with its weights, in eval mode on the CPU; it takes and returns
            tensors, several outputs as a tuple.
        examples: inputs for conversion and comparison, of a batch of two if batches may have any size.
        free_axes: number of leading axes of the inputs that may have any length.
        lay_out: makes OpenVINO's model from the module; None: OpenVINO's converter does.
    """

    code: str
    build: Callable[[], "nn.Module"]
    examples: Sequence[NDArray[Any]]
    free_axes: int = 1
    lay_out: Callable[[Any], "openvino.Model"] | None = None


def graph_file(weights: Path, exported: Callable[[], Exported], code: str, part: str = "") -> Path:
    """The file of a network's graph; it is exported first if necessary.

    Args:
        weights: the weights file.
        exported: called if the graph must be exported.
        code: name of the module whose code determines what the network computes.
        part: name of the graph, if the weights have several.

    Raises:
        GraphMismatch: the network can't be exported with the same results.
        ValaroError: the exporting process was killed.
    """
    folders = graphs_folder()
    folder = folders / key_of(
        weights=md5_of(weights),
        part=part,
        code=remembered_code_of(code, folders.with_name("codes.json")),
        openvino=version("openvino"),
        torch=version("torch"),
    )
    if not (folder / MODEL).is_file():
        with _alone(folders.with_name("locks") / f"graph-{folder.name}"):
            if not (folder / MODEL).is_file():  # else another process has exported it meanwhile
                say(f"{weights.name}: converting for this CPU, a few seconds; only the first time")
                _export_apart(exported, folder)
                _prune(folders)
    os.utime(folder)
    return folder / MODEL


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold a lock inside the block, if locks can be held there: without them, several processes export."""
    from filelock import FileLock

    held = FileLock(lock, fallback_to_soft=False)  # a soft lock would remain after a killed process
    with suppress(OSError, NotImplementedError):
        lock.parent.mkdir(parents=True, exist_ok=True)
        held.acquire()
    try:
        yield
    finally:
        held.release()


def _export_apart(exported: Callable[[], Exported], folder: Path) -> None:
    """Export in another process, unless this one has PyTorch already or may not have children."""
    if "torch" in sys.modules or multiprocessing.current_process().daemon:
        _export(exported, folder)
        return
    try:
        _exporter(os.getpid()).submit(_export, exported, folder).result()
    except BrokenProcessPool:
        _exporter.cache_clear()
        raise ValaroError(
            "the process that converts a network for this CPU was killed, perhaps because memory ran out: it "
            "needs 1 GB. Free some memory, or set compute.engine: torch."
        ) from None


@cache
def _exporter(pid: int) -> Any:
    """A pool of one process for the exports of this process, whose id is `pid`."""
    from joblib.externals.loky import ProcessPoolExecutor

    return ProcessPoolExecutor(1, timeout=IDLE_S, initializer=_begin, initargs=(pid,))


def _begin(parent: int) -> None:
    exit_with_parents([parent])
    atexit.register(os._exit, 0)  # the libraries would take seconds to shut down, with nothing to save


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
    import torch
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    axes = network.free_axes
    free = [
        ([-1] * axes + list(example.shape[axes:]), openvino.Type(example.dtype))
        for example in network.examples
    ]
    try:
        with warnings.catch_warnings():  # PyTorch warns about its own tracing
            warnings.simplefilter("ignore")
            # A function is traced in a quarter of a module's time; weights are constants in it. PyTorch would
            # check the trace by running the module again: `_require_equal` does.
            module.requires_grad_(False)
            trace: Any = torch.jit.trace
            traced = trace(lambda *inputs: module(*inputs), tensors, check_trace=False, strict=False)
            decoder = TorchScriptPythonDecoder(traced, example_input=tensors)
            return openvino.convert_model(decoder, example_input=tensors, input=free)
    except Exception as refusal:  # e.g. an operation that OpenVINO doesn't support, or that can't be traced
        reason = " ".join(str(refusal).split())
        raise GraphMismatch(f"{network.code}: can't be exported ({reason:.200})") from None


def _save(graph: Any, file: Path) -> None:
    import openvino

    openvino.save_model(graph, file, compress_to_fp16=False)


def _require_equal(outputs: Sequence[Any], file: Path, network: Exported) -> None:
    """Refuse a graph whose outputs differ from those of the module."""
    for k, (wanted, found) in enumerate(
        zip(outputs, open_graph(file, "float32")(*network.examples), strict=True)
    ):
        right = wanted.float().numpy()
        off = float(np.abs(found - right).max() / max(1.0, np.abs(right).max()))
        if not off <= TOLERANCE:
            raise GraphMismatch(
                f"{network.code}: output {k} of the exported graph differs by {off:.2g}, over {TOLERANCE:g}"
            )


def open_graph(file: Path, precision: Precision) -> Run:
    """A graph as a function of arrays.

    Shape of the function: one array per input (B, ...) -> one array per output (B, ...), float32.

    Args:
        file: see `graph_file`.
        precision: number format of the layers.
    """
    options = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
        "INFERENCE_NUM_THREADS": network_threads(),
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # else all workers of a stage are pinned to the same cores
    }
    compiled = openvino_core().compile_model(file, "CPU", options)

    def run(*arrays: NDArray[Any]) -> Arrays:
        answers = compiled([np.ascontiguousarray(array) for array in arrays])
        return [np.array(answers[k], np.float32) for k in range(len(compiled.outputs))]

    return run


def _prune(folder: Path) -> None:
    """Keep the MOST_GRAPHS graphs that were used last."""
    used = {path: _used(path) for path in folder.iterdir()}
    for path in sorted(used, key=lambda path: used[path], reverse=True)[MOST_GRAPHS:]:
        remove(path)


def _used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another process removed it
        return 0.0
