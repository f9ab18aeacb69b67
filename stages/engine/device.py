"""Where networks compute: VALARO_DEVICE (`cpu`, `cuda`, `cuda:1`), else a GPU if there is one."""

import ctypes
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from stages.core.errors import ValaroError

VARIABLE = "VALARO_DEVICE"
AUTO = "auto"
DEVICES = re.compile(r"auto|cpu|cuda(:\d+)?")


def torch_device() -> str:
    """Torch's name of the device. Torch is imported only if the machine has a GPU."""
    chosen = os.environ.get(VARIABLE, AUTO)
    if chosen != AUTO:
        return chosen
    if not _driver_finds_a_gpu():
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def require_device_name(name: str) -> None:
    """Check the name of a device, without importing torch.

    Raises:
        ValaroError: it isn't a valid name.
    """
    if not DEVICES.fullmatch(name):
        raise ValaroError(
            f"{name!r} isn't a device. Devices are cpu, cuda, cuda:1 (the second GPU) and auto."
        )


def require_device(name: str) -> None:
    """Check before the work that a device exists.

    Raises:
        ValaroError: it doesn't exist.
    """
    require_device_name(name)
    if not name.startswith("cuda"):
        return
    import torch

    present = torch.cuda.device_count()
    if int(name.partition(":")[2] or 0) >= present:
        found = f"{present} GPU{'s' if present > 1 else ''}" if present else "no GPU that can be used"
        raise ValaroError(f"device {name}: PyTorch finds {found}. Choose cpu, or leave the device out.")


@contextmanager
def on_device(name: str | None) -> Iterator[None]:
    """Compute on this device inside the block, also in worker processes; None: no change."""
    before = os.environ.get(VARIABLE)
    if name is not None:
        os.environ[VARIABLE] = name
    try:
        yield
    finally:
        if name is not None:
            os.environ.pop(VARIABLE) if before is None else os.environ.update({VARIABLE: before})


@cache
def _driver_finds_a_gpu() -> bool:
    """Whether a CUDA driver reports at least one device."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int()
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
