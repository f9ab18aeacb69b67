"""Audio and visual features side by side, paired by their times, as the cross-attention wants them.

Both lie on the same grid by construction, but audio may be shorter than the video, or silent about a step: a
pair is two steps within half a step of one another, never two of the same ordinal.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages.core.arrays import Flags, Floats, Integers
from stages.core.artefacts import read_arrays, read_facts


class Streams(NamedTuple):
    """The steps of one recording that both modalities describe."""

    seen: Floats
    """(T, 2, d) float32: features of the model best at valence, and of the one best at arousal."""
    heard: Floats
    """(T, f) float32: features of the audio model."""
    speaking: Flags
    """(T,) bool: the person speaks."""
    time_s: Floats
    """(T,)."""

    @property
    def features(self) -> Floats:
        """(T, 2 d + f) float32: valence model's, arousal model's, audio model's."""
        return np.column_stack([self.seen.reshape(len(self.seen), -1), self.heard])

    def scaled(self, scale: Callable[[Floats], Floats]) -> Floats:
        """What `CrossAttentionModel` takes: scaled features, and 1 where speaking. -> (T, 2 d + f + 1)."""
        return np.column_stack([scale(self.features), self.speaking]).astype(np.float32)


def read_streams(dynamic: Path, audio: Path, speech: Path) -> Streams:
    """Pair the features of one subject (data/features/dynamic, data/features/audio, data/speech)."""
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
    """Seconds from one step of a file of features to the next."""
    return 1 / float(read_facts(features)["fps_hz"])


def pairs(time_s: Floats, other_s: Floats, within_s: float) -> tuple[Integers, Integers]:
    """Each step with the other stream's nearest one; steps that have none so near are left out.

    Shape: (T,), (S,) -> (P,), (P,), indices into the two.

    Args:
        time_s: times of one stream, increasing.
        other_s: times of the other, increasing.
        within_s: how far apart the two of a pair may be.
    """
    if not len(time_s) or not len(other_s):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    nearest = np.searchsorted((other_s[1:] + other_s[:-1]) / 2, time_s, side="left")
    near = np.flatnonzero(np.abs(other_s[nearest] - time_s) <= within_s)
    return near, nearest[near]
