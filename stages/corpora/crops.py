"""Crop the faces of the samples like the pipeline does: detected, with a margin."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from stages.core.arrays import Floats, Image
from stages.core.params import FacesParams
from stages.corpora.table import Sample
from stages.media.frames import decode_grid
from stages.media.jpeg import pack_jpegs, unpack_jpeg
from stages.media.limits import Limits
from stages.vision.crops import crop_face
from stages.vision.detection import Detections, FaceDetector
from stages.vision.tracks import Track, follow_target

LEAST_OVERLAP = 0.2
"""Least intersection over union of a detected and an annotated face; boxes differ in how much forehead they
include."""
LONGEST_LINE = 1 << 20
WHITE = 255
LARGEST_SIDE_PX = 512
"""Larger crops are scaled down: no static model takes more than 380."""

Crops = Iterator[tuple[int, Image]]
"""(index of the sample, its face (H, W, 3) RGB) of each sample that has a face."""


def video_crops(
    path: Path, samples: Sequence[Sample], frames_hz: float, detector: FaceDetector, settings: FacesParams
) -> Crops:
    """Faces of one video's samples: decoded and tracked as in the stages decode and faces.

    Memory: the JPEG bytes of these frames.

    Args:
        path: the video.
        samples: its samples.
        frames_hz: rate of the samples.
        detector: finds the faces.
        settings: tracking, margin, batch size and JPEG quality.

    Raises:
        BadInput: the video can't be read, or exceeds the default limits.
    """
    grid = decode_grid(path, frames_hz)
    waiting: list[Image] = []
    found: list[Detections] = []
    width_px = 0

    def frames() -> Iterator[Image]:
        nonlocal width_px
        for frame in grid:
            width_px = frame.image.shape[1]
            waiting.append(frame.image)
            if len(waiting) == settings.batch_size:
                found.extend(detector.detect(waiting))
                waiting.clear()
            yield frame.image

    jpeg, offset = pack_jpegs(frames(), settings.jpeg_quality, partial(Limits().check_jpegs, path))
    found += detector.detect(waiting) if waiting else []
    track = _follow(found, grid.time_s, width_px, settings)
    for number, sample in enumerate(samples):
        k = round((sample.time_s or 0.0) * frames_hz)
        if k < len(track.detected) and track.detected[k]:
            yield number, small(crop_face(unpack_jpeg(jpeg, offset, k), track.box_xyxy[k], settings.pad_px))


def _follow(found: list[Detections], time_s: Floats, width_px: int, settings: FacesParams) -> Track:
    return follow_target(
        found,
        time_s,
        width_px,
        jump_widths=settings.max_jump_widths,
        jump_s=settings.max_jump_s,
        reacquire_s=settings.reacquire_s,
    )


def picture_crops(
    paths: Mapping[str, Path], samples: Sequence[Sample], detector: FaceDetector, settings: FacesParams
) -> Crops:
    """Faces of pictures, one batch at a time; aligned faces are taken as they are.

    If the detector doesn't find an annotated face, the annotated box is cropped. A sample gives no face if
    the picture can't be read, or if no face is found in a person's box or in a picture without a box.

    Args:
        paths: source -> its file.
        samples: samples of pictures.
        detector: finds the faces.
        settings: margin and batch size.
    """
    for start in range(0, len(samples), settings.batch_size):
        batch = samples[start : start + settings.batch_size]
        pictures = [read_picture(paths[sample.source], sample.position) for sample in batch]
        scenes = [k for k, sample in enumerate(batch) if sample.region != "whole" and pictures[k] is not None]
        shown = [picture for k in scenes if (picture := pictures[k]) is not None]
        detected = detector.detect(shown) if shown else []
        faces = dict(zip(scenes, detected, strict=True))
        for k, (sample, picture) in enumerate(zip(batch, pictures, strict=True)):
            if picture is None:
                continue
            if sample.region == "whole":
                yield start + k, small(picture)
            elif (box := choose_face(faces[k], sample)) is not None:
                try:
                    yield start + k, small(crop_face(picture, box, settings.pad_px))
                except ValueError:  # the annotated box lies outside the picture
                    continue


def choose_face(faces: Detections, sample: Sample) -> Floats | None:
    """The box of the face that a sample annotates; None if there is no such face.

    Shape: -> (4,) left, top, right, bottom in pixels.
    """
    if sample.region == "any" or sample.box_xyxy is None:
        return faces.box_xyxy[0] if len(faces) else None
    box = np.array(sample.box_xyxy)
    if sample.region == "person":
        inside = ((faces.centre_xy >= box[:2]) & (faces.centre_xy <= box[2:])).all(axis=1)
        return faces.box_xyxy[np.argmax(inside)] if inside.any() else None
    overlap = _overlap(faces.box_xyxy, box)
    return faces.box_xyxy[np.argmax(overlap)] if len(faces) and overlap.max() > LEAST_OVERLAP else box


def _overlap(boxes: Floats, box: Floats) -> Floats:
    """Intersection over union of each box with one box. Shape: (N, 4), (4,) -> (N,)."""
    sides = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    both = np.clip(sides, 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    return np.asarray(both / (areas - both))


def read_picture(path: Path, position: int | None = None) -> Image | None:
    """Read a picture file, or a line of grey values; None if it can't be read.

    Shape: -> (H, W, 3) RGB.

    Args:
        path: the file.
        position: byte offset of the line, for a text file of grey values; None for a picture file.
    """
    if position is not None:
        return _read_line(path, position)
    data = np.fromfile(path, np.uint8)
    try:
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except cv2.error:  # more pixels than OpenCV takes (2^30)
        return None
    if bgr is None:
        return None
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def _read_line(path: Path, position: int) -> Image | None:
    with path.open("rb") as file:
        file.seek(position)
        fields = file.readline(LONGEST_LINE).decode("ascii", "replace").split(",")
    try:
        values = np.array([int(value) for value in max(fields, key=len).strip(' "').split()])
    except ValueError:
        return None
    side = round(len(values) ** 0.5)
    if side == 0 or side * side != len(values) or values.min() < 0 or values.max() > WHITE:
        return None
    return np.repeat(values.astype(np.uint8).reshape(side, side, 1), 3, axis=2)


def small(crop: Image) -> Image:
    """The crop, scaled down if its longer side exceeds LARGEST_SIDE_PX."""
    factor = LARGEST_SIDE_PX / max(crop.shape[:2])
    if factor >= 1:
        return crop
    size = max(1, round(crop.shape[1] * factor)), max(1, round(crop.shape[0] * factor))
    return np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), np.uint8)
