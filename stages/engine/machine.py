"""Errors of the machine, in contrast to those of an input: full disk, missing permissions, broken drive."""

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
    errno.EDQUOT: "Free some space within your quota",
    errno.EROFS: "Mount it for writing, or run this elsewhere",
    errno.EACCES: "Get permission to write there",
    errno.EPERM: "Get permission to write there",
    errno.EIO: "Check the disk",
    errno.EFBIG: "Raise the limit of file sizes (ulimit -f)",
    errno.EMFILE: "Raise the limit of open files (ulimit -n), or lower compute.jobs",
    errno.ENFILE: "Close other programs, or lower compute.jobs",
}
"""Error number of the machine -> remedy."""
FULL_BYTES = 1 << 16  # with less free space the disk counts as full


class MachineTrouble(ValaroError):
    """The disk is full, read-only, broken …: no input is at fault, and all others would fail too."""


def machine_trouble(error: BaseException, folder: Path) -> MachineTrouble | None:
    """Convert an error of the machine to one with a remedy; None for other errors.

    Args:
        error: the exception; HDF5 has the error number in its message only.
        folder: folder of the results, for errors that name no file.
    """
    number = getattr(error, "errno", None)
    if number is None and (hidden := re.search(r"errno = (\d+)", str(error))):
        number = int(hidden[1])
    if number not in MACHINE_REMEDIES:
        return None
    file = getattr(error, "filename2", None) or getattr(error, "filename", None) or folder
    remedy = f"{MACHINE_REMEDIES[number]}, and run again: finished results are kept"
    return MachineTrouble(f"{file}: {os.strerror(number).lower()}. {remedy}.")


@contextmanager
def disk_named(path: Path) -> Iterator[None]:
    """Replace libsndfile's "System error" while writing to `path` by an error with an error number.

    Raises:
        OSError: ENOSPC if the disk is full, else EIO.
    """
    try:
        yield
    except RuntimeError as error:
        if "System error" not in str(error):
            raise
        raise disk_error(path) from error


def disk_error(path: Path) -> OSError:
    """The error for a file that couldn't be written: ENOSPC if the disk is full, else EIO."""
    number = errno.ENOSPC if shutil.disk_usage(path.parent).free < FULL_BYTES else errno.EIO
    return OSError(number, os.strerror(number), str(path))
