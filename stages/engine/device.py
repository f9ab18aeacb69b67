"""Where torch computes: VALARO_DEVICE (`cpu`, `cuda`, `cuda:1`), else a GPU if there is one."""

import os


def torch_device() -> str:
    """Name of the device, as torch knows it."""
    chosen = os.environ.get("VALARO_DEVICE", "auto")
    if chosen != "auto":
        return chosen
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
