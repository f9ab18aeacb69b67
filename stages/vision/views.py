"""What a static model is shown at a step of a track: the face, the whole frame, or the person around it.

Faces are the crops of the stage faces. Frames and persons are cut from the decoded frames; no body
detector is used: a person's place follows from the face (see `person_boxes`).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from stages.core.arrays import Floats, Integers
from stages.vision.backbones import Input

SQUARE_MARGIN = 0.1
"""What a square around a face adds to the side of one of the same area as the face's box. BlazeFace's boxes
are square and begin at the brow, CenterFace's and RetinaFace's are high and begin at the hair line: on
pictures of FER+ both have .77 of the picture's area, and both end at its lower edge."""
ABOVE_FACES, SIDE_FACES = 0.5, 5.0
"""Heights of the face's box: from its top up to the person's, and the side of the person's."""


class View(NamedTuple):
    """Which picture stands for every step of a track, and what part of it is shown."""

    picture: Integers
    """(T,) index of the crop (faces) or of the frame; -1 is a black image."""
    box_xyxy: Floats | None
    """(T, 4) pixels of that picture, clipped to it when cut; None: all of it."""
    antialias: bool = False
    """Whether it is averaged over areas where it shrinks; see `crops.letterbox`."""


def view_of(shown: Input, track: Mapping[str, Any]) -> View:
    """The view of every step of one track.

    Where the face is missing, the last face, or the last picture of the person, stands for it, and a black
    image before the first; a whole frame is always its own.

    Args:
        shown: what the model takes.
        track: box_xyxy, detected, crop_index as the stage faces writes them.
    """
    crop_index: Integers = track["crop_index"]
    if shown == "face":
        return View(crop_index, None)
    if shown == "square":
        boxes = face_squares(track["box_xyxy"])
        seen = np.flatnonzero(track["detected"])
        frame = np.append(seen, -1)[crop_index]
        return View(frame, boxes[frame], antialias=True)
    if shown == "frame":
        return View(np.arange(len(crop_index)), None)
    seen = np.flatnonzero(track["detected"])
    frame = np.append(seen, -1)[crop_index]
    return View(frame, person_boxes(track["box_xyxy"])[frame])


def face_squares(face_xyxy: Floats) -> Floats:
    """Squares around faces, the brow and the chin included, as published collections of faces are cut.

    They rest on the lower edge of the face's box, the chin.

    Shape: (T, 4) -> (T, 4) pixels, beyond the picture's edges too; NaN where the face is missing.

    >>> face_squares(np.array([[40.0, 50.0, 60.0, 70.0]])).tolist()
    [[39.0, 48.0, 61.0, 70.0]]
    """
    left, top, right, bottom = np.asarray(face_xyxy, float).T
    side = (1 + SQUARE_MARGIN) * np.sqrt((right - left) * (bottom - top))
    x = (left + right) / 2
    return np.stack([x - side / 2, bottom - side, x + side / 2, bottom], axis=1)


def person_boxes(face_xyxy: Floats) -> Floats:
    """Squares that hold a person from above the head to the hips, judged by the face alone.

    Shape: (T, 4) -> (T, 4) pixels, beyond the picture's edges too; NaN where the face is missing.

    The square's side is five times the height of the face's box (the brow to the chin), its middle is the
    face's, and its top is half a face higher. An upright body's hips are some four faces below the brow.

    >>> person_boxes(np.array([[40.0, 50.0, 56.0, 70.0]])).tolist()
    [[-2.0, 40.0, 98.0, 140.0]]
    """
    left, top, right, bottom = np.asarray(face_xyxy, float).T
    height = bottom - top
    middle, half = (left + right) / 2, SIDE_FACES * height / 2
    upper = top - ABOVE_FACES * height
    return np.stack([middle - half, upper, middle + half, upper + 2 * half], axis=1)
