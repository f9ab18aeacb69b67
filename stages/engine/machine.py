"""Errors of the machine as against those of an input: full disk, missing permissions, failing drive."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.core.errors import ValaroError

MACHINE_REMEDIES = {
    errno.ENOSPC: "Free some space",
    errno.EDQUOT: "Free some of your quota",
    errno.EROFS: "Mount it for writing, or run this elsewhere",
    errno.EACCES: "Give yourself the right to write there",
    errno.EPERM: "Give yourself the right to write there",
    errno.EIO: "Check the disk",
    errno.EFBIG: "Raise the limit of file sizes (ulimit -f)",
    errno.EMFILE: "Raise the limit of open files (ulimit -n), or lower compute.jobs",
    errno.ENFILE: "Close other programs, or lower compute.jobs",
}
"""Errors that only whoever runs the machine can fix, and how."""
FULL_BYTES = 1 << 16  # less room than this is none


class MachineTrouble(ValaroError):
    """The disk is full, read-only, broken …: no input is at fault, and the next one would fail as well."""


def machine_trouble(error: BaseException, folder: Path) -> MachineTrouble | None:
    """The same error as one that the user can fix, if the machine is the cause.

    Args:
        error: what was raised; HDF5 hides the error number in its message.
        folder: where the results go, if the error names no file.
    """
    number = getattr(error, "errno", None)
    if number is None and (hidden := re.search(r"errno = (\d+)", str(error))):
        number = int(hidden[1])
    if number not in MACHINE_REMEDIES:
        return None
    file = getattr(error, "filename2", None) or getattr(error, "filename", None) or folder
    remedy = f"{MACHINE_REMEDIES[number]}, and run again: what is finished is kept"
    return MachineTrouble(f"{file}: {os.strerror(number).lower()}. {remedy}.")


@contextmanager
def disk_named(path: Path) -> Iterator[None]:
    """Say what is wrong with the disk where libsndfile, writing to `path`, only says "System error".

    Raises:
        OSError: in its place; ENOSPC where there is no room left, else EIO.
    """
    try:
        yield
    except RuntimeError as error:
        if "System error" not in str(error):
            raise
        raise disk_error(path) from error


def disk_error(path: Path) -> OSError:
    """What to raise where a file couldn't be written: ENOSPC where there is no room left, else EIO."""
    number = errno.ENOSPC if shutil.disk_usage(path.parent).free < FULL_BYTES else errno.EIO
    return OSError(number, os.strerror(number), str(path))
