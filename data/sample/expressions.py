"""Facial expression as a smooth warp of the portrait: brows, eyes, mouth corners, jaw.

For every output pixel the warp says where to look in the portrait (inverse mapping). All but the
mouth is a sum of fixed displacement fields times coefficients; the mouth has a seam, so it is told
separately: the lips part along a curve, the chin follows the lower lip, the gap shows the mouth's inside.
"""

import cv2
import numpy as np

from data.sample.portrait import (
    FACE_CENTRE,
    LEFT,
    MOUTH_DEPTH_PX,
    POINTS,
    RIGHT,
    TOP,
    Portrait,
    lip_curves,
)
from stages.core.arrays import Floats, Image

Bump = tuple[str, float, float, float, float]
"""A point, how far the skin there moves at coefficient 1 (right, down), how far around it (x, y); pixels."""

FIELDS: dict[str, tuple[Bump, ...]] = {
    "smile": (
        ("mouth_left", -2.8, -5.4, 10.0, 9.5),
        ("mouth_right", 2.8, -5.4, 10.0, 9.5),
        ("cheek_left", 0.0, -1.6, 11.0, 9.0),
        ("cheek_right", 0.0, -1.6, 11.0, 9.0),
    ),
    "frown": (
        ("brow_left_inner", 2.0, 3.0, 9.0, 5.5),
        ("brow_right_inner", -2.0, 3.0, 9.0, 5.5),
        ("brow_left_outer", 0.0, -1.6, 8.0, 6.0),
        ("brow_right_outer", 0.0, -1.6, 8.0, 6.0),
    ),
    "brow_raise": (
        ("brow_left", 0.0, -4.0, 15.0, 6.5),
        ("brow_right", 0.0, -4.0, 15.0, 6.5),
    ),
    "eyes_open": (
        ("lid_left_upper", 0.0, -1.9, 8.5, 4.0),
        ("lid_right_upper", 0.0, -1.9, 8.5, 4.0),
        ("lid_left_lower", 0.0, 0.9, 8.5, 4.0),
        ("lid_right_lower", 0.0, 0.9, 8.5, 4.0),
    ),
    "blink": (
        ("eye_left", 0.0, 5.5, 9.0, 4.6),
        ("eye_right", 0.0, 5.5, 9.0, 4.6),
    ),
}
PORTRAIT_SMILE = 0.7
"""She smiles: this much of the smile field is in the picture already."""

JAW_DROP_PX = 13.0
UPPER_LIP_SHARE = 0.18
"""Part of the opening that the upper lip makes; the jaw does the rest."""

_FACE = (slice(68, 212), slice(168, 280))  # rows, columns of the portrait that expression touches


def coefficients(valence_arousal: Floats, blink: Floats) -> Floats:
    """Feelings to muscles. Shape: (N, 2), (N,) -> (N, 5), columns in the order of FIELDS."""
    valence, arousal = valence_arousal.T
    return np.stack([valence - PORTRAIT_SMILE, -0.8 * valence, 0.9 * arousal, arousal, blink], axis=1)


