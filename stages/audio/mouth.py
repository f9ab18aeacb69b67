"""Is the mouth moving? A visual voice signal from the area between the lips of the target's face.

Paper, section 3.3: speech is where the inner-lip area, averaged over about a second, exceeds the mean of the
whole track. By that alone some part of every track counts as open, also of a photograph; so here the area has
to change as well (`moving`). Nothing is heard: laughing and chewing count.
"""

import os
from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache
from typing import Any, Literal

import numpy as np

from stages.core.arrays import Flags, Floats, Image, Integers
from stages.engine.advance import Sized, counted
from stages.engine.lazy_imports import slim_mediapipe
from stages.engine.native_stderr import quiet_native_stderr

Rule = Literal["authors", "motion"]
UPPER_LIP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_LIP = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
"""Inner lips in MediaPipe's face mesh, from one corner of the mouth to the other."""
FACE_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
"""Outline of the face in MediaPipe's face mesh, once around."""
POINTS = (*UPPER_LIP, *LOWER_LIP, *FACE_OVAL)
LIP_POINTS = len(UPPER_LIP) + len(LOWER_LIP)
CLOSED_MOUTH = 0.01
"""Part of the face's area up to which a mouth's opening may be noise."""
FEWEST_SAMPLES = 3
"""Fewest measured frames in a window from which motion is computed."""
NOISE = 1e-9
"""Part of the track's mean by which a windowed mean must exceed it: a constant area never counts as open,
however its sums are rounded. The smallest difference in six real tracks is 6e-6."""
TIME_TOLERANCE_S = 1e-6


def lip_area(landmarks_xy: Floats) -> Floats:
    """Area between the inner lips: a strip of triangles between the two lines of landmarks.

    Shape: (..., 468 or 478, 2) -> (...); in the square of the landmarks' unit.
    """
    return _lip_area(landmarks_xy[..., [*UPPER_LIP, *LOWER_LIP], :])


def _lip_area(lips_xy: Floats) -> Floats:
    upper, lower = np.split(lips_xy, 2, axis=-2)
    falling = _triangle_area(upper[..., :-1, :], lower[..., :-1, :], upper[..., 1:, :])
    rising = _triangle_area(lower[..., 1:, :], lower[..., :-1, :], upper[..., 1:, :])
    return np.asarray((falling + rising).sum(axis=-1))


def face_area(landmarks_xy: Floats) -> Floats:
    """Area within the outline of the face, by the shoelace formula.

    Shape: (..., 468 or 478, 2) -> (...); in the square of the landmarks' unit.
    """
    return _face_area(landmarks_xy[..., FACE_OVAL, :])


def _face_area(outline_xy: Floats) -> Floats:
    x, y = np.moveaxis(outline_xy, -1, 0)
    twice = (x * np.roll(y, -1, axis=-1) - y * np.roll(x, -1, axis=-1)).sum(axis=-1)
    return np.asarray(np.abs(twice) / 2)


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

    def areas(self, crops: Sequence[Image] | Sized[Image]) -> Floats:
        """Area between the lips as part of each crop's area. T crops -> (T,) float32; see `measure`."""
        return self.measure(crops)[:, 0]

    def measure(self, crops: Sequence[Image] | Sized[Image]) -> Floats:
        """Area between the lips, and within the outline of the face, as parts of each crop's area.

        Shape: T crops (H, W, 3) uint8 RGB, of any sizes, read one at a time -> (T, 2) float32.

        NaN where no mesh was found, and where the lips don't lie wholly in the crop: there the mesh is a
        guess, with areas of a tenth to 2.6 times the true one.
        """
        mesh = _mesh(os.getpid(), self.threshold)
        points = [mesh.points(crop) for crop in counted(crops)]
        return _areas(np.array(points, np.float64).reshape(-1, len(POINTS), 2)).astype(np.float32)


class _Mesh:
    """One running MediaPipe graph."""

    def __init__(self, threshold: float) -> None:
        with slim_mediapipe():
            from mediapipe.python.solutions.face_mesh import FaceMesh

        with quiet_native_stderr():
            self.solution: Any = FaceMesh(
                static_image_mode=True,
                max_num_faces=1,
                refine_landmarks=True,
                min_detection_confidence=threshold,
            )
            # The graph starts in threads of its own and announces itself from there: wait for it.
            self.solution.process(np.zeros((64, 64, 3), np.uint8))
        self.started = False

    def points(self, crop: Image) -> Floats:
        """Lips and outline of the face in shares of the crop, (len(POINTS), 2); NaN without a mesh."""
        # The graph's last start-up message comes with the first face.
        with nullcontext() if self.started else quiet_native_stderr():
            faces = self.solution.process(np.ascontiguousarray(crop)).multi_face_landmarks
        if not faces:
            return np.full((len(POINTS), 2), np.nan, np.float32)
        self.started = True
        landmarks = faces[0].landmark
        return np.array([(point.x, point.y) for point in map(landmarks.__getitem__, POINTS)], np.float32)


