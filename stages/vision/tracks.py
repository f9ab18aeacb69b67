"""The target person by the paper's rule: of all faces found, the nearest one, frame by frame.

`people` and `targets` have the rule that takes other people into account.

1. Seed: one face early in the video, by its score or by its side.
2. Follow it to the end, and back to the first frame: the face whose centre is nearest to the last one's.
3. A nearest face too far away too soon is somebody else: the target is missing until he or she is back in
   place, or until enough time has passed that the nearest face is taken again, wherever it is (for a person
   on one side: wherever in that half of the image, since the other half's face is known to be another's).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from stages.core.arrays import Flags, Floats, Integers
from stages.vision.detection import Detections

Side = Literal["left", "right"]
TIME_TOLERANCE_S = 1e-6
"""Grid times are products of floats: 1.4 s − 0.4 s is a little under a second."""


@dataclass(frozen=True)
class Track:
    """One person's face over time.

    Args:
        box_xyxy: (T, 4) float32 in pixels, NaN where the face is missing.
        score: (T,) float32, NaN where the face is missing.
        detected: (T,) bool.
    """

    box_xyxy: Floats
    score: Floats
    detected: Flags


def follow_target(
    detections: Sequence[Detections],
    time_s: Floats,
    image_width_px: int,
    side: Side | None = None,
    *,
    seed_s: float = 2.0,
    least_relative_width: float = 0.5,
    jump_widths: float = 1.5,
    jump_s: float = 0.5,
    reacquire_s: float = 1.0,
) -> Track:
    """The target's face in every frame (see the module for the steps).

    Args and raises: as `nearest_faces`.

    Returns:
        The track; all missing where no face fits (there was never a face on that side).
    """
    return _track(
        detections,
        nearest_faces(
            detections,
            time_s,
            image_width_px,
            side,
            seed_s=seed_s,
            least_relative_width=least_relative_width,
            jump_widths=jump_widths,
            jump_s=jump_s,
            reacquire_s=reacquire_s,
        ),
    )


def nearest_faces(
    detections: Sequence[Detections],
    time_s: Floats,
    image_width_px: int,
    side: Side | None = None,
    *,
    seed_s: float = 2.0,
    least_relative_width: float = 0.5,
    jump_widths: float = 1.5,
    jump_s: float = 0.5,
    reacquire_s: float = 1.0,
) -> Integers:
    """Which face of every frame is the target's: (T,) its index, -1 where none is.

    Args:
        detections: the faces of each frame.
        time_s: (T,), ascending, one time per frame.
        image_width_px: width of the frames, to tell the halves of the image.
        side: None: the most confident face of the first frame that has any. Otherwise the person on that
            side at the start: the outermost of two or more faces seen together, or, if such a frame is not
            among the first seconds, the largest face in that half of the image when first there is one.
        seed_s: how long after the first face two people may appear together.
        least_relative_width: a face narrower than this part of the frame's widest is a bystander and doesn't
            count as one of two people.
        jump_widths: distance of the centres, in widths of the last box, beyond which it is somebody else.
        jump_s: for how long after the last sight a jump is refused.
        reacquire_s: how long after the last sight the nearest face is taken again, once a jump was refused.

    Raises:
        ValueError: lengths differ, or times don't ascend.
    """
    if len(detections) != len(time_s) or np.any(np.diff(time_s) <= 0):
        raise ValueError(
            f"{len(detections)} frames, {len(time_s)} times; wanted one ascending time per frame"
        )
    chosen = np.full(len(detections), -1)
    seed = _seed(detections, time_s, image_width_px, side, seed_s, least_relative_width)
    if seed is not None:
        frame, face = seed
        chosen[frame] = face
        forwards = _Continuity(jump_widths, jump_s, reacquire_s, side, image_width_px / 2)
        # Before the seed only the same place tells the same person: nothing is acquired anew.
        backwards = replace(forwards, jump_s=np.inf, reacquire_s=np.inf)
        _follow(detections, time_s, chosen, frame, range(frame + 1, len(detections)), forwards)
        _follow(detections, time_s, chosen, frame, range(frame - 1, -1, -1), backwards)
    return chosen


def _seed(
    detections: Sequence[Detections],
    time_s: Floats,
    image_width_px: int,
    side: Side | None,
    seed_s: float,
    least_relative_width: float,
) -> tuple[int, int] | None:
    """Frame and face to start from."""
    frames = [frame for frame, faces in enumerate(detections) if len(faces)]
    if not frames:
        return None
    if side is None:
        return frames[0], int(np.argmax(detections[frames[0]].score))
    return _seed_together(
        detections,
        (frame for frame in frames if time_s[frame] <= time_s[frames[0]] + seed_s + TIME_TOLERANCE_S),
        side,
        least_relative_width,
    ) or _seed_in_half(detections, frames, side, image_width_px / 2)


def _seed_together(
    detections: Sequence[Detections], frames: Iterable[int], side: Side, least_relative_width: float
) -> tuple[int, int] | None:
    """The outermost face of the first frame that shows two people of comparable size."""
    for frame in frames:
        faces = detections[frame]
        people = np.flatnonzero(faces.width_px >= least_relative_width * faces.width_px.max())
        if len(people) >= 2:
            x = faces.centre_xy[people, 0]
            return frame, int(people[np.argmin(x) if side == "left" else np.argmax(x)])
    return None


def _seed_in_half(
    detections: Sequence[Detections], frames: Iterable[int], side: Side, middle_px: float
) -> tuple[int, int] | None:
    """The widest face of the first frame that has one in that half of the image."""
    for frame in frames:
        faces = detections[frame]
        there = np.flatnonzero(_in_half(faces, side, middle_px))
        if len(there):
            return frame, int(there[np.argmax(faces.width_px[there])])
    return None


def _in_half(faces: Detections, side: Side | None, middle_px: float) -> Flags:
    """Which faces lie in that half of the image; all without a side."""
    on_left = faces.centre_xy[:, 0] < middle_px
    return np.ones(len(faces), bool) if side is None else on_left if side == "left" else ~on_left


@dataclass(frozen=True)
class _Continuity:
    """Which faces may be the person last seen."""

    jump_widths: float
    jump_s: float
    reacquire_s: float
    side: Side | None
    middle_px: float

    def eligible(self, faces: Detections, distance_widths: Floats, gap_s: float, refused: bool) -> Flags:
        near = distance_widths <= self.jump_widths
        waited = gap_s > (self.reacquire_s - TIME_TOLERANCE_S if refused else self.jump_s + TIME_TOLERANCE_S)
        return near | _in_half(faces, self.side, self.middle_px) if waited else near


def _follow(
    detections: Sequence[Detections],
    time_s: Floats,
    chosen: Integers,
    last: int,
    frames: Iterable[int],
    rule: _Continuity,
) -> None:
    """Fill `chosen` along the frames, forwards or backwards, from the frame `last`."""
    refused = False
    for frame in frames:
        faces = detections[frame]
        if not len(faces):
            continue
        centre, width_px = detections[last].centre_xy[chosen[last]], detections[last].width_px[chosen[last]]
        distance_widths = np.linalg.norm(faces.centre_xy - centre, axis=1) / max(float(width_px), 1.0)
        gap_s = abs(float(time_s[frame] - time_s[last]))
        eligible = rule.eligible(faces, distance_widths, gap_s, refused)
        refused = not eligible.any()
        if not refused:
            chosen[frame] = int(np.argmin(np.where(eligible, distance_widths, np.inf)))
            last = frame


def _track(detections: Sequence[Detections], chosen: Integers) -> Track:
    box_xyxy = np.full((len(chosen), 4), np.nan, np.float32)
    score = np.full(len(chosen), np.nan, np.float32)
    for frame in np.flatnonzero(chosen >= 0):
        box_xyxy[frame] = detections[frame].box_xyxy[chosen[frame]]
        score[frame] = detections[frame].score[chosen[frame]]
    return Track(box_xyxy, score, chosen >= 0)
