"""How sample people and places differ: face shape, skin, hair, clothes, wall, camera.

None of it depends on valence or arousal.
"""

from dataclasses import dataclass, fields

import cv2
import numpy as np
from numpy.random import Generator

from data.sample.portrait import FACE_CENTRE, POINTS, Portrait
from stages.core.arrays import Floats, Image


@dataclass(frozen=True)
class Looks:
    """One person's appearance and voice box. Relative sizes are 0 for the portrait itself."""

    face_width_px: float
    mirrored: bool
    width: float
    height: float
    jaw_width: float
    eye_distance_px: float
    hair_volume: float
    skin_light: float
    skin_red: float
    hair_light: float
    hair_hue: float
    clothes_rgb: tuple[float, float, float]
    pitch_hz: float
    tract_length: float

    def numbers(self) -> Floats:
        """Every attribute as a flat vector: what a model could tell this person by."""
        values = [getattr(self, field.name) for field in fields(self)]
        return np.concatenate([np.atleast_1d(np.asarray(value, dtype=float)) for value in values])


def draw_looks(rng: Generator, face_width_px: tuple[float, float]) -> Looks:
    """Somebody new."""
    return Looks(
        face_width_px=rng.uniform(*face_width_px),
        mirrored=bool(rng.random() < 0.5),
        width=rng.uniform(-0.08, 0.08),
        height=rng.uniform(-0.06, 0.06),
        jaw_width=rng.uniform(-0.09, 0.09),
        eye_distance_px=rng.uniform(-1.6, 1.6),
        hair_volume=rng.uniform(-0.1, 0.1),
        skin_light=rng.uniform(0.62, 1.06),
        skin_red=rng.uniform(-6, 8),
        hair_light=rng.uniform(0.3, 1.1),
        hair_hue=rng.uniform(-10, 14),
        clothes_rgb=tuple(rng.uniform(30, 200, size=3).tolist()),
        pitch_hz=float(np.exp(rng.uniform(np.log(115), np.log(190)))),
        tract_length=rng.uniform(0.92, 1.08),
    )


def colour_head(portrait: Portrait, looks: Looks) -> Floats:
    """The portrait in this person's skin and hair colours. Shape: (H, W, 3), RGB float32."""
    lab = cv2.cvtColor(portrait.colour / 255, cv2.COLOR_RGB2LAB)
    skin = portrait.skin[..., None]
    hair = lab * (looks.hair_light, 1, 1) + np.array([0, looks.hair_hue, looks.hair_hue / 2])
    face = lab * (looks.skin_light, 1, 1) + np.array([0, looks.skin_red, looks.skin_red])
    mixed = (hair * (1 - skin) + face * skin).astype(np.float32)
    return np.asarray(np.clip(cv2.cvtColor(mixed, cv2.COLOR_LAB2RGB), 0, 1) * 255, dtype=np.float32)


def shape_field(looks: Looks, x: Floats, y: Floats) -> Floats:
    """Where this person's head differs from the portrait: shift to add to (x, y) when looking it up.

    Shape: (H, W), (H, W) in portrait pixels -> (2, H, W).
    """
    from_x, from_y = x - FACE_CENTRE[0], y - FACE_CENTRE[1]
    jaw = looks.jaw_width * np.clip((y - 120) / 45, 0, 1) * np.clip((205 - y) / 25, 0, 1)
    crown = looks.hair_volume * np.clip((85 - y) / 50, 0, 1)
    shift = np.stack(
        [from_x * (1 / (1 + looks.width + jaw + crown) - 1), from_y * (1 / (1 + looks.height + crown) - 1)]
    )
    for name, side in (("eye_left", -1), ("eye_right", 1)):
        centre_x, centre_y = POINTS[name]
        weight = np.exp(-(((x - centre_x) / 13) ** 2 + ((y - centre_y) / 11) ** 2) / 2)
        shift[0] -= side * looks.eye_distance_px * weight
    return shift.astype(np.float32)


def paint_wall(rng: Generator, wall_rgb: tuple[float, float, float], width: int, height: int) -> Image:
    """A room out of focus: soft blots and some upright shapes. Shape: (height, width, 3)."""
    base = np.asarray(wall_rgb)
    grey, tint = rng.normal(0, 16, size=(5, 6, 1)), rng.normal(0, 7, size=(5, 6, 3))
    blots = cv2.resize(grey + tint, (width, height), interpolation=cv2.INTER_CUBIC)
    wall = (base + blots).astype(np.float32)
    for _ in range(rng.integers(2, 5)):
        left, wide = int(rng.integers(-40, width)), int(rng.integers(20, 90))
        top = int(rng.integers(0, height // 2))
        shade = (base + rng.uniform(-50, 50) + rng.uniform(-15, 15, size=3)).tolist()
        cv2.rectangle(wall, (left, top), (left + wide, height), shade, -1)
    wall = cv2.GaussianBlur(wall, (0, 0), 5.0) + rng.normal(0, 1.5, size=wall.shape)
    return np.asarray(np.clip(wall, 0, 255), dtype=np.uint8)


def paint_clothes(rng: Generator, looks: Looks, width: int, height: int, neck: tuple[float, float]) -> Image:
    """Shoulders and a round collar around `neck` (pixels). Shape: (height, width, 4), premultiplied RGBA."""
    unit = looks.face_width_px / 100
    x, y = np.meshgrid((np.arange(width) - neck[0]) / unit, (np.arange(height) - neck[1]) / unit)
    slope = 8 + 0.0024 * x**2 + 38 / (1 + np.exp(-(np.abs(x) - 118) / 9)) - 16 * np.exp(-((x / 46) ** 4))
    collar = np.where(np.abs(x) < 39, 10 * np.sqrt(np.maximum(1 - (x / 39) ** 2, 0)), 0)
    inside = np.clip((y - slope - collar) * unit + 0.5, 0, 1)
    cloth = cv2.GaussianBlur(rng.normal(0, 1, size=(height, width)), (0, 0), 3.0) * 22
    shade = 1 - 0.25 * np.clip(np.abs(x) / 150, 0, 1) - 0.25 * np.exp(-(((y - slope - collar) / 3.5) ** 2))
    colour = np.clip((np.asarray(looks.clothes_rgb) + cloth[..., None]) * shade[..., None], 0, 255)
    return np.asarray(np.dstack([colour, np.full((height, width), 255)]) * inside[..., None], dtype=np.uint8)