def areas_within(landmarks_xy: Floats) -> Floats:
    """Area of lips and face in shares of the picture; NaN for lips that reach beyond it.

    Shape: (..., 468 or 478, 2) -> (..., 2).
    """
    return _areas(landmarks_xy[..., POINTS, :])


def _areas(points_xy: Floats) -> Floats:
    """The same of POINTS. Shape: (..., len(POINTS), 2) -> (..., 2)."""
    lips, outline = points_xy[..., :LIP_POINTS, :], points_xy[..., LIP_POINTS:, :]
    areas = np.stack([_lip_area(lips), _face_area(outline)], axis=-1)
    areas[((lips < 0) | (lips > 1)).any(axis=(-2, -1))] = np.nan
    return areas


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


def mouth_open(
    area: Floats,
    opening: Floats,
    time_s: Floats,
    detected: Flags,
    *,
    rule: Rule,
    window_s: float,
    min_motion: float,
) -> Flags:
    """Where the mouth is open as it is in speech, by either rule.

    Shape: (T,) four times -> (T,) bool.

    Args:
        area: between the lips, part of the crop's area, NaN where it wasn't measured.
        opening: the same as part of the face's area.
        time_s: ascending.
        detected: the frames whose face was really seen.
        rule: authors: `open_by_rows` on the rows with an area; motion: `open_by_time` where the mouth also
            moves.
        window_s: of the rule motion, see `open_by_time` and `moving`.
        min_motion: of the rule motion; 0: any.
    """
    if rule == "authors":
        seen = np.asarray(detected, bool) & np.isfinite(area)
        is_open = np.zeros(len(area), bool)
        is_open[seen] = open_by_rows(area[seen])
        return is_open
    opened = open_by_time(area, time_s, detected, window_s)
    return opened & moving(opening, time_s, detected, least=min_motion, window_s=window_s)


def moving(opening: Floats, time_s: Floats, detected: Flags, *, least: float, window_s: float = 1.0) -> Flags:
    """Where the mouth moves: its opening varies enough within a window.

    Shape: (T,), (T,), (T,) -> (T,) bool, false where there is no opening.

    Motion is the standard deviation of the opening within the window over its mean, to which 1 % of the
    face is added, since the opening of a closed mouth is nothing but noise. It has no unit; neither the size
    of the face nor that of the mouth changes it. Of photographs with camera noise, JPEG flicker, a slow zoom
    or pan it was at most 0.1 (faces of 100 px and more). In six real tracks it is above 0.15 in three
    quarters of the time that the authors call open, in half of it where a mouth hardly moves.

    Args:
        opening: area between the lips as part of the face's area, NaN where it wasn't measured.
        time_s: ascending.
        detected: the frames whose face was really seen.
        least: motion from which the mouth moves; 0: always.
        window_s: of frame t: from t - window_s / 2 to t + window_s / 2.

    Raises:
        ValueError: least is negative, or the window is not positive.
    """
    if least < 0 or window_s <= 0:
        raise ValueError(f"least is {least}, window_s is {window_s}; wanted least >= 0, window_s > 0")
    seen = np.asarray(detected, bool) & np.isfinite(opening)
    seen_s, values = time_s[seen], opening[seen].astype(np.float64)
    half_s = window_s / 2 + TIME_TOLERANCE_S
    start, end = np.searchsorted(seen_s, seen_s - half_s), np.searchsorted(seen_s, seen_s + half_s, "right")
    total, squares = (np.concatenate([[0.0], np.cumsum(power)]) for power in (values, values**2))
    count = end - start
    mean = (total[end] - total[start]) / count
    deviation = np.sqrt(np.maximum((squares[end] - squares[start]) / count - mean**2, 0))
    is_moving = np.zeros(len(opening), bool)
    enough = count >= (FEWEST_SAMPLES if least else 1)
    is_moving[seen] = enough & (deviation >= least * (mean + CLOSED_MOUTH))
    return is_moving


def _exceeds_mean(area: Floats, start: Integers, end: Integers) -> Flags:
    """Where the mean of area[start:end] exceeds the mean of all; summed about it, to keep the digits."""
    if not len(area):
        return np.zeros(0, bool)
    area = np.asarray(area, np.float64)
    mean = area.mean()
    total = np.concatenate([[0.0], np.cumsum(area - mean)])
    return np.asarray((total[end] - total[start]) / (end - start) > NOISE * mean)
