"""OpenVINO's core: one per process, initialised by one thread; and graphs that threads share."""

from collections.abc import Callable
from functools import cache
from threading import Lock, local
from typing import Any

import numpy as np

MOST_PREPARED = 512
"""Prepared layers that OpenVINO keeps for each thread, one per layer and size of picture. By default it keeps
5000: RetinaFace took 550 MB per thread after 200 sizes (close faces are searched in crops of many sizes),
with 512 it takes 180. A size that is met again later takes some 4 ms more; frames of one size take none."""
_SETTING_UP = Lock()


def openvino_core() -> Any:
    """The core that compiles every graph of this process.

    OpenVINO's Python binding completes its initialisation on first use, and two threads that do so at the
    same time can deadlock (2026.4.1). So all of it is done here, by one thread.
    """
    with _SETTING_UP:
        return _core()


@cache
def _core() -> Any:
    import openvino

    openvino.Tensor(np.zeros(1, np.float32))
    return openvino.Core()


def requests_of_threads(graph: Any, threads: int) -> Callable[[], Any]:
    """A graph in float32 that several threads run at a time, each call on one core.

    Args:
        graph: OpenVINO's model, or its file.
        threads: how many will call it at a time.

    Returns:
        What gives the calling thread's own inference request.
    """
    compiled = openvino_core().compile_model(
        graph,
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": "f32",  # the default takes bfloat16 where the processor has it
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,
            "ENABLE_CPU_PINNING": False,  # the workers of a stage would all be pinned to the same cores
            "CPU_RUNTIME_CACHE_CAPACITY": MOST_PREPARED,
        },
    )
    of_thread = local()

    def request() -> Any:
        if not hasattr(of_thread, "request"):
            of_thread.request = compiled.create_infer_request()
        return of_thread.request

    return request
