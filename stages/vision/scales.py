"""Faces of every size: the frame itself, a small copy for close faces, an enlarged one for far faces.

A detector with anchors finds faces within a range of sizes. RetinaFace's largest anchor is 512 px: of a face
over some 600 px it finds several parts, each with a score over 0.9; its smallest is 16 px.

1. Search the frame as it is. What is found there is the result for all ordinary faces, unchanged.
2. Search a small copy of a large frame. A face that is close there is searched once more, in its own
   surroundings, at the size the detector is best at; this box replaces the parts found in step 1.
3. Search a small frame in which no face was found once more at twice its size.

Measured on the six face clips of the tests, enlarged 1.5 to 4 times: one box per face, where the frame alone
gives up to six. A copy of 320 px adds 3 % of the pixels of a 1080p frame.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from stages.core.arrays import Flags, Floats, Image, Integers
from stages.vision.detection import Detections

Search = Callable[[Sequence[Image]], list[Detections]]
Scales = Literal["many", "native"]

COPY_PX = 320
"""Longer side of the small copy."""
COPY_FROM_PX = 640
"""Longer side of a frame from which a face can be too close: smaller frames hold no face over 560 px."""
CLOSE_PX = 560
"""Longer side of a face from which the frame alone isn't trusted."""
FULL_HD_PX = 1920
CLOSE_BEYOND_FULL_HD_PX = 300
"""The same in frames larger than 1080p: there a face gets the box it has in the same video at 1080p."""
BEST_PX = 330
"""Longer side of a close face in the copy that its box comes from."""
SAME_FACE = 0.6
"""Intersection over union from which the frame's box and the small copy's are one face."""
LEAST_OVERLAP = 0.3
"""The same for the small copy's box, whose edges are coarse, and the one searched closer."""
PART_OF_FACE = 0.6
"""Share of a box that lies in a larger face, from which it is a part of that face."""
PARTS_FROM_PX = 300
"""Longer side of a face that can show parts of itself as faces."""
ENLARGE_UP_TO_PX = 1280
"""Longer side of a frame that may be enlarged: twice 1080p would cost a second a frame."""
FAR_PX = 24
"""Longer side of a face found in an enlarged frame; larger ones the frame itself would have shown."""


def search_at_scales(search: Search, images: Sequence[Image]) -> list[Detections]:
    """The faces of each image, one box per face from 12 px to one that fills a 4K frame.

    Args:
        search: the detector at one scale; images of any sizes.
        images: each (H, W, 3) uint8 RGB.
    """
    found = search(images)
    _replace_close(search, images, found)
    _add_far(search, images, found)
    return found


def _replace_close(search: Search, images: Sequence[Image], found: list[Detections]) -> None:
    large = [i for i, image in enumerate(images) if max(image.shape) > COPY_FROM_PX]
    if not large:
        return
    copies = [_resized(images[i], COPY_PX / max(images[i].shape)) for i in large]
    views: list[tuple[int, _View]] = []
    for i, copy, small in zip(large, copies, search(copies), strict=True):
        faces = _moved(small, _factor(images[i], copy))
        views += [(i, _View(images[i], _some(faces, [k]))) for k in _doubtful(faces, found[i], images[i])]
    closer: dict[int, list[Detections]] = defaultdict(list)
    seen = search([view.image for _, view in views]) if views else []
    for (i, view), faces in zip(views, seen, strict=True):
        closer[i].append(view.face_in(faces))
    for i in large:
        found[i] = merged(found[i], closer[i])


def _add_far(search: Search, images: Sequence[Image], found: list[Detections]) -> None:
    empty = [
        i for i, faces in enumerate(found) if not len(faces) and max(images[i].shape) <= ENLARGE_UP_TO_PX
    ]
    if not empty:
        return
    for i, faces in zip(empty, search([_resized(images[i], 2.0) for i in empty]), strict=True):
        far = np.flatnonzero(_long_side(faces.box_xyxy) <= 2 * FAR_PX)
        found[i] = _moved(_some(faces, far), np.full(2, 0.5, np.float32))


def merged(faces: Detections, close: Sequence[Detections]) -> Detections:
    """One image's faces, those that were searched closer instead of what the frame showed of them.

    What lies mostly in a close face, or in a larger box of at least 300 px, is a part of that face. All other
    boxes keep their values to the last bit.

    Args:
        faces: of the frame itself.
        close: one face each; of two that overlap the more confident stays.
    """
    kept: list[Detections] = []
    for face in sorted(close, key=lambda face: -float(face.score[0])):
        if all(_overlap(face.box_xyxy[0], one.box_xyxy)[0] <= SAME_FACE for one in kept):
            kept.append(face)
    whole = _whole_faces(faces, kept)
    own = faces if whole.all() else _some(faces, np.flatnonzero(whole))
    if not kept:
        return own
    parts = [own, *kept]
    score = np.concatenate([part.score for part in parts])
    order = np.argsort(-score, kind="stable")
    landmarks = [part.landmarks_xy for part in parts if part.landmarks_xy is not None]
    return Detections(
        np.concatenate([part.box_xyxy for part in parts])[order],
        score[order],
        np.concatenate(landmarks)[order] if len(landmarks) == len(parts) else None,
    )


