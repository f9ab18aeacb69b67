"""A system's interval as it was fitted, applied to a recording: low and high at every native frame."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.core.arrays import Floats
from stages.core.artefacts import read_arrays, read_config
from stages.core.errors import ValaroError
from stages.core.measures import TARGETS
from stages.evaluation.adaptive import Band
from stages.evaluation.difficulty import FEATURES, Seen, features_of

FOLDER, LANDMARKS = "intervals", "landmarks"
"""Below models/: a file per system, and the embeddings that distances are measured to."""


@dataclass(frozen=True, eq=False)
class Interval:
    """The interval of one system.

    Attributes:
        bands: of valence and of arousal.
        landmarks: (M, E) embeddings of training.
        others: single systems whose disagreement it looks at.
        coverage: share of frames of new recordings that it is to hold.
        recordings: of validation that it was calibrated on.
    """

    bands: tuple[Band, Band]
    landmarks: Floats
    others: tuple[str, ...]
    coverage: float
    recordings: int

    def around(self, seen: Seen) -> Floats:
        """Low and high of valence, then of arousal, within [-1, 1]. Shape: -> (N, 2, 2) float32."""
        features, time_s = features_of(seen, self.landmarks)
        trace = read_arrays(seen.trace, "valence_arousal", "time_s")
        return on_frames(self.errors(features), time_s, trace["valence_arousal"], trace["time_s"])

    def errors(self, features: Floats) -> Floats:
        """Low and high error at every step. Shape: (T, 2, F) -> (T, 2, 2)."""
        return np.stack([band.errors(features[:, k]) for k, band in enumerate(self.bands)], axis=1)


def on_frames(errors: Floats, time_s: Floats, trace: Floats, native_s: Floats) -> Floats:
    """The band around a trace, from low and high errors on the grid.

    Shape: (T, 2, 2), (T,), (N, 2), (N,) -> (N, 2, 2) float32 in [-1, 1]; the trace lies inside.
    """
    band = np.empty((len(native_s), len(TARGETS), 2), np.float32)
    for column in range(len(TARGETS)):
        low, high = (np.interp(native_s, time_s, errors[:, column, side]) for side in range(2))
        band[:, column, 0] = np.clip(trace[:, column] + np.minimum(low, 0), -1, 1)
        band[:, column, 1] = np.clip(trace[:, column] + np.maximum(high, 0), -1, 1)
    return band


def read_interval(models: Path, system: str) -> Interval | None:
    """The interval of a system; None where there is none, as in systems trained before there were any.

    Args:
        models: the folder `intervals` of trained models.
        system: its name.

    Raises:
        ValaroError: a file is damaged, or of another version.
    """
    from safetensors.numpy import load_file

    path, known = models / f"{system}.safetensors", models / f"{LANDMARKS}.safetensors"
    if not path.is_file() or not known.is_file():
        return None
    try:
        arrays, config = load_file(path), read_config(path)
        landmarks = load_file(known)["landmarks"]
        if tuple(config["features"]) != FEATURES:
            raise ValueError("it looks at other features than this version computes")
        valence, arousal = (Band.from_arrays(arrays, target) for target in TARGETS)
        others, counted = tuple(config["others"]), int(config["recordings"])
        return Interval((valence, arousal), landmarks, others, float(config["coverage"]), counted)
    except Exception as damage:  # safetensors raises its own class for every kind of damage
        raise ValaroError(f"{path}: no interval ({damage}). Run `dvc repro intervals` again.") from None
