"""Facial expression as a smooth warp of the portrait: brows, eyes, mouth corners, jaw.

For every output pixel the warp says where to look in the portrait (inverse mapping). All but the
mouth is a sum of fixed displacement fields times coefficients; the mouth has a seam, so it is told
separately: the lips part along a curve, the chin follows the lower lip, the gap shows the mouth's inside.
But for the seam all of this is smooth: worked out at every other pixel, enlarged from there, then cut.
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

STEP_PX = 2
"""Output pixels from one place where the warp is worked out to the next."""

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
            slice(*(STEP_PX * round((end - origin) * scale / STEP_PX) for end in (span.start, span.stop)))
            for span, origin in zip(_FACE, (TOP, LEFT), strict=True)
        )
        self._own_x = np.arange(self._columns.start, self._columns.stop, dtype=np.float32)
        self._own_y = np.arange(self._rows.start, self._rows.stop, dtype=np.float32)[:, None]
        x, y = (own.ravel()[::STEP_PX] + STEP_PX / 2 for own in (self._own_x, self._own_y))  # of the blocks
        self._x, self._y = np.meshgrid(x / scale - 0.5 + LEFT, y / scale - 0.5 + TOP)
        self._fields = np.stack([_field(bumps, self._x, self._y) for bumps in FIELDS.values()])
        self._lips = int(np.searchsorted(self._y[:, 0], 118.0))  # nothing above the upper lip follows the jaw

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
        dx, dy = np.einsum("f,fchw->chw", muscles.astype(np.float32), self._fields)
        y = self._y - dy
        lips = slice(self._lips, None)
        above, below, y[lips], lower = self._mouth(self._x[lips] - dx[lips], y[lips], jaw * JAW_DROP_PX)
        warp_x = self._own_x - self._scale * _per_pixel(dx)
        warp_y = self._own_y + self._scale * _per_pixel(y - self._y)
        above, below, lower = (_per_pixel(values) for values in (above, below, lower - self._y[lips]))
        rows = slice(-len(above), None)
        inside = self._rest.shape[0] + self._scale * (np.clip(above, 0, MOUTH_DEPTH_PX - 1.5) + 0.5) - 0.5
        lower = self._own_y[rows] + self._scale * lower
        warp_y[rows] = np.where(above < 0, warp_y[rows], np.where(below < 0, inside, lower))
        image = self._rest.copy()
        image[self._rows, self._columns] = cv2.remap(self._texture, warp_x, warp_y, cv2.INTER_LINEAR)
        return image

    def _mouth(self, x: Floats, y: Floats, drop_px: float) -> tuple[Floats, Floats, Floats, Floats]:
        """The mouth when the jaw has dropped by drop_px. Shape: each (H, W).

        Returns:
            How far (x, y) lies below the upper lip's edge and below the lower's (negative: above it); the row
            of the portrait to show there if that is skin above the mouth, and if it is skin below.
        """
        column = ((x - _LIPS_LEFT) / _LIPS_STEP_PX).astype(np.int32).clip(0, _LIPS.shape[1] - 1)
        upper, gap, profile, chin = _LIPS.take(column, axis=1)
        seam = upper + 0.35 * gap  # where the lips of the closed mouth meet
        raised, lowered = UPPER_LIP_SHARE * drop_px * profile, (1 - UPPER_LIP_SHARE) * drop_px * profile
        above, below = y - seam + raised, y - seam - lowered

        up = y + raised * _fade(above / 5.7) - 0.35 * gap * _fade(above / 4.3)
        follows = _smoothstep(below / 14)
        jaw = (1 - follows) * lowered + follows * (1 - UPPER_LIP_SHARE) * drop_px * chin
        jaw *= 1 - _smoothstep((y - 178 - drop_px) / 26)
        return above, below, up, y - jaw + 0.65 * gap * _fade(below / 10)


def _field(bumps: tuple[Bump, ...], x: Floats, y: Floats) -> Floats:
    """Sum of Gaussian bumps. Shape: (2, H, W): shift x, shift y."""
    field = np.zeros((2, *x.shape), dtype=np.float32)
    for name, shift_x, shift_y, reach_x, reach_y in bumps:
        centre_x, centre_y = POINTS[name]
        weight = np.exp(-(((x - centre_x) / reach_x) ** 2 + ((y - centre_y) / reach_y) ** 2) / 2)
        field += np.array([shift_x, shift_y], np.float32)[:, None, None] * weight
    return field


def _fade(t: Floats) -> Floats:
    """1 at 0, falling smoothly to 0 at 2: much like exp(-t²/2), at a third of its price."""
    return np.asarray(np.maximum(1 - 0.25 * t * t, 0) ** 2)


def _smoothstep(t: Floats) -> Floats:
    t = np.clip(t, 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def _lip_table(x: Floats) -> Floats:
    """What the mouth needs to know of each column of the portrait, float32. Shape: (N,) -> (4, N).

    lip_curves; how far the lips open there, as a share of the middle's; how far the chin follows them.
    """
    aside = (x - FACE_CENTRE[0] + 1.0) / 21
    table = np.stack([*lip_curves(x), np.maximum(1 - aside**2, 0) ** 0.7, _fade(aside)])
    return np.asarray(table, dtype=np.float32)


_LIPS_LEFT, _LIPS_STEP_PX = 150, 0.125
_LIPS = _lip_table(np.arange(_LIPS_LEFT, 300, _LIPS_STEP_PX))


def _per_pixel(blocks: Floats) -> Floats:
    """What is known for every block of STEP_PX, for every pixel. Shape: (H, W) -> (STEP_PX H, STEP_PX W)."""
    return np.asarray(cv2.resize(blocks, None, fx=STEP_PX, fy=STEP_PX, interpolation=cv2.INTER_LINEAR))


def _opaque() -> Floats:
    return np.full((MOUTH_DEPTH_PX, RIGHT - LEFT), 255, dtype=np.float32)


def _enlarge(image: Floats, scale: float) -> Image:
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    larger = cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(larger, 0, 255), dtype=np.uint8)
