"""Only one run of a stage at a time, which ends with the process that started it, and quickly.

If `dvc` is killed by SIGKILL, its command keeps running and could overwrite the output of the next run. So a
stage watches its parent and the `dvc` process above it, and exits when either ends; workers watch the stage.
A lock makes a second run wait until the first one has ended.
"""

import atexit
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from stages.core.errors import ValaroError

POLL_S = 0.3
SHELLS = {"sh", "bash", "dash", "zsh", "ksh", "fish"}


@contextmanager
def single_instance(lock: Path, patience_s: float = 20.0) -> Iterator[None]:
    """Hold an exclusive lock inside the block.

    Args:
        lock: the lock file.
        patience_s: longest time to wait for it, in seconds.

    Raises:
        ValaroError: another process still holds it after that time.
    """
    from filelock import FileLock, Timeout

    lock.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(lock, fallback_to_soft=False)  # a soft lock would remain after a killed process
    try:
        held.acquire(timeout=patience_s, poll_interval=0.1)
    except Timeout:
        raise ValaroError(
            f"{lock}: this stage is already running here. Wait until it has finished, or stop it."
        ) from None
    try:
        yield
    finally:
        held.release()


def exit_with_parents(parents: list[int]) -> None:
    """Exit this process as soon as one of the processes `parents` has ended; a thread polls them."""
    import psutil

    watched = []
    for pid in parents:
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
    except psutil.NoSuchProcess:  # ended between the two calls
        return False


def parents_of_this_stage() -> list[int]:
    """The parent and the nearest `dvc` above it, if DVC runs this stage (it sets DVC_STAGE); else none.

    Raises:
        ValaroError: DVC started this stage and has already ended.
    """
    if "DVC_STAGE" not in os.environ:
        return []
    import psutil

    parent = os.getppid()
    starter = None  # the nearest ancestor that isn't a shell: a program that uses DVC's Python API
    for ancestor in psutil.Process().parents():
        try:
            if any(Path(word).name == "dvc" for word in ancestor.cmdline()[:3]):
                return [parent, ancestor.pid]
            if starter is None and ancestor.name() not in SHELLS:
                starter = ancestor.pid
        except psutil.Error:
            continue
    if starter is None or not _same_session(starter):  # the new parent of an orphan
        raise ValaroError(
            "the dvc that started this stage has ended, so the stage stops. Run `dvc repro` again."
        )
    return [parent]


def _same_session(pid: int) -> bool:
    try:
        return os.getsid(pid) == os.getsid(0)
    except OSError:
        return False


def leave() -> NoReturn:
    """End this process with success, after its threads and all that is registered for its exit.

    Python would then take every module apart, which takes PyTorch's libraries up to half a second and saves
    nothing.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # these two are what Python itself calls first
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
