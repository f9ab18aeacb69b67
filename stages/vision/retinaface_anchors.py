"""RetinaFace's geometry: its anchors, and what the network's answers mean in pixels."""

from functools import lru_cache

import numpy as np

from stages.core.arrays import Floats

STRIDES = (8, 16, 32)
ANCHORS_PX = ((16, 32), (64, 128), (256, 512))
"""Side of the square anchors of each stride."""
CENTRE_VARIANCE, SIZE_VARIANCE = 0.1, 0.2


@lru_cache(maxsize=8)
def anchors_cxcywh(height: int, width: int) -> Floats:
    """All anchors of an image size: centre and size in pixels, in the network's order.

    Shape: -> (A, 4) float32, read-only; A = 2 · the cells of strides 8, 16 and 32 together.
    """
    levels = []
    for stride, sides_px in zip(STRIDES, ANCHORS_PX, strict=True):
        rows, columns = -(-height // stride), -(-width // stride)
        y, x, side = np.meshgrid(np.arange(rows) + 0.5, np.arange(columns) + 0.5, sides_px, indexing="ij")
        levels.append(np.stack([x * stride, y * stride, side, side], axis=-1).reshape(-1, 4))
    anchors: Floats = np.concatenate(levels).astype(np.float32)
    anchors.flags.writeable = False
    return anchors


def decode_boxes(offset: Floats, anchors: Floats) -> Floats:
    """Box offsets to pixels: centres move by tenths of the anchor, sizes scale by exp(offset / 5).

    Shape: (F, 4), (F, 4) -> (F, 4), left, top, right, bottom.
    """
    centre = anchors[:, :2] + CENTRE_VARIANCE * offset[:, :2] * anchors[:, 2:]
    half = anchors[:, 2:] * np.exp(SIZE_VARIANCE * offset[:, 2:]) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def decode_landmarks(offset: Floats, anchors: Floats) -> Floats:
    """Landmark offsets to pixels.

    Shape: (F, 10), (F, 4) -> (F, 5, 2).
    """
    moved = anchors[:, None, :2] + CENTRE_VARIANCE * offset.reshape(-1, 5, 2) * anchors[:, None, 2:]
    return np.asarray(moved)
