"""Is the mouth moving? A visual voice signal from the area between the lips of the target's face.

Paper, section 3.3: speech is where the inner-lip area, averaged over about a second, exceeds the mean of the
whole track. It hears nothing: laughing and chewing count, and some part of every track counts as open.
"""

import os
from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache
from typing import Any

import numpy as np

from stages.core.arrays import Flags, Floats, Image, Integers
from stages.engine.advance import counted
from stages.engine.lazy_imports import loaded_on_use
from stages.engine.native_stderr import quiet_native_stderr

UPPER_LIP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_LIP = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
"""Inner lips in MediaPipe's face mesh, from one corner of the mouth to the other."""
NOISE = 1e-9
"""Part of the track's mean by which a windowed mean must exceed it: a constant area is nowhere open, however
its sums are rounded. The closest call in six real tracks is 6e-6."""
TIME_TOLERANCE_S = 1e-6


def lip_area(landmarks_xy: Floats) -> Floats:
    """Area between the inner lips: a strip of triangles between the two lines of landmarks.

    Shape: (..., 468 or 478, 2) -> (...); in the square of the landmarks' unit.
    """
    upper, lower = landmarks_xy[..., UPPER_LIP, :], landmarks_xy[..., LOWER_LIP, :]
    falling = _triangle_area(upper[..., :-1, :], lower[..., :-1, :], upper[..., 1:, :])
    rising = _triangle_area(lower[..., 1:, :], lower[..., :-1, :], upper[..., 1:, :])
    return np.asarray((falling + rising).sum(axis=-1))


def _triangle_area(a: Floats, b: Floats, c: Floats) -> Floats:
    """Shape: three times (..., 2) -> (...)."""
    p, q = b - a, c - a
    return np.asarray(np.abs(p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]) / 2)


class MouthMeter:
    """Measures lips with MediaPipe's face mesh.

    Cheap to make and to pickle: the graph starts at the first crop. Every crop is seen on its own (static
    mode), so the same crop always gives the same area. A graph holds threads, which a forked or pickled copy
    would lack; so each process has its own.

    Args:
        threshold: least confidence that the crop holds a face.
    """

    def __init__(self, threshold: float = 0.5) -> None:
        if not 0 < threshold < 1:
            raise ValueError(f"threshold is {threshold}; wanted 0 < threshold < 1")
        self.threshold = threshold

    def areas(self, crops: Sequence[Image]) -> Floats:
        """Area between the lips as part of each crop's area.

        Shape: T crops (H, W, 3) uint8 RGB, of any sizes -> (T,) float32, NaN where no mesh was found.
        """
        mesh = _mesh(os.getpid(), self.threshold)
        return np.array([mesh.area(crop) for crop in counted(crops)], np.float32)


class _Mesh:
    """One running MediaPipe graph."""

    def __init__(self, threshold: float) -> None:
        with loaded_on_use("matplotlib.pyplot"):
            from mediapipe.python.solutions.face_mesh import FaceMesh

        with quiet_native_stderr():
            self.solution: Any = FaceMesh(
                static_image_mode=True,
                max_num_faces=1,
                refine_landmarks=True,
                min_detection_confidence=threshold,
            )
        self.started = False

    def area(self, crop: Image) -> float:
        # The graph's last start-up message comes with the first face.
        with nullcontext() if self.started else quiet_native_stderr():
            faces = self.solution.process(np.ascontiguousarray(crop)).multi_face_landmarks
        if not faces:
            return float("nan")
        self.started = True
        return float(lip_area(np.array([(point.x, point.y) for point in faces[0].landmark])))


@cache
def _mesh(_process: int, threshold: float) -> _Mesh:
    return _Mesh(threshold)


def open_by_rows(area: Floats, rows: int = 30) -> Flags:
    """The authors' rule: the mean of the last 30 rows exceeds the mean of all rows.

    Shape: (T,) -> (T,) bool. The first 29 rows are never open.

    Args:
        area: one row per frame that has a face, whatever time lies between; no NaN.
        rows: length of the window.
    """
    if rows < 1:
        raise ValueError(f"rows is {rows}; wanted at least 1")
    if not np.all(np.isfinite(area)):
        raise ValueError("area holds NaN; wanted the rows with a face only")
    end = np.arange(1, len(area) + 1)
    return _exceeds_mean(area, np.maximum(end - rows, 0), end) & (end >= rows)


def open_by_time(area: Floats, time_s: Floats, detected: Flags, window_s: float = 1.0) -> Flags:
    """Our rule: as the authors', with a window in time, at any frame rate and across gaps.

    Shape: (T,), (T,), (T,) -> (T,) bool, false where there is no area.

    Args:
        area: NaN where there is no mesh.
        time_s: ascending.
        detected: the frames whose face was really seen; areas of reused crops don't count.
        window_s: the window of frame t is (t − window_s, t]; over 30 frames/s that is 30 rows. Near the start
            of the track it is what there is of it.

    Raises:
        ValueError: lengths differ, times don't ascend, or the window is not positive.
    """
    if not len(area) == len(time_s) == len(detected) or np.any(np.diff(time_s) <= 0):
        raise ValueError(
            f"{len(area)} areas, {len(time_s)} times, {len(detected)} flags; wanted one of each per frame, "
            "times ascending"
        )
    if window_s <= 0:
        raise ValueError(f"window_s is {window_s}; wanted a positive time")
    seen = np.asarray(detected, bool) & np.isfinite(area)
    seen_s = time_s[seen]
    start = np.searchsorted(seen_s, seen_s - window_s + TIME_TOLERANCE_S)
    is_open = np.zeros(len(area), bool)
    # A window no longer than the tolerance would exclude the frame itself.
    end = np.arange(1, len(seen_s) + 1)
    is_open[seen] = _exceeds_mean(area[seen], np.minimum(start, end - 1), end)
    return is_open


def _exceeds_mean(area: Floats, start: Integers, end: Integers) -> Flags:
    """Where the mean of area[start:end] exceeds the mean of all; summed about it, to keep the digits."""
    if not len(area):
        return np.zeros(0, bool)
    area = np.asarray(area, np.float64)
    mean = area.mean()
    total = np.concatenate([[0.0], np.cumsum(area - mean)])
    return np.asarray((total[end] - total[start]) / (end - start) > NOISE * mean)
