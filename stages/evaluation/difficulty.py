"""What can be known of a frame's difficulty without its label, on the time grid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.arrays import Flags, Floats
from stages.core.artefacts import read_arrays
from stages.core.measures import TARGETS

AROUND_S = 1.0
"""Half of the window that shares and deviations are taken over."""
LONGEST_S = 5.0
"""Time without a face beyond which it makes no difference."""
NEAREST = 5
FEATURES = (
    "detector_score",
    "face_height_log_px",
    "missing_share",
    "unseen_s",
    "speaking_share",
    "embedding_distance",
    "embedding_change",
    "recording_distance",
    "recording_spread",
    "value",
    "size_of_value",
    "deviation_in_time",
    "disagreement",
    "recording_value",
    "recording_deviation",
    "still_difference",
    "size_of_still_difference",
    "still_deviation",
    "recording_still_difference",
    "mirrored_difference",
)
"""Columns, in this order; from `value` on they are of the target's own traces. `still` is the static
model's estimate, which uses that frame alone: its signed difference from the trace, and how much it jumps.
`mirrored` is its estimate of the mirror image minus that of the picture; 0 where there is none.

Those of the recording are the same at all its steps: how far its embeddings lie from those of training and
from each other, mean and deviation of the trace. They reveal an unfamiliar speaker, light or camera, which no
single frame does.
"""
VALUE = FEATURES.index("value")


@dataclass(frozen=True)
class Seen:
    """Artefacts of one subject.

    Attributes:
        faces: of the stage faces.
        speech: of the stage speech; None without.
        embeddings: of the stage embed; None without.
        trace: of the system whose error is asked for.
        others: traces of single systems.
    """

    faces: Path
    speech: Path | None
    embeddings: Path | None
    trace: Path
    others: Mapping[str, Path]


def features_of(seen: Seen, landmarks: Floats) -> tuple[Floats, Floats]:
    """Features of both targets at every step of the grid.

    Shape: landmarks (M, E) -> (T, 2, len(FEATURES)) float64, time_s (T,).

    Args:
        seen: the subject's artefacts.
        landmarks: embeddings of training, see `choose_landmarks`.
    """
    view = look(seen.faces, seen.speech, seen.embeddings, landmarks)
    others = [on_grid(path, view.time_s) for path in seen.others.values()]
    return view.around(on_grid(seen.trace, view.time_s), others), view.time_s


@dataclass(frozen=True, eq=False)
class View:
    """What is known of a subject whichever trace is asked about.

    Attributes:
        time_s: (T,) of the grid.
        window: steps before and after a step that its surroundings are.
        common: one column (T,) each: the features up to `value`.
        still: (T, 2) the static model's estimate of each step by itself; None without embeddings.
        mirrored: (T, 2) its estimate of the mirror image; None where there is none.
    """

    time_s: Floats
    window: int
    common: tuple[Floats, ...]
    still: Floats | None
    mirrored: Floats | None

    def to_arrays(self) -> dict[str, Floats]:
        """Plain arrays, as `write_arrays` wants them."""
        said = {"still": self.still, "mirrored": self.mirrored}
        known = {name: array for name, array in said.items() if array is not None}
        return {"time_s": self.time_s, "common": np.stack(self.common, axis=1)} | known

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Floats]) -> "View":
        """The inverse of `to_arrays`."""
        time_s, common = arrays["time_s"], tuple(arrays["common"].T)
        return cls(time_s, _window_of(time_s), common, arrays.get("still"), arrays.get("mirrored"))

    def around(self, trace: Floats, others: Sequence[Floats] = ()) -> Floats:
        """Features of a trace on the grid. Shape: (T, 2), each other (T, 2) -> (T, 2, len(FEATURES))."""
        still = trace if self.still is None else self.still
        mirrored = still if self.mirrored is None else self.mirrored
        columns = [
            [
                *self.common,
                *_of_traces(trace[:, k], [other[:, k] for other in others], self.window),
                *_of_still(trace[:, k], still[:, k], self.window),
                mirrored[:, k] - still[:, k],
            ]
            for k in range(len(TARGETS))
        ]
        return np.stack([np.stack(column, axis=1) for column in columns], axis=1)


def look(faces: Path, speech: Path | None, embeddings: Path | None, landmarks: Floats) -> View:
    """Read what is known of a subject. The arguments are those of `Seen` and `features_of`."""
    found = read_arrays(faces, "time_s", "detected", "score", "box_xyxy")
    own = read_arrays(embeddings) if embeddings else {}  # a model without estimates of its own wrote none
    time_s, detected = found["time_s"], found["detected"]
    window = _window_of(time_s)
    score, height_px = found["score"].astype(float), found["box_xyxy"][:, 3] - found["box_xyxy"][:, 1]
    size = _held(np.log(np.where(detected & (height_px > 0), height_px, np.nan)))
    common = (
        np.where(detected, np.nan_to_num(score), 0.0),
        size,
        _around((~detected).astype(float), window),
        _time_unseen(detected, _step_of(time_s)),
        _speaking(speech, time_s, window),
        *_of_embeddings(own.get("embedding"), detected, landmarks, window),
    )
    still, mirrored = (_said(own.get(name)) for name in ("valence_arousal", "mirrored_valence_arousal"))
    return View(time_s, window, common, still, mirrored if still is not None else None)


def choose_landmarks(embeddings: Floats, count: int, seed: int) -> Floats:
    """Embeddings of training that distances are measured to. Shape: (N, E) -> (M, E) float32."""
    rows = np.random.default_rng(seed).permutation(len(embeddings))[:count]
    return np.asarray(embeddings[np.sort(rows)], np.float32)


def _step_of(time_s: Floats) -> float:
    return float(np.median(np.diff(time_s))) if len(time_s) > 1 else 1.0


def _window_of(time_s: Floats) -> int:
    return max(1, round(AROUND_S / _step_of(time_s)))


def _held(values: Floats) -> Floats:
    """The last known value, the first one before it; 0 where none is. Shape: (T,)."""
    known = np.isfinite(values)
    if not known.any():
        return np.zeros_like(values)
    last = np.maximum.accumulate(np.where(known, np.arange(len(values)), -1))
    return np.asarray(values[np.where(last < 0, int(known.argmax()), last)])


def _around(values: Floats, window: int) -> Floats:
    """Mean over the steps up to `window` before and after. Shape: (T,)."""
    sums = np.append(0.0, np.cumsum(values))
    first = np.maximum(np.arange(len(values)) - window, 0)
    stop = np.minimum(np.arange(len(values)) + window + 1, len(values))
    return np.asarray((sums[stop] - sums[first]) / (stop - first))


def _time_unseen(detected: Flags, step_s: float) -> Floats:
    """Time to the nearest step with a face, before or after, in seconds. Shape: (T,)."""
    steps, seen = np.arange(len(detected)), np.flatnonzero(detected)
    if not len(seen):
        return np.full(len(detected), LONGEST_S)
    after = np.minimum(np.searchsorted(seen, steps), len(seen) - 1)
    before = np.maximum(after - 1, 0)
    gap = np.minimum(np.abs(seen[after] - steps), np.abs(seen[before] - steps))
    return np.asarray(np.minimum(gap * step_s, LONGEST_S))


def _speaking(speech: Path | None, time_s: Floats, window: int) -> Floats:
    if speech is None:
        return np.zeros(len(time_s))
    found = read_arrays(speech, "speaking", "time_s")
    return _around(np.interp(time_s, found["time_s"], found["speaking"].astype(float)), window)


def _of_embeddings(embedding: Floats | None, detected: Flags, landmarks: Floats, window: int) -> list[Floats]:
    """Distance from training's embeddings, and how much they jump from step to step.

    Then of the recording: its mean distance, and how far the embeddings lie from their own mean.
    """
    if embedding is None or not len(landmarks):
        return [np.zeros(len(detected))] * 4
    embedding = embedding.astype(np.float32)
    squares = (embedding**2).sum(axis=1)[:, None] + (landmarks**2).sum(axis=1) - 2 * embedding @ landmarks.T
    count = min(NEAREST, len(landmarks))
    nearest = np.sqrt(np.maximum(np.partition(squares, count - 1, axis=1)[:, :count], 0)).mean(axis=1)
    jumps = np.append(0.0, np.sqrt((np.diff(embedding, axis=0) ** 2).sum(axis=1)))
    spread = np.sqrt(((embedding - embedding.mean(axis=0)) ** 2).sum(axis=1).mean())
    whole = (np.full(len(detected), float(each)) for each in (nearest.mean(), spread))
    return [nearest.astype(np.float64), _around(jumps.astype(np.float64), window), *whole]


def _of_traces(trace: Floats, others: list[Floats], window: int) -> list[Floats]:
    deviation = np.sqrt(np.maximum(_around(trace**2, window) - _around(trace, window) ** 2, 0))
    apart = np.std([trace, *others], axis=0) if others else np.zeros_like(trace)
    whole = (np.full_like(trace, each) for each in (trace.mean(), trace.std()))
    return [trace, np.abs(trace), deviation, np.asarray(apart), *whole]


def _said(estimates: Floats | None) -> Floats | None:
    return None if estimates is None else np.clip(estimates.astype(float), -1, 1)


def _of_still(trace: Floats, still: Floats, window: int) -> list[Floats]:
    """Signed difference, its size, deviation of the still estimates from their own surroundings.

    Then the mean difference of the recording.
    """
    difference = still - trace
    jumps = still - _around(still, window)
    deviation = np.sqrt(np.maximum(_around(jumps**2, window), 0))
    return [difference, np.abs(difference), deviation, np.full_like(difference, difference.mean())]


def on_grid(path: Path, time_s: Floats) -> Floats:
    """A trace at the steps of a grid. Shape: (T,) -> (T, 2)."""
    found: dict[str, Any] = read_arrays(path, "valence_arousal", "time_s")
    return np.column_stack(
        [np.interp(time_s, found["time_s"], column) for column in found["valence_arousal"].T.astype(float)]
    )
