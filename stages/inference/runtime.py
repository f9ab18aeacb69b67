"""OpenVINO's core, one per process, set up before threads share it."""

from functools import cache
from threading import Lock
from typing import Any

import numpy as np

_SETTING_UP = Lock()


def openvino_core() -> Any:
    """The core that every graph of this process is compiled with.

    OpenVINO's Python binding finishes setting itself up while it works; threads that came upon that together
    were seen to wait for each other for ever (2026.4.1). So all of it is done here, by one thread.
    """
    with _SETTING_UP:
        return _core()


@cache
def _core() -> Any:
    import openvino

    openvino.Tensor(np.zeros(1, np.float32))
    return openvino.Core()
