"""Garbage is collected less often, and all the same nothing is left undone at the end."""

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import tempfile, weakref
from stages.engine.garbage import NEW_OBJECTS, collect_rarely

class Circle:
    def __init__(self):
        self.itself = self

collect_rarely()
gone = []
for number in range(NEW_OBJECTS + 1):
    weakref.finalize(Circle(), gone.append, number)
print(len(gone) > 0)                      # long runs don't pile circles up
kept = Circle()
weakref.finalize(kept, print, "finalized")
folder = tempfile.TemporaryDirectory()
kept.folder = folder
print(folder.name)
"""


def test_circles_go_and_what_must_be_tidied_up_is() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    went, folder, *end = done.stdout.split("\n")
    assert went == "True"
    assert "finalized" in end
    assert not Path(folder).exists()
    assert done.stderr == ""


def test_no_library_speaks_of_leaks_at_the_end() -> None:
    pytest.importorskip("triton", reason="it comes with PyTorch for CUDA only")
    code = "from stages.engine.garbage import collect_rarely; collect_rarely(); import triton"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
