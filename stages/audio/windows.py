"""Labelled windows of waveforms, for training.

They are read out of WAV files by their offset, never a whole file; each comes with its labels and with masks
that say which samples and which steps are real.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from stages.audio.samples import AudioLevel, level_of_file, normalised, read_samples, sample_range
from stages.core.arrays import Flags, Floats


class LabelledWindow(NamedTuple):
    """One training window: n samples, S steps."""

    waveform: Tensor
    """(n,) float32: zero mean and unit variance over the real samples, then zeros."""
    sample_mask: Tensor
    """(n,) bool, true at real samples; they come first."""
    targets: Tensor
    """(S, 2) float32: valence, arousal."""
    valid: Tensor
    """(S,) bool, true at steps that have a label and audio."""


class AudioWindows(Dataset[LabelledWindow]):
    """Labelled windows of many recordings, each read by its offset when it is asked for.

    Args:
        files: WAV file of every window (W), mono, `rate_hz`.
        windows_s: (W, 2) start and end in seconds; a short one is padded with zeros.
        targets: (W, S, 2), see `speaking.window_targets`.
        valid: (W, S) bool.
        window_s: length that all windows are brought to.
        rate_hz: rate of the files.
        normalisation: by the level of each window, or of its whole recording.

    Raises:
        ValueError: the lengths differ, or a window is longer than `window_s` or starts before 0.
        BadInput: on reading, see `read_samples`.
    """

    def __init__(
        self,
        files: Sequence[Path],
        windows_s: Floats,
        targets: Floats,
        valid: Flags,
        *,
        window_s: float = 4.0,
        rate_hz: int = 16_000,
        normalisation: AudioLevel = "window",
    ) -> None:
        counts = [len(files), len(windows_s), len(targets), len(valid)]
        if len(set(counts)) != 1:
            raise ValueError(f"files, windows, targets, masks number {counts}; must match")
        bounds = np.asarray(windows_s, dtype=np.float64).reshape(-1, 2)
        length_s = bounds[:, 1] - bounds[:, 0]
        if (bounds < 0).any() or (length_s < 0).any() or (length_s > window_s + 0.5 / rate_hz).any():
            raise ValueError(f"windows must start at 0 s or later and last 0–{window_s} s")
        self.files, self.windows_s, self.rate_hz = list(files), bounds, rate_hz
        self.targets, self.valid = np.asarray(targets, np.float32), np.asarray(valid, bool)
        self.length, self.window_s = round(window_s * rate_hz), window_s
        self.of_recording = normalisation == "recording"

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> LabelledWindow:
        """One window. Steps past the end of the file aren't valid: there is no sound."""
        start_s, end_s = self.windows_s[index]
        first, stop = sample_range(start_s, end_s, self.rate_hz, self.length)
        samples = read_samples(self.files[index], first, stop, self.rate_hz)
        level = level_of_file(self.files[index]) if self.of_recording else None
        waveform, sample_mask = normalised(samples, self.length, level)
        step_starts_s = np.arange(len(self.valid[index])) * self.window_s / len(self.valid[index])
        heard = step_starts_s * self.rate_hz < len(samples)
        return LabelledWindow(
            torch.from_numpy(waveform),
            torch.from_numpy(sample_mask),
            torch.from_numpy(self.targets[index]),
            torch.from_numpy(self.valid[index] & heard),
        )
