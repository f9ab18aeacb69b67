"""Pictures as video codecs take them: brightness, and colours at half the size (Y'CbCr 4:2:0).

The matrix is that of BT.601, values are from 16 to 235 or 240, as OpenCV converts them and FFmpeg by default.
"""

from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple

import cv2
import numpy as np

from stages.core.arrays import Image
from stages.media.canvas import Canvas
from stages.media.colour import range_of

FORMAT = "yuv420p"
"""FFmpeg's name."""
_MATRICES = {2, 5, 6}  # of H.273: not stated, which FFmpeg takes for BT.601; both of BT.601
_RANGES = {0, 1}  # of FFmpeg: not stated; limited


class Planes(NamedTuple):
    """A picture, or some rows of one: y (H, W), u and v (H / 2, W / 2) uint8."""

    y: Image
    u: Image
    v: Image

    def rows(self, first: int, end: int) -> "Planes":
        """Some rows, seen in place; both numbers are even."""
        return Planes(self.y[first:end], self.u[first // 2 : end // 2], self.v[first // 2 : end // 2])

    def put(self, other: "Planes") -> None:
        """Take over another picture of the same size."""
        for own, new in zip(self, other, strict=True):
            own[:] = new

    def draw(self, image: Image) -> None:
        """Take over an RGB picture. Shape: (H, W, 3)."""
        self.put(planes_in(cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420)))


def planes_in(whole: Image) -> Planes:
    """The planes of an array that holds one after the other. Shape: (3 H / 2, W), H and W even."""
    height, width = 2 * whole.shape[0] // 3, whole.shape[1]
    y, rest = whole[:height], whole[height:].reshape(2, height // 2, width // 2)
    return Planes(y, rest[0], rest[1])


@cache
def in_planes(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    """Y, u, v of an RGB colour."""
    y, u, v = planes_in(cv2.cvtColor(np.full((2, 2, 3), colour, np.uint8), cv2.COLOR_RGB2YUV_I420))
    return int(y[0, 0]), int(u[0, 0]), int(v[0, 0])


def planes_of(frame: Any, canvas: Canvas, aspect: Fraction) -> Planes | None:
    """The planes of a decoded frame as they lie, where the canvas would draw the same; else None.

    Args:
        frame: from the decoder.
        canvas: of the video.
        aspect: of the frame's pixels.
    """
    as_it_is = (frame.width, frame.height) == canvas.coded == canvas.size and aspect == canvas.aspect
    if not as_it_is or canvas.matrix is not None or frame.format.name != FORMAT or range_of(frame) != "SDR":
        return None
    if int(frame.colorspace) not in _MATRICES or int(frame.color_range) not in _RANGES:
        return None
    if frame.interlaced_frame:
        return None
    if min(plane.line_size for plane in frame.planes) <= 0:  # stored from the bottom up
        return None
    lines = [np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size) for plane in frame.planes]
    planes = zip(lines, frame.planes, strict=True)
    return Planes(*(line[: plane.height, : plane.width] for line, plane in planes))
