"""Put a person into a picture: expression, head pose, clothes.

Expression (ExpressionRig), then face shape and head pose (PoseMap), laid over the wall, under the collar.
"""

import cv2
import numpy as np
from numpy.random import Generator

from data.sample.expressions import ExpressionRig
from data.sample.looks import Looks, colour_head, paint_clothes
from data.sample.portrait import FACE_WIDTH_PX, load_portrait
from data.sample.pose import PoseMap
from stages.core.arrays import Floats, Image


class Person:
    """Somebody at a fixed place in the picture.

    Args:
        looks: their appearance.
        neck: where the neck meets the collar, output pixels.
        frame_px: width, height of the picture.
        rng: for the cloth.
    """

    def __init__(
        self, looks: Looks, neck: tuple[float, float], frame_px: tuple[int, int], rng: Generator
    ) -> None:
        scale = looks.face_width_px / (FACE_WIDTH_PX * (1 + looks.width))
        portrait = load_portrait()
        self._express = ExpressionRig(portrait, colour_head(portrait, looks), scale)
        self._turn = PoseMap(looks, scale, self._express.canvas_px, portrait.matte)
        self._corner = (round(neck[0] - self._turn.neck[0]), round(neck[1] - self._turn.neck[1]))
        clothes = paint_clothes(rng, looks, *frame_px, neck)
        self._collar_top = int(np.argmax(clothes[..., 3].any(axis=1)))
        self._clothes = _split(clothes[self._collar_top :])

    def draw(self, picture: Image, muscles: Floats, jaw: float, pose: Floats, shift_px: int = 0) -> None:
        """Paint the person into `picture`, in place.

        Args:
            picture: (H, W, 3), RGB.
            muscles: see ExpressionRig.
            jaw: 0 closed to 1 wide open.
            pose: shift x, shift y, roll, yaw, pitch (see Performance).
            shift_px: the whole person to the right by this much.
        """
        warp_x, warp_y, right_px, down_px = self._turn(pose)
        head = cv2.remap(self._express(muscles, jaw), warp_x, warp_y, cv2.INTER_LINEAR)
        left, top = self._corner[0] + right_px + shift_px, self._corner[1] + down_px
        _paint(picture, *_split(head), left, top)
        _paint(picture, *self._clothes, shift_px, self._collar_top)


def _split(layer: Image) -> tuple[Image, Image]:
    """A premultiplied RGBA layer as its colour and the share of what is under it, both (H, W, 3)."""
    keep = cv2.bitwise_not(cv2.extractChannel(layer, 3))
    return cv2.cvtColor(layer, cv2.COLOR_RGBA2RGB), cv2.cvtColor(keep, cv2.COLOR_GRAY2RGB)


def _paint(picture: Image, colour: Image, keep: Image, left: int, top: int) -> None:
    """Lay a layer over the picture, in place, clipped to it."""
    rows = slice(max(top, 0), min(top + colour.shape[0], picture.shape[0]))
    columns = slice(max(left, 0), min(left + colour.shape[1], picture.shape[1]))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    inside = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    under = cv2.multiply(picture[rows, columns], keep[inside], scale=1 / 255)
    picture[rows, columns] = cv2.add(under, colour[inside])
