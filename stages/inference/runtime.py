"""OpenVINO's core: one per process, initialised by one thread."""

from functools import cache
from threading import Lock
from typing import Any

import numpy as np

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
