"""A stage started several times at once (`accelerate launch`), to train one model on several devices.

The first process is the stage: it alone holds the lock, remembers, and puts results in place. The others
learn from it which units are to be done, do the same work beside it, each with a scratch folder of its own,
and throw away what they write. Torch's launchers tell a process by RANK and WORLD_SIZE which one it is.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.engine.device import torch_device


def rank() -> int:
    """Number of this process among those launched together; 0: the first, or alone."""
    return int(os.environ.get("RANK", "0"))


def processes() -> int:
    """How many were launched together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def broadcast(value: Any) -> Any:
    """What the first process passes, in all of them; each waits here for the others."""
    if processes() == 1:
        return value
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list

    PartialState(cpu=torch_device() == "cpu")
    values = [value]
    broadcast_object_list(values)
    return values[0]


@contextmanager
def beside(scratch: Path, writes: dict[str, Path]) -> Iterator[tuple[Path, dict[str, Path]]]:
    """Private places for a helping process: a copy of the first one's unfinished state, and the outputs'."""
    with tempfile.TemporaryDirectory() as private:
        own = Path(private) / scratch.name  # trainings know their state by that name
        if scratch.is_dir():
            shutil.copytree(scratch, own)
        yield own, {role: Path(private) / "out" / role / path.name for role, path in writes.items()}
