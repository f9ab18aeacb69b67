"""CenterFace through OpenVINO: small and turned faces too, on a processor; its weights come with a package.

Xu et al., *CenterFace: Joint Face Detection and Alignment Using Face as Point*, 2020. Not the paper's
detector, and without anchors: one map says where the middle of a face is, others how large it is, where
within its cell the middle lies, and where eyes, nose and mouth are. docs/real-people.md has what it finds
and misses.

The network has free height and width here; every image is brought to LONG_SIDE_PX, so that a frame costs the
same whatever the video's size.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.arrays import Floats, Image
from stages.inference.runtime import openvino_core, requests_of_threads
from stages.vision.blazeface import BlazeFace
from stages.vision.detection import Detections, require_images

LONG_SIDE_PX = 640
"""Of the image that is searched. Faces of 20 px there were found, one of 10 px was not."""
STRIDE = 4
"""Pixels of the searched image in a cell of the maps."""
MULTIPLE = 32
"""Height and width that the network can halve five times."""
HEAT, SIZE, OFFSET, LANDMARKS = "537", "538", "539", "540"
"""The maps, by their names in the published file: (1, 1 | 2 | 2 | 10, H / 4, W / 4)."""

Maps = Callable[[Image], dict[str, Floats]]


class CenterFace:
    """A face detector on OpenVINO. Cheap to make; the network is read and compiled at the first image.

    Args:
        weights: `centerface.onnx`, verified.
        threshold: least score of a face.
        overlap: boxes whose intersection over union exceeds this are one face.
    """

    def __init__(self, weights: Path, threshold: float = 0.5, overlap: float = 0.4) -> None:
        if not 0 < threshold < 1 or not 0 < overlap <= 1:
            raise ValueError(
                f"threshold {threshold}, overlap {overlap}: wanted 0 < threshold < 1 and 0 < overlap <= 1"
            )
        self.weights, self.threshold, self.overlap = weights, threshold, overlap

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Find the faces of each image, in order; every thread takes one.

        Shape: each image (H, W, 3) uint8, RGB.
        """
        require_images(images)
        maps = self._maps  # made here: threads would each make one
        return list(self._pool.map(lambda image: self._detect(image, maps), images))

    def _detect(self, image: Image, maps: Maps) -> Detections:
        import cv2

        height, width = image.shape[:2]
        searched = [_multiple(side * LONG_SIDE_PX / max(height, width)) for side in (height, width)]
        shrinks = searched[0] < height
        small = cv2.resize(
            np.ascontiguousarray(image),
            (searched[1], searched[0]),
            interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
        )
        found = faces_of_maps(maps(small), self.threshold, self.overlap)
        scale = np.array([width / searched[1], height / searched[0]], np.float32)
        box = (found.box_xyxy.reshape(-1, 2, 2) * scale).reshape(-1, 4)
        return Detections(
            box, found.score, None if found.landmarks_xy is None else found.landmarks_xy * scale
        )

    @cached_property
    def _threads(self) -> int:
        return int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._threads)

    @cached_property
    def _maps(self) -> Maps:
        return compile_centerface(self.weights, self._threads)


def compile_centerface(weights: Path, threads: int) -> Maps:
    """The network as a function that several threads may call at once.

    Shape: (H, W, 3) uint8 RGB, H and W multiples of 32 -> the maps of `faces_of_maps`.

    Args:
        weights: `centerface.onnx`.
        threads: how many will call it at a time; each call runs on one.
    """
    import openvino
    from openvino.preprocess import PrePostProcessor

    network = openvino_core().read_model(weights)
    network.reshape([1, 3, -1, -1])
    graph = PrePostProcessor(network)
    given = graph.input()
    given.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    given.model().set_layout(openvino.Layout("NCHW"))
    given.preprocess().convert_element_type(openvino.Type.f32)
    request = requests_of_threads(graph.build(), threads)

    def maps(image: Image) -> dict[str, Floats]:
        answers = request().infer({0: image[None]}, share_inputs=True)
        return {name: answers[name][0] for name in (HEAT, SIZE, OFFSET, LANDMARKS)}

    return maps


class CenterFaceOrBlazeFace:
    """CenterFace, and BlazeFace's near range for the images in which it finds no face.

    These are close faces that are covered or cut off, faces upside down, drawings, animals: all doubtful, so
    that their score is at most `threshold`, however sure BlazeFace is.

    Args:
        weights, threshold, overlap: see `CenterFace`; `threshold` is that of both.
    """

    def __init__(self, weights: Path, threshold: float = 0.5, overlap: float = 0.4) -> None:
        self.first, self.second = CenterFace(weights, threshold, overlap), BlazeFace("short", threshold)

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Find the faces of each image, in order. Shape: each image (H, W, 3) uint8, RGB."""
        found = self.first.detect(images)
        empty = [i for i, faces in enumerate(found) if not len(faces)]
        for i, faces in zip(empty, self.second.detect([images[i] for i in empty]), strict=True):
            found[i] = replace(faces, score=np.minimum(faces.score, np.float32(self.first.threshold)))
        return found


def faces_of_maps(maps: dict[str, Floats], threshold: float, overlap: float) -> Detections:
    """The faces that the network's maps show, in pixels of the image that it saw.

    Shape: each map (C, H / 4, W / 4).

    Args:
        maps: by name: HEAT; SIZE, the logarithm of height and width in cells; OFFSET of the middle within
            its cell, down and to the right; LANDMARKS, down and to the right, in heights and widths of the
            box from its corner.
        threshold: least heat of a face.
        overlap: greatest intersection over union of two faces.
    """
    heat = maps[HEAT][0]
    row, column = np.nonzero(heat >= threshold)
    score = heat[row, column].astype(np.float32)
    order = np.argsort(-score, kind="stable")
    row, column, score = row[order], column[order], score[order]
    high, wide = STRIDE * np.exp(maps[SIZE][:, row, column])
    down, right = maps[OFFSET][:, row, column]
    top = STRIDE * (row + down + 0.5) - high / 2
    left = STRIDE * (column + right + 0.5) - wide / 2
    box = np.stack([left, top, left + wide, top + high], axis=1).astype(np.float32).reshape(-1, 4)
    points = maps[LANDMARKS][:, row, column].reshape(5, 2, -1)
    x, y = left + wide * points[:, 1], top + high * points[:, 0]
    landmarks = np.stack([x, y], axis=2).transpose(1, 0, 2).astype(np.float32)
    kept = _apart(box, score, overlap)
    return Detections(box[kept], score[kept], landmarks[kept])


def _apart(box_xyxy: Floats, score: Floats, overlap: float) -> Any:
    """Positions of the boxes that stay, in order."""
    from cv2.dnn import NMSBoxes

    corner_and_size = np.concatenate([box_xyxy[:, :2], box_xyxy[:, 2:] - box_xyxy[:, :2]], axis=1)
    kept = NMSBoxes(corner_and_size.tolist(), score.tolist(), 0.0, overlap)
    return np.sort(np.asarray(kept, int).ravel())


def _multiple(side_px: float) -> int:
    return max(MULTIPLE, round(side_px / MULTIPLE) * MULTIPLE)
