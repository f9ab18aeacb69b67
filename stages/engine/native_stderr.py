"""Suppress what native libraries write to the process's standard error when they start."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_native_stderr() -> Iterator[None]:
    """Redirect file descriptor 2 to /dev/null inside the block.

    TensorFlow Lite and MediaPipe write to it at any log level; no Python setting affects them. Exceptions
    aren't suppressed. Keep the block short: it affects all threads.
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
