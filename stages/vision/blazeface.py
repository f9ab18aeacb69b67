"""BlazeFace through MediaPipe: a light face detector whose weights come with the wheel.

Bazarevsky et al., *BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs*, 2019. Not the paper's
detector: no download, five to ten times faster, meant for frontal faces. One network is for faces within
2 m of the camera, one for those within 5 m.
"""

import os
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

import numpy as np

from stages.core.arrays import Floats, Image
from stages.engine.lazy_imports import slim_mediapipe
from stages.engine.native_stderr import quiet_native_stderr
from stages.vision.detection import Detections, require_images

Range = Literal["short", "full"]
OVERLAP = 0.3
"""Greatest intersection over union of two faces, as in MediaPipe's own graphs."""
FAR_LEAST = 0.65
"""Least score of the far range beside the near one: titles and dark footage without any face gave up to 0.62,
faces of 30 px up to 0.77."""
MODEL_SELECTION: dict[Range, int] = {"short": 0, "full": 1}


class BlazeFace:
    """A face detector on MediaPipe. Cheap to make and to pickle: the graph starts at the first image.

    A graph holds threads, which a forked or pickled copy would lack; so each process has its own, shared by
    all its detectors of the same range.

    Args:
        model_selection: `short` for faces within 2 m of the camera, `full` for those within 5 m.
        threshold: least score of a face. MediaPipe 0.10.21 ignores the least confidence it is given, and
            keeps what its graphs have built in (about 0.5); so it is applied here, and can only be higher.
    """

    def __init__(self, model_selection: Range = "short", threshold: float = 0.5) -> None:
        if model_selection not in MODEL_SELECTION:
            raise ValueError(f"model_selection is {model_selection!r}; wanted 'short' or 'full'")
        if not 0 < threshold < 1:
            raise ValueError(f"threshold is {threshold}; wanted 0 < threshold < 1")
        self.model_selection, self.threshold = model_selection, threshold

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Find the faces of each image, in order. No landmarks: BlazeFace has no corners of the mouth.

        Shape: each image (H, W, 3) uint8, RGB.
        """
        require_images(images)
        graph = _graph(os.getpid(), self.model_selection)
        return [graph.detect(image, self.threshold) for image in images]


class BothRanges:
    """The faces that BlazeFace finds near or far; of boxes that overlap, the more confident.

    The near range gives faces in wide pictures too large a box and misses those under a tenth of the picture;
    the far range misses covered and very close ones.

    Args:
        threshold: see `BlazeFace`; of the far range at least FAR_LEAST.
    """

    def __init__(self, threshold: float = 0.5) -> None:
        self.ranges = [BlazeFace("short", threshold), BlazeFace("full", max(threshold, FAR_LEAST))]

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Find the faces of each image, in order. Shape: each image (H, W, 3) uint8, RGB."""
        return [
            _merged(near, far) for near, far in zip(*(one.detect(images) for one in self.ranges), strict=True)
        ]


def _merged(near: Detections, far: Detections) -> Detections:
    if not len(near) or not len(far):
        return near if len(near) else far
    from cv2.dnn import NMSBoxes

    box = np.concatenate([near.box_xyxy, far.box_xyxy])
    score = np.concatenate([near.score, far.score])
    corner_and_size = np.concatenate([box[:, :2], box[:, 2:] - box[:, :2]], axis=1)
    kept = np.asarray(NMSBoxes(corner_and_size.tolist(), score.tolist(), 0.0, OVERLAP), int).ravel()
    return Detections(box[kept], score[kept])


class _Graph:
    """One running MediaPipe graph."""

    def __init__(self, model_selection: Range) -> None:
        with slim_mediapipe():
            from mediapipe.python.solutions.face_detection import FaceDetection

        with quiet_native_stderr():
            self.solution: Any = FaceDetection(model_selection=MODEL_SELECTION[model_selection])
            # The graph starts in threads of its own and announces itself from there: wait for it.
            self.solution.process(np.zeros((64, 64, 3), np.uint8))

    def detect(self, image: Image, threshold: float) -> Detections:
        found = self.solution.process(np.ascontiguousarray(image)).detections or []
        score = np.array([face.score[0] for face in found], np.float32)
        order = np.argsort(-score, kind="stable")
        order = order[score[order] >= threshold]
        return Detections(_boxes_px(found, *image.shape[:2])[order], score[order])


@cache
def _graph(_process: int, model_selection: Range) -> _Graph:
    return _Graph(model_selection)


def _boxes_px(found: Sequence[Any], height: int, width: int) -> Floats:
    """MediaPipe's relative corner and size to pixels: (F, 4), left, top, right, bottom."""
    relative = [face.location_data.relative_bounding_box for face in found]
    corner = np.array([(box.xmin, box.ymin) for box in relative], np.float32).reshape(-1, 2)
    size = np.array([(box.width, box.height) for box in relative], np.float32).reshape(-1, 2)
    boxes = np.concatenate([corner, corner + size], axis=1) * np.array([width, height] * 2, np.float32)
    return np.asarray(boxes, np.float32)
