"""Silence for native libraries that write to the process's standard error as they start."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_native_stderr() -> Iterator[None]:
    """Send file descriptor 2 nowhere for the length of the block.

    TensorFlow Lite and MediaPipe announce themselves there whatever their log level is; no Python setting
    reaches them. Exceptions pass as usual. Keep the block short: it holds for every thread.
    """
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(nowhere)
        os.close(saved)
