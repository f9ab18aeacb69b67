"""What every face detector takes and gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stages.core.arrays import Floats, Image

TILT_DEG = 75.0
"""Lean of a face that counts as 1: 30 degrees are then the most of an upright one, 90 like a profile."""


@dataclass(frozen=True)
class Detections:
    """The faces of one image, the most confident first.

    Args:
        box_xyxy: (F, 4) float32, left, top, right, bottom in pixels; may reach beyond the image.
        score: (F,) float32 in 0…1, descending.
        landmarks_xy: (F, 5, 2) float32 in pixels: the eyes, the nose, the corners of the mouth (those on
            the image's left first); None where the detector gives none.
    """

    box_xyxy: Floats
    score: Floats
    landmarks_xy: Floats | None = None

    def __post_init__(self) -> None:
        faces = len(self.score)
        if self.box_xyxy.shape != (faces, 4):
            raise ValueError(f"box_xyxy has shape {self.box_xyxy.shape}; {faces} scores need ({faces}, 4)")
        if self.landmarks_xy is not None and self.landmarks_xy.shape != (faces, 5, 2):
            raise ValueError(f"landmarks_xy has shape {self.landmarks_xy.shape}, not ({faces}, 5, 2)")

    def __len__(self) -> int:
        return len(self.score)

    @property
    def centre_xy(self) -> Floats:
        """(F, 2): the middle of every box in pixels."""
        return (self.box_xyxy[:, :2] + self.box_xyxy[:, 2:]) / 2

    @property
    def width_px(self) -> Floats:
        """(F,): the width of every box."""
        return self.box_xyxy[:, 2] - self.box_xyxy[:, 0]

    @property
    def turned(self) -> Floats:
        """(F,): how far a face is from upright and towards the camera; NaN: unknown.

        The larger of two measures: how far the nose lies beside the middle of the eyes, in distances of the
        eyes (a profile: 1 to 2), and how far the line from the eyes to the mouth leans from straight down, in
        TILT_DEG (lying: 1.2). Up to 0.4 for faces that are neither.
        """
        if self.landmarks_xy is None:
            return np.full(len(self), np.nan, np.float32)
        one, other, nose = (self.landmarks_xy[:, k] for k in range(3))
        apart = other - one
        distance = np.maximum(np.linalg.norm(apart, axis=1), 1e-6)
        along = ((nose - (one + other) / 2) * apart).sum(axis=1) / distance
        down = self.landmarks_xy[:, 3:].mean(axis=1) - (one + other) / 2
        leans = np.degrees(np.abs(np.arctan2(down[:, 0], down[:, 1]))) / TILT_DEG
        return np.asarray(np.maximum(np.abs(along) / distance, leans), np.float32)


def no_faces() -> Detections:
    """An image without faces."""
    return Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32))


class FaceDetector(Protocol):
    """Anything that finds faces."""

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Find the faces of each image, in order; sizes may differ within one call.

        Shape: each image (H, W, 3) uint8, RGB.
        """
        ...


def require_images(images: Sequence[Image]) -> None:
    """Refuse anything that is not an RGB image in 8 bits.

    Raises:
        ValueError: an image has another shape or type; the message has its position.
    """
    for i, image in enumerate(images):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise ValueError(
                f"image {i} has shape {image.shape} and type {image.dtype}; wanted (H, W, 3) uint8, RGB"
            )
