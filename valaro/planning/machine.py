"""The machine that a plan is for: this one, or one that is described."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from stages.core.params import ComputeParams

THREADS = 2
"""Of a network on a processor, unless OMP_NUM_THREADS says otherwise."""


@dataclass(frozen=True)
class Machine:
    """What decides how fast work is done.

    Args:
        gpu: whether networks compute on a GPU.
        cores: processors.
        jobs: videos worked on at a time.
        threads: of a network on a processor.
        gpu_speed: of the GPU against an RTX 3090.
        memory_bytes: of the machine; None: unknown.
        gpu_bytes: of the GPU; None: unknown, or no GPU.
        free_bytes: on the disk of the repository; None: unknown.
    """

    gpu: bool
    cores: int
    jobs: int
    threads: int
    gpu_speed: float = 1.0
    memory_bytes: float | None = None
    gpu_bytes: float | None = None
    free_bytes: float | None = None


def this_machine(
    compute: ComputeParams, device: str | None = None, cores: int | None = None, gpu_speed: float = 1.0
) -> Machine:
    """The machine here; what is named differs from it.

    Args:
        compute: the section of params.yaml; `jobs` counts.
        device: `cpu` or `cuda`; None: a GPU if there is one here.
        cores: processors; None: those here.
        gpu_speed: of the GPU against an RTX 3090.
    """
    import psutil

    from stages.engine.device import torch_device
    from stages.engine.mapping import cores as cores_here

    here = torch_device() != "cpu"
    gpu = here if device is None else device != "cpu"
    count = cores or cores_here()
    return Machine(
        gpu=gpu,
        cores=count,
        jobs=compute.jobs or count,
        threads=min(count, int(os.environ.get("OMP_NUM_THREADS") or THREADS)),
        gpu_speed=gpu_speed,
        memory_bytes=float(psutil.virtual_memory().total),
        gpu_bytes=_gpu_bytes() if gpu and here else None,
        free_bytes=float(shutil.disk_usage(Path()).free),
    )


def _gpu_bytes() -> float:
    import torch

    return float(torch.cuda.get_device_properties(torch.device("cuda")).total_memory)
