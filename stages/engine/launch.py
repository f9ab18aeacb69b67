"""A stage in several processes (`accelerate launch`), which train one model on several devices.

The first process (rank 0) is the stage: only it holds the lock, caches results and writes the outputs. It
tells the others which units to compute. They compute the same in parallel, each with a scratch folder of its
own, and discard their outputs. Torch's launchers set RANK and WORLD_SIZE for each process.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.core.params import ComputeParams
from stages.engine.device import torch_device
from stages.engine.mapping import cores


def rank() -> int:
    """Rank of this process among those launched together; 0 for the first or only one."""
    return int(os.environ.get("RANK", "0"))


def processes() -> int:
    """Number of processes launched together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def trainings_at_once(compute: ComputeParams) -> int:
    """Number of trainings side by side, each in a process: compute.trainings_at_once.

    null: one per core, but only one on a GPU. In several processes that train one model together: one.
    """
    if processes() > 1:
        return 1
    return compute.trainings_at_once or (cores() if torch_device() == "cpu" else 1)


def broadcast(value: Any) -> Any:
    """Return the first process's value in all processes; each waits here for the others."""
    if processes() == 1:
        return value
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list

    PartialState(cpu=torch_device() == "cpu")
    values = [value]
    broadcast_object_list(values)
    return values[0]


@contextmanager
def private_folders(scratch: Path, writes: dict[str, Path]) -> Iterator[tuple[Path, dict[str, Path]]]:
    """Temporary folders for a process of rank > 0.

    Args:
        scratch: scratch folder of the first process; its unfinished state is copied.
        writes: role -> output of the first process.

    Yields:
        Its own scratch folder, and role -> its own output.
    """
    with tempfile.TemporaryDirectory() as private:
        own = Path(private) / scratch.name  # training identifies its state by that name
        if scratch.is_dir():
            shutil.copytree(scratch, own)
        yield own, {role: Path(private) / "out" / role / path.name for role, path in writes.items()}
