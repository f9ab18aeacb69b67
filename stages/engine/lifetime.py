"""One run of a stage at a time, and none that outlives the process that started it.

A SIGKILLed `dvc` leaves the command it started running, and that orphan could overwrite the output of the
next run. So a stage watches the `dvc` process above it and its own parent, and ends when either is gone;
workers watch the stage; and a lock held for life makes a second run wait until the first has really ended.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.core.errors import ValaroError

POLL_S = 0.3
SHELLS = {"sh", "bash", "dash", "zsh", "ksh", "fish"}


@contextmanager
def single_instance(lock: Path, patience_s: float = 20.0) -> Iterator[None]:
    """Hold an exclusive lock for the life of the block.

    Raises:
        ValaroError: another process still holds it after `patience_s` seconds.
    """
    from filelock import FileLock, Timeout

    lock.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(lock, fallback_to_soft=False)  # a soft lock would outlive a process that is killed
    try:
        held.acquire(timeout=patience_s, poll_interval=0.1)
    except Timeout:
        raise ValaroError(f"{lock}: this stage is already running here. Wait for it, or end it.") from None
    try:
        yield
    finally:
        held.release()


def exit_with_parents(masters: list[int]) -> None:
    """End this process as soon as one of the processes `masters` is gone; a thread polls them."""
    import psutil

    watched = []
    for pid in masters:
        try:
            watched.append(psutil.Process(pid))
        except psutil.NoSuchProcess:
            os._exit(1)

    def watch() -> None:
        while all(_lives(process) for process in watched):
            time.sleep(POLL_S)
        os._exit(1)

    threading.Thread(target=watch, name="exit-with-parents", daemon=True).start()


def _lives(process: Any) -> bool:
    import psutil

    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:  # gone between the two questions
        return False


def parents_of_this_stage() -> list[int]:
    """The parent and the nearest `dvc` above it, when DVC runs us (it sets DVC_STAGE); else nobody.

    Raises:
        ValaroError: DVC started us, and is gone already (killed while we were importing).
    """
    if "DVC_STAGE" not in os.environ:
        return []
    import psutil

    parent = os.getppid()
    starter = None  # the nearest ancestor that isn't a shell: a program that calls DVC's Python interface
    for ancestor in psutil.Process().parents():
        try:
            if any(Path(word).name == "dvc" for word in ancestor.cmdline()[:3]):
                return [parent, ancestor.pid]
            if starter is None and ancestor.name() not in SHELLS:
                starter = ancestor.pid
        except psutil.Error:
            continue
    if starter is None or not _same_session(starter):  # an orphan's new parent never started it
        raise ValaroError("the dvc that started this stage is gone; so this ends too. Run `dvc repro` again.")
    return [parent]


def _same_session(pid: int) -> bool:
    try:
        return os.getsid(pid) == os.getsid(0)
    except OSError:
        return False
