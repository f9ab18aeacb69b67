"""Run Python's garbage collector for reference cycles less often than by default, and keep what C code frees.

Importing the libraries creates about 700,000 objects that all stay alive. Collecting after every 700 new
objects, and once more at exit, would take a sixth of the total time of a short recording.
"""

import atexit
import ctypes
import gc
import sys

NEW_OBJECTS = 10_000
"""Threshold of the youngest generation (Python's default: 700)."""
COUNTS_AT_THE_END = "triton._C.libtriton"
"""A module of PyTorch for CUDA; without a collection at exit it prints a list of leaked objects."""


def collect_rarely() -> None:
    """Collect after NEW_OBJECTS new objects from now on, and not at exit.

    If a library counts leaked objects (`COUNTS_AT_THE_END`), garbage is still collected at exit. Objects
    outside cycles are freed at once as usual, and functions of `atexit` run.
    """
    gc.set_threshold(NEW_OBJECTS, 10, 10)
    atexit.register(_leave)


def _leave() -> None:
    if COUNTS_AT_THE_END not in sys.modules:
        gc.freeze()


def keep_freed_memory() -> None:
    """Let glibc reuse large blocks instead of handing each back to the system and zeroing it anew.

    Every pass of a network asks for the same buffers, of up to some ten megabytes. Keeping them makes
    Spleeter two to three times quicker on a CPU, the training of a small network by a sixth; the peak stays
    what it is. Elsewhere than on glibc nothing happens.
    """
    mmap_threshold, trim_threshold, most = -3, -1, 2**31 - 1  # of malloc.h
    try:
        tune = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    tune(mmap_threshold, most)
    tune(trim_threshold, most)
