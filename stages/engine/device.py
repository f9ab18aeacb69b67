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
    """Name of the device, as torch knows it. Torch is imported only where the machine has a GPU."""
    chosen = os.environ.get(VARIABLE, AUTO)
    if chosen != AUTO:
        return chosen
    if not _driver_finds_a_gpu():
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def require_device_name(name: str) -> None:
    """Find out without importing torch whether this can be a device.

    Raises:
        ValaroError: it can't.
    """
    if not DEVICES.fullmatch(name):
        raise ValaroError(f"{name!r} is no device. Devices are cpu, cuda, cuda:1 (the second GPU) and auto.")


def require_device(name: str) -> None:
    """Find out before the work whether a device is there.

    Raises:
        ValaroError: it isn't.
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
    """Let torch compute on a device inside the block, in worker processes too; None changes nothing."""
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
    """Whether there is a CUDA driver that counts at least one device."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int()
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
