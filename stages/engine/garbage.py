"""How often Python looks for objects that refer to each other in circles: less often than it does by itself.

Importing the libraries makes some 700,000 objects that all stay. Looking through them after every 700 new
ones, and once more when the program ends, takes a sixth of what a short recording takes altogether.
"""

import atexit
import gc
import sys

NEW_OBJECTS = 10_000
COUNTS_AT_THE_END = "triton._C.libtriton"
"""Comes with PyTorch for CUDA; it prints thirty lines on what of its own is left when the process ends."""


def collect_rarely() -> None:
    """From now on look at NEW_OBJECTS new objects at a time, and at none when the process ends.

    Where a library counts what is left, all are looked at in the end (`COUNTS_AT_THE_END`). What is in no
    circle goes at once all the same, and what has to be tidied up at the end is, by `atexit`.
    """
    gc.set_threshold(NEW_OBJECTS, 10, 10)
    atexit.register(_leave)


def _leave() -> None:
    if COUNTS_AT_THE_END not in sys.modules:
        gc.freeze()
