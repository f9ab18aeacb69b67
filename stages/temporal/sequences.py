"""Training sequences for the dynamic model, read from the disk as they are needed.

The normalised embeddings of all training subjects lie end to end in one memory-mapped file; a window is a
slice of it, so memory doesn't grow with the corpus.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from stages.core.arrays import Flags, Floats, Integers
from stages.temporal.windows import labelled_runs


class Sequence(NamedTuple):
    """One subject on the grid: embedding (T, F) normalised, labels (T, 2), labelled (T,), time_s (T,).

    `known` (T,) marks the steps that count; None: all.
    """

    embedding: Floats
    valence_arousal: Floats
    labelled: Flags
    time_s: Floats
    known: Flags | None = None


class Window(NamedTuple):
    """One training window: embedding (S, F) and targets (S, 2), float32; valid (S,), the steps that count."""

    embedding: Tensor
    target: Tensor
    valid: Tensor


class SequenceWindows(Dataset[Window]):
    """Windows of labelled, consecutive steps only (paper, section 3.2.2), one of them known at least.

    Args:
        sequences: the training subjects, taken one at a time.
        file: where the embeddings go, raw float32.
        steps: total steps of all sequences.
        features: width F of an embedding.
        step_s: step of the grid.
        window: steps in a window.
        hop: steps between the starts of two windows.
    """

    def __init__(
        self,
        sequences: Iterable[Sequence],
        file: Path,
        *,
        steps: int,
        features: int,
        step_s: float,
        window: int,
        hop: int,
    ) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        stored = np.memmap(file, np.float32, "w+", shape=(steps, features))
        targets, starts, begin = np.empty((steps, 2), np.float32), [], 0
        valid = np.ones(steps, bool)
        for sequence in sequences:
            end = begin + len(sequence.embedding)
            stored[begin:end], targets[begin:end] = sequence.embedding, sequence.valence_arousal
            if sequence.known is not None:
                valid[begin:end] = sequence.known
            runs = begin + labelled_runs(sequence.labelled, sequence.time_s, step_s, window, hop)
            counted = np.append(0, np.cumsum(valid[:end]))
            starts.append(runs[counted[runs + window] > counted[runs]])
            begin = end
        stored.flush()
        self._embedding = np.memmap(file, np.float32, "r", shape=(steps, features))
        self._targets, self._valid, self._window = targets, valid, window
        self.starts: Integers = np.concatenate(starts) if starts else np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> Window:
        """One window, copied out of the file."""
        rows = slice(self.starts[index], self.starts[index] + self._window)
        return Window(
            torch.from_numpy(np.array(self._embedding[rows])),
            torch.from_numpy(self._targets[rows].copy()),
            torch.from_numpy(self._valid[rows].copy()),
        )