class ExpressionRig:
    """A head texture that can be asked for any expression.

    Args:
        portrait: the cut-out head.
        colour: its colours as this person has them, (H, W, 3) float32.
        scale: output pixels per portrait pixel.
    """

    def __init__(self, portrait: Portrait, colour: Floats, scale: float) -> None:
        self._scale = scale
        premultiplied = np.dstack([colour * portrait.matte[..., None], portrait.matte * 255])
        self._rest = _enlarge(premultiplied, scale)
        self._texture = np.vstack([self._rest, _enlarge(np.dstack([portrait.mouth, _opaque()]), scale)])
        self._rows, self._columns = (
            slice(round((span.start - origin) * scale), round((span.stop - origin) * scale))
            for span, origin in zip(_FACE, (TOP, LEFT), strict=True)
        )
        shape = (self._rows.stop - self._rows.start, self._columns.stop - self._columns.start)
        y, x = np.indices(shape, dtype=np.float32)
        self._x = (x + self._columns.start + 0.5) / scale - 0.5 + LEFT
        self._y = (y + self._rows.start + 0.5) / scale - 0.5 + TOP
        self._fields = np.stack([_field(bumps, self._x, self._y) for bumps in FIELDS.values()])

    @property
    def canvas_px(self) -> tuple[int, int]:
        """Width, height of the head canvas."""
        return self._rest.shape[1], self._rest.shape[0]

    def __call__(self, muscles: Floats, jaw: float) -> Image:
        """The head with this expression: premultiplied RGBA, (H * scale, W * scale, 4).

        Args:
            muscles: one coefficient per field of FIELDS, (5,).
            jaw: 0 closed to 1 wide open.
        """
        dx, dy = np.tensordot(muscles.astype(np.float32), self._fields, axes=1)
        x, y = self._x - dx, self._y - dy
        first = np.searchsorted(self._y[:, 0], 118.0)  # nothing above the upper lip follows the jaw
        y[first:] = self._mouth(x[first:], y[first:], jaw * JAW_DROP_PX)
        image = self._rest.copy()
        image[self._rows, self._columns] = cv2.remap(
            self._texture,
            (x - LEFT + 0.5) * self._scale - 0.5,
            (y - TOP + 0.5) * self._scale - 0.5,
            cv2.INTER_LINEAR,
        )
        return image

    def _mouth(self, x: Floats, y: Floats, drop_px: float) -> Floats:
        """Rows of the texture to show at (x, y) when the jaw has dropped by drop_px. Shape: (H, W)."""
        upper, gap = _lips(x)
        middle = FACE_CENTRE[0] - 1.0
        seam = upper + 0.35 * gap  # where the lips of the closed mouth meet
        profile = np.maximum(1 - ((x - middle) / 21.0) ** 2, 0) ** 0.7
        raised, lowered = UPPER_LIP_SHARE * drop_px * profile, (1 - UPPER_LIP_SHARE) * drop_px * profile
        above, below = y - seam + raised, y - seam - lowered  # distance from the edges of the open lips

        up = y + raised * _fade(above / 5.7) - 0.35 * gap * _fade(above / 4.3)
        chin = _fade((x - middle) / 21) * (1 - UPPER_LIP_SHARE) * drop_px
        follows = _smoothstep(below / 14)
        jaw = ((1 - follows) * lowered + follows * chin) * (1 - _smoothstep((y - 178 - drop_px) / 26))
        down = y - jaw + 0.65 * gap * _fade(below / 10)
        inside = self._rest.shape[0] / self._scale + TOP + np.clip(above, 0, MOUTH_DEPTH_PX - 1.5)
        return np.where(above < 0, up, np.where(below < 0, inside, down)).astype(np.float32)


def _field(bumps: tuple[Bump, ...], x: Floats, y: Floats) -> Floats:
    """Sum of Gaussian bumps. Shape: (2, H, W): shift x, shift y."""
    field = np.zeros((2, *x.shape), dtype=np.float32)
    for name, shift_x, shift_y, reach_x, reach_y in bumps:
        centre_x, centre_y = POINTS[name]
        weight = np.exp(-(((x - centre_x) / reach_x) ** 2 + ((y - centre_y) / reach_y) ** 2) / 2)
        field += np.array([shift_x, shift_y], np.float32)[:, None, None] * weight
    return field


_LIP_STEP_PX = 0.125
_LIP_TABLE = np.stack(lip_curves(np.arange(150, 300, _LIP_STEP_PX))).astype(np.float32)


def _lips(x: Floats) -> tuple[Floats, Floats]:
    """lip_curves by table look-up, as it is asked at thousands of points per frame."""
    index = np.clip((x - 150) / _LIP_STEP_PX, 0, _LIP_TABLE.shape[1] - 1).astype(np.int32)
    return _LIP_TABLE[0][index], _LIP_TABLE[1][index]


def _fade(t: Floats) -> Floats:
    """1 at 0, falling smoothly to 0 at 2: much like exp(-t²/2), at a third of its price."""
    return np.asarray(np.maximum(1 - 0.25 * t * t, 0) ** 2)


def _smoothstep(t: Floats) -> Floats:
    t = np.clip(t, 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def _opaque() -> Floats:
    return np.full((MOUTH_DEPTH_PX, RIGHT - LEFT), 255, dtype=np.float32)


def _enlarge(image: Floats, scale: float) -> Image:
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    larger = cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(larger, 0, 255), dtype=np.uint8)
