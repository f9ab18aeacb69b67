"""The one face that all sample people are drawn from, cut out and with its mouth shut.

NASA portrait of an astronaut, public domain, as shipped in scikit-image (`skimage.data.astronaut`).
All geometry in this package is in pixels of that picture. The key points below were measured on it
once with MediaPipe FaceMesh.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from stages.core.arrays import Floats, Image, Integers

LEFT, TOP, RIGHT, BOTTOM = 140, 6, 310, 214
"""The part of the portrait that serves as head canvas. Left and right as seen in the picture."""

POINTS: dict[str, tuple[float, float]] = {
    "mouth_left": (201.8, 139.2),
    "mouth_right": (245.0, 141.0),
    "cheek_left": (190.3, 118.4),
    "cheek_right": (258.4, 122.4),
    "brow_left_inner": (216.7, 94.6),
    "brow_left": (203.0, 88.6),
    "brow_left_outer": (190.3, 93.0),
    "brow_right_inner": (234.3, 96.1),
    "brow_right": (248.0, 92.0),
    "brow_right_outer": (260.6, 97.5),
    "lid_left_upper": (202.8, 97.6),
    "lid_left_lower": (203.4, 104.3),
    "lid_right_upper": (248.3, 99.7),
    "lid_right_lower": (246.6, 106.7),
    "eye_left": (203.1, 101.0),
    "eye_right": (247.5, 103.2),
    "nose": (223.4, 130.0),
    "chin": (221.3, 177.4),
}
FACE_CENTRE = (224.5, 118.0)
FACE_WIDTH_PX = 91.5
NECK_BASE = (221.5, 192.0)


def _points(text: str) -> Floats:
    return np.array([point.split(",") for point in text.split()], dtype=float)


UPPER_LIP_EDGE = _points(
    "203.3,139.9 205.9,140.1 209.1,140.7 212.9,141.5 217.6,142.4 223.5,143.2 "
    "229.4,142.9 234.1,142.3 237.8,141.8 240.9,141.6 243.4,141.5"
)
LOWER_LIP_EDGE = _points(
    "203.3,139.9 206.4,143.2 209,145.5 212.6,147.7 217.3,149.3 223,150.1 228.6,149.7 233.3,148.5 237.1,146.6 "
    "239.9,144.6 243.4,141.5"
)
FACE_OUTLINE = _points(
    "226,80 239,81 249.5,82 259,84 264.7,88 268.2,92 270.1,98 270.7,107 270.2,115.5 "
    "269.5,124.4 268,134.1 265.1,144.4 260.8,152.9 255.9,159.4 249.5,165.4 243.8,170 237.7,174.1 230.4,176.9 "
    "221.3,177.4 212.2,175.7 205.4,172.1 199.9,167.3 194.9,162 189.1,155.3 184.9,148.3 181.6,139.4 "
    "179.8,128.8 179.3,118.9 179.4,110 179.6,101.3 180.8,93 183.1,87 190,82"
)
NECK = _points("187,140 258,140 253,178 252,187 228,190 190,185 187,178")

MOUTH_DEPTH_PX = 26
"""Height of the picture of the open mouth, below the upper lip."""


@dataclass(frozen=True)
class Portrait:
    """The cut-out head, float32.

    Shape: colour (H, W, 3), matte and skin (H, W) in 0 to 1, mouth (MOUTH_DEPTH_PX, W, 3).
    """

    colour: Floats
    matte: Floats
    skin: Floats
    mouth: Floats


@cache
def load_portrait() -> Portrait:
    """Cut the head out of the picture, once per process."""
    from skimage.data import astronaut

    picture = astronaut()[TOP:BOTTOM, LEFT:RIGHT]
    matte = _cut_out(picture)
    colour, matte = _grow_neck(picture.astype(np.float32), matte)
    skin = _skin(matte)
    return Portrait(_hide_teeth(colour), matte, skin, _mouth_inside(picture))


def lip_curves(x: Floats) -> tuple[Floats, Floats]:
    """Height of the upper lip's lower edge, and the gap down to the lower lip (0 outside the mouth).

    Shape: (...) -> two of (...), portrait pixels.
    """
    upper = np.interp(x, *UPPER_LIP_EDGE.T)
    return upper, np.maximum(np.interp(x, *LOWER_LIP_EDGE.T) - upper, 0.0)


def _local(points: Floats) -> Integers:
    return np.asarray((points - np.array([LEFT, TOP])).round().astype(np.int32))


def _cut_out(picture: Image) -> Floats:
    """Head, hair and neck against the studio wall, by graph cut from a rough guess."""
    labels = np.full(picture.shape[:2], cv2.GC_BGD, dtype=np.uint8)
    head = (227 - LEFT, 80 - TOP)
    cv2.ellipse(labels, (head[0], head[1] + 8), (82, 84), 0, 0, 360, cv2.GC_PR_BGD, -1)
    cv2.ellipse(labels, head, (70, 66), 0, 0, 360, cv2.GC_PR_FGD, -1)
    for sure in (FACE_OUTLINE, NECK):
        cv2.fillPoly(labels, [_local(sure)], cv2.GC_FGD)
    labels[184 - TOP :] = cv2.GC_BGD
    cv2.setRNGSeed(0)  # the cut starts from a random clustering of the colours
    wall_colours, head_colours = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(picture[..., ::-1].copy(), labels, None, wall_colours, head_colours, 4, cv2.GC_INIT_WITH_MASK)
    inside = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    return np.asarray(np.clip((cv2.GaussianBlur(inside, (0, 0), 1.0) - 0.35) / 0.6, 0, 1))  # no pale rim


def _grow_neck(colour: Floats, matte: Floats) -> tuple[Floats, Floats]:
    """Continue the neck downwards, behind where the collar will be."""
    first = 177 - TOP
    across = slice(190 - LEFT, 253 - LEFT)
    row = cv2.GaussianBlur(colour[first - 3 : first, across].mean(axis=0, keepdims=True), (0, 0), 3.0)
    shade = np.linspace(1.0, 0.72, len(colour) - first, dtype=np.float32)[:, None, None]
    colour, matte = colour.copy(), matte.copy()
    matte[first:] = 0
    matte[first:, across] = 1
    matte[first - 6 :] = cv2.GaussianBlur(matte, (0, 0), 1.2)[first - 6 :]
    colour[first:, across] = row * shade
    return colour, matte


def _skin(matte: Floats) -> Floats:
    """Face, ears and neck, soft-edged. Shape: (H, W) -> (H, W)."""
    reach = np.zeros(matte.shape, dtype=np.uint8)
    cv2.fillPoly(reach, [_local(FACE_OUTLINE)], 255)
    reach = cv2.dilate(reach, np.ones((9, 9), np.uint8))
    reach[165 - TOP :] = 255
    return np.asarray(cv2.GaussianBlur(reach.astype(np.float32) / 255, (0, 0), 2.5) * matte)


def _hide_teeth(colour: Floats) -> Floats:
    """Fill the gap between the lips with the dark line where they meet."""
    gap = np.zeros(colour.shape[:2], dtype=np.uint8)
    cv2.fillPoly(gap, [_local(np.concatenate([UPPER_LIP_EDGE, LOWER_LIP_EDGE[::-1]]))], 255)
    weight = np.clip(cv2.GaussianBlur(gap.astype(np.float32) / 255, (0, 0), 0.8) * 1.4, 0, 1)[..., None]
    return np.asarray(colour * (1 - weight) + np.array([118, 62, 58], np.float32) * weight)


def _mouth_inside(picture: Image) -> Floats:
    """What an open mouth shows below the upper lip: her teeth, then the dark. Row 0 touches the lip."""
    x = np.arange(LEFT, RIGHT, dtype=np.float32)
    upper, gap = lip_curves(x)
    depth = np.arange(MOUTH_DEPTH_PX, dtype=np.float32)[:, None]
    rows = (upper - TOP + depth).astype(np.float32)
    teeth = cv2.remap(picture, np.broadcast_to(x - LEFT, rows.shape).copy(), rows, cv2.INTER_LINEAR)
    shown = np.clip((0.62 * gap - depth) / 1.5, 0, 1)[..., None] * 0.8
    dark = (
        np.array([48, 16, 18], np.float32)
        + np.array([38, 14, 16], np.float32) * np.clip((depth - 8) / 12, 0, 1)[..., None]
    )
    return np.asarray(teeth * shown + dark * (1 - shown), dtype=np.float32)