def _whole_faces(faces: Detections, close: Sequence[Detections]) -> Flags:
    """Which boxes are no part of a larger face."""
    keep = np.ones(len(faces), bool)
    for one in close:
        box = one.box_xyxy[0]
        keep &= np.maximum(_covered(box, faces.box_xyxy), _overlap(box, faces.box_xyxy)) < PART_OF_FACE
    sides = _long_side(faces.box_xyxy)
    for k in np.flatnonzero(keep & (sides >= PARTS_FROM_PX)):
        inside = _covered(faces.box_xyxy[k], faces.box_xyxy) >= PART_OF_FACE
        keep &= ~(inside & (sides < sides[k]))
    return keep


class _View:
    """A close face and its surroundings, at the size the detector is best at.

    Args:
        image: the frame.
        face: the face as the small copy shows it, in pixels of the frame.
    """

    def __init__(self, image: Image, face: Detections) -> None:
        box, side = face.box_xyxy[0], float(_long_side(face.box_xyxy)[0])
        low = np.maximum(np.floor(box[:2] - side), 0).astype(int)
        high = np.minimum(np.ceil(box[2:] + side), image.shape[1::-1]).astype(int)
        as_full_hd = FULL_HD_PX / max(image.shape)
        best = as_full_hd if as_full_hd < 1 and side * as_full_hd < CLOSE_PX else BEST_PX / side
        region = image[low[1] : high[1], low[0] : high[0]]
        self.face, self.image = face, _resized(region, best)
        self.corner, self.factor = low.astype(np.float32), _factor(region, self.image)

    def face_in(self, faces: Detections) -> Detections:
        """That face among those found here, in pixels of the frame; where it isn't, as the copy shows it."""
        here = _moved(faces, self.factor, self.corner)
        overlap = _overlap(self.face.box_xyxy[0], here.box_xyxy)
        if not len(here) or overlap.max() < LEAST_OVERLAP:
            return self.face
        return _some(here, [int(np.argmax(overlap))])


def _doubtful(copied: Detections, faces: Detections, image: Image) -> list[int]:
    """Which of the small copy's faces are close, and not seen in the frame itself as a smaller one."""
    close_px = CLOSE_BEYOND_FULL_HD_PX if max(image.shape) > FULL_HD_PX else CLOSE_PX
    trusted = faces.box_xyxy[_long_side(faces.box_xyxy) < close_px]
    close = np.flatnonzero(_long_side(copied.box_xyxy) >= close_px)
    return [k for k in close if not np.any(_overlap(copied.box_xyxy[k], trusted) >= SAME_FACE)]


def _resized(image: Image, factor: float) -> Image:
    import cv2

    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=way), np.uint8)


def _factor(image: Image, copy: Image) -> Floats:
    """The image's pixels per pixel of its copy, horizontally and vertically. -> (2,)."""
    return np.array([image.shape[1] / copy.shape[1], image.shape[0] / copy.shape[0]], np.float32)


def _long_side(box_xyxy: Floats) -> Floats:
    return np.asarray((box_xyxy[:, 2:] - box_xyxy[:, :2]).max(axis=1, initial=0.0))


def _shared(box_xyxy: Floats, others: Floats) -> Floats:
    sides = np.minimum(box_xyxy[2:], others[:, 2:]) - np.maximum(box_xyxy[:2], others[:, :2])
    return np.asarray(np.clip(sides, 0, None).prod(axis=1))


def _area(box_xyxy: Floats) -> Floats:
    return np.asarray((box_xyxy[..., 2:] - box_xyxy[..., :2]).prod(axis=-1))


def _overlap(box_xyxy: Floats, others: Floats) -> Floats:
    """Intersection over union. (4,), (F, 4) -> (F,)."""
    shared = _shared(box_xyxy, others)
    return np.asarray(shared / np.maximum(_area(box_xyxy) + _area(others) - shared, 1e-9))


def _covered(box_xyxy: Floats, others: Floats) -> Floats:
    """Share of each of the others that lies in the box. (4,), (F, 4) -> (F,)."""
    return np.asarray(_shared(box_xyxy, others) / np.maximum(_area(others), 1e-9))


def _some(faces: Detections, which: Integers | list[int]) -> Detections:
    landmarks = None if faces.landmarks_xy is None else faces.landmarks_xy[which]
    return Detections(faces.box_xyxy[which], faces.score[which], landmarks)


def _moved(faces: Detections, factor: Floats, corner: Floats | None = None) -> Detections:
    """Boxes and landmarks times a factor, plus a corner: from a copy's pixels to the image's."""
    shift = np.zeros(2, np.float32) if corner is None else corner
    landmarks = None if faces.landmarks_xy is None else faces.landmarks_xy * factor + shift
    return Detections(faces.box_xyxy * np.tile(factor, 2) + np.tile(shift, 2), faces.score, landmarks)
