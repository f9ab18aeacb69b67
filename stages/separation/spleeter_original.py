"""The original Spleeter program, in a Python environment of its own.

It needs TensorFlow 2.12 on Python 3.10 or 3.11, and NumPy 1: `pip install spleeter` into an environment
beside ours. One process per recording, all of it in memory. Without a checkpoint it would silently use random
weights: so the checkpoint is read and checked first.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from stages.core.arrays import Floats
from stages.core.errors import BadInput, ValaroError
from stages.separation.separation import Separator, clean
from stages.separation.spleeter import RATE_HZ
from stages.separation.spleeter_checkpoint import CHECKPOINT, fetch_checkpoint
from stages.separation.spleeter_net import MODELS
from stages.separation.spleeter_weights import state_of
from stages.separation.streaming import through_rate
from stages.separation.tensorbundle import read_bundle

PROBE = ".probe"
"""Spleeter's own mark of a finished download; without it, it would download."""

DRIVER = """
import sys
import numpy
from spleeter.separator import Separator
name, source, target = sys.argv[1:]
stems = Separator("spleeter:" + name, multiprocess=False).separate(numpy.load(source))
numpy.save(target, stems["vocals"])
"""


def original_checkpoint(name: str, folder: Path) -> Path:
    """The data file of a published checkpoint, laid out as Spleeter looks for it.

    Args:
        name: `2stems`, `4stems` or `5stems`.
        folder: `models/pretrained/`; the checkpoint goes to `spleeter/<name>/` below it.

    Raises:
        ValaroError: no source has the checkpoint, or one isn't intact (see `fetch_checkpoint`).
    """
    home = folder / "spleeter" / name
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as place:
        fresh = Path(place)
        fetch_checkpoint(name, folder, fresh)
        (fresh / PROBE).write_text("OK")
        if filecmp.cmpfiles(fresh, home, [*CHECKPOINT, PROBE], shallow=False)[0] != [*CHECKPOINT, PROBE]:
            shutil.rmtree(home, ignore_errors=True)
            shutil.copytree(fresh, home)
    return home / CHECKPOINT[-1]


@dataclass(frozen=True)
class SpleeterOriginal(Separator):
    """`spleeter`: the original program.

    Args:
        python: the interpreter of its environment.
        checkpoint: folder of the checkpoint, named after the model.
    """

    python: str
    checkpoint: Path

    def stream(self, blocks: Iterable[Floats], rate_hz: int) -> Iterator[Floats]:
        """As `Separator.stream`, but all of it in memory.

        Raises:
            ValaroError: no intact checkpoint, no such interpreter, or Spleeter failed in it.
        """
        return through_rate(self._stream, map(clean, blocks), rate_hz, RATE_HZ)

    def _stream(self, blocks: Iterable[Floats]) -> Iterator[Floats]:
        mixture = np.concatenate([np.zeros((0, 2), np.float32), *blocks])
        if len(mixture):
            yield self._run(mixture)

    def _run(self, mixture: Floats) -> Floats:
        with tempfile.TemporaryDirectory() as place:
            source, target = Path(place) / "mixture.npy", Path(place) / "voice.npy"
            np.save(source, mixture)
            command = [self.python, "-I", "-c", DRIVER, self._verified.name, str(source), str(target)]
            settings = {**os.environ, "MODEL_PATH": str(self._verified.parent), "TF_CPP_MIN_LOG_LEVEL": "3"}
            try:
                done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
            except OSError as error:
                problem = f"voice.spleeter_python: {self.python} can't be run ({error.strerror})"
                raise ValaroError(f"{problem}. Name the interpreter of Spleeter's environment.") from error
            if done.returncode or not target.is_file():
                last = (done.stderr.strip().splitlines() or ["no message"])[-1]
                remedy = "Repair its environment, or use backend spleeter_torch, which needs none"
                raise ValaroError(f"{self.python}: Spleeter failed: {last}. {remedy}.")
            return np.asarray(np.load(target), dtype=np.float32)

    @cached_property
    def _verified(self) -> Path:
        """The checkpoint's folder, once all of it has been read and checked."""
        folder, missing = self.checkpoint.absolute(), [PROBE, *CHECKPOINT]
        if missing := [name for name in missing if not (folder / name).is_file()]:
            remedy = "Without it Spleeter would use random weights; put the published checkpoint there"
            raise BadInput(folder / missing[0], "missing", remedy)
        try:
            state_of(read_bundle(folder / "model"), len(MODELS[folder.name].instruments))
        except (KeyError, ValueError) as error:
            raise BadInput(folder, f"not Spleeter's checkpoint: {error}", "Remove it") from error
        return folder
