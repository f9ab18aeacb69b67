"""Pair audio and visual features by time: the input of the cross-attention model.

Both use the same grid, but the audio may be shorter than the video or lack a step. Two steps are a pair if
their times differ by at most half a step; equal row numbers don't make a pair.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages.core.arrays import Flags, Floats, Integers
from stages.core.artefacts import read_arrays, read_facts
from stages.core.times import nearest


class Streams(NamedTuple):
    """The steps of one subject that have both visual and audio features."""

    seen: Floats
    """(T, 2, d) float32: visual features, of the model best at valence and of the model best at arousal."""
    heard: Floats
    """(T, f) float32: features of the audio model."""
    speaking: Flags
    """(T,) bool: the person speaks."""
    time_s: Floats
    """(T,) seconds from the first frame."""

    @property
    def features(self) -> Floats:
        """(T, 2 d + f) float32: features of the valence, the arousal and the audio model."""
        return np.column_stack([self.seen.reshape(len(self.seen), -1), self.heard])

    def scaled(self, scale: Callable[[Floats], Floats]) -> Floats:
        """Input of `CrossAttentionModel`: scaled features, then 1 in steps with speech, else 0.

        Shape: -> (T, 2 d + f + 1) float32.
        """
        return np.column_stack([scale(self.features), self.speaking]).astype(np.float32)


def read_streams(dynamic: Path, audio: Path, speech: Path) -> Streams:
    """Pair the features of one subject.

    Args:
        dynamic: its file in data/features/dynamic.
        audio: its file in data/features/audio.
        speech: its file in data/speech.

    Raises:
        ValaroError: a file is damaged.
    """
    seen, heard = read_arrays(dynamic, "features", "time_s"), read_arrays(audio, "features", "time_s")
    mouth = read_arrays(speech, "speaking", "time_s")
    within_s = step_of(dynamic) / 2
    steps, partners = pairs(seen["time_s"], heard["time_s"], within_s)
    time_s = seen["time_s"][steps]
    known, spoken = pairs(time_s, mouth["time_s"], within_s)
    speaking = np.zeros(len(time_s), bool)
    speaking[known] = mouth["speaking"][spoken]
    video, sound = seen["features"][steps], heard["features"][partners]
    return Streams(video.astype(np.float32), sound.astype(np.float32), speaking, time_s)


def step_of(features: Path) -> float:
    """Seconds between two steps of a file of features."""
    return 1 / float(read_facts(features)["fps_hz"])


def pairs(time_s: Floats, other_s: Floats, within_s: float) -> tuple[Integers, Integers]:
    """Pair each step with the nearest step of the other stream, if that is near enough.

    Shape: (T,), (S,) -> (P,), (P,), indices into the two.

    Args:
        time_s: times of one stream, increasing.
        other_s: times of the other, increasing.
        within_s: largest time difference of a pair, in seconds; steps without such a partner are left out.
    """
    if not len(time_s) or not len(other_s):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    partner = nearest(other_s, time_s)
    near = np.flatnonzero(np.abs(other_s[partner] - time_s) <= within_s)
    return near, partner[near]
