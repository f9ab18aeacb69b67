"""Head pose and face shape as one smooth warp of the head canvas.

Yaw and pitch move what is near (the nose) against what is far (the ears); roll turns about the base
of the neck; the person's own face shape rides along.
"""

import cv2
import numpy as np

from data.sample.looks import Looks, shape_field
from data.sample.portrait import FACE_CENTRE, LEFT, NECK_BASE, TOP
from stages.core.arrays import Floats

YAW_PX, PITCH_PX, ROLL_RAD = 5.0, 4.0, 0.07
"""How far the nose moves against the ears (portrait pixels), and how far the head tilts, at 1."""

MARGIN_PX = 32
"""Room left and right of and above the head canvas for the head to move in, output pixels."""

MAP_STEP_PX = 4
"""The warp is smooth: worked out at every fourth pixel, enlarged from there."""


class PoseMap:
    """Where to look in the head canvas, for any pose.

    Args:
        looks: whose head.
        scale: output pixels per portrait pixel.
        canvas_px: width, height of the head canvas, output pixels.
        matte: the portrait's.
    """

    def __init__(self, looks: Looks, scale: float, canvas_px: tuple[int, int], matte: Floats) -> None:
        width, height = canvas_px
        self.size = (width + 2 * MARGIN_PX, height + MARGIN_PX)
        self._looks, self._last_column = looks, width - 1
        self._pivot = (np.asarray(NECK_BASE) - (LEFT, TOP)) * scale
        x, y = (centre / scale for centre in _blocks(width, height))
        x, y = x + LEFT, y + TOP
        self._shape = shape_field(looks, x, y) * scale
        depth = np.exp(-(((x - FACE_CENTRE[0]) / 36) ** 2 + ((y - FACE_CENTRE[1] - 6) / 46) ** 2))
        self._nearness = (depth * scale).astype(np.float32)
        x, y = _blocks(*self.size)
        self._x, self._y = x - MARGIN_PX, y - MARGIN_PX
        left, top, across, down = cv2.boundingRect((matte > 0).astype(np.uint8))
        reach = 2 * MAP_STEP_PX + 2 * scale  # the warp's steps, and what enlarging adds around the head
        self._first = (left * scale - reach, top * scale - reach)
        self._last = ((left + across) * scale + reach, (top + down) * scale + reach)

    @property
    def neck(self) -> tuple[float, float]:
        """Base of the neck in the warped picture, output pixels."""
        x, y = self._pivot
        return (self._last_column - x if self._looks.mirrored else x) + MARGIN_PX, y + MARGIN_PX

    def __call__(self, pose: Floats) -> tuple[Floats, Floats, int, int]:
        """Where to look, for the part of the picture that shows the head.

        Args:
            pose: shift x, y in face widths, roll, yaw, pitch (see Performance). Shape: (5,).

        Returns:
            Columns and rows of the canvas, each (H, W) float32; how far right and down that part begins.
        """
        shift_x, shift_y, roll, yaw, pitch = pose.astype(np.float32)
        x = self._x - shift_x * self._looks.face_width_px
        y = self._y - shift_y * self._looks.face_width_px
        x, y = self._roll(self._last_column - x if self._looks.mirrored else x, y, roll)
        bend_x = self._shape[0] - yaw * YAW_PX * self._nearness
        bend_y = self._shape[1] - pitch * PITCH_PX * self._nearness
        coarse = (np.dstack([x, y]) + self._look_up(np.dstack([bend_x, bend_y]), x, y)).astype(np.float32)
        left, top, across, down = cv2.boundingRect(cv2.inRange(coarse, self._first, self._last))
        warp_x, warp_y = (
            cv2.resize(part, None, fx=MAP_STEP_PX, fy=MAP_STEP_PX, interpolation=cv2.INTER_LINEAR)
            for part in cv2.split(coarse[top : top + down, left : left + across])
        )
        return warp_x, warp_y, left * MAP_STEP_PX, top * MAP_STEP_PX

    def _roll(self, x: Floats, y: Floats, roll: float) -> tuple[Floats, Floats]:
        cosine, sine = np.cos(roll * ROLL_RAD), np.sin(roll * ROLL_RAD)
        x, y = x - self._pivot[0], y - self._pivot[1]
        return cosine * x + sine * y + self._pivot[0], cosine * y - sine * x + self._pivot[1]

    def _look_up(self, field: Floats, x: Floats, y: Floats) -> Floats:
        """A field known per block, at any place of the canvas; beyond its edges as at the edge."""
        column, row = ((v.astype(np.float32) - (MAP_STEP_PX - 1) / 2) / MAP_STEP_PX for v in (x, y))
        return np.asarray(cv2.remap(field, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def _blocks(width: int, height: int) -> tuple[Floats, Floats]:
    """Centres of the blocks that cover width × height pixels. Shape: two of (rows, columns)."""
    step = MAP_STEP_PX
    y, x = np.indices((-(-height // step), -(-width // step)), dtype=np.float32)
    return x * step + (step - 1) / 2, y * step + (step - 1) / 2
