"""Face crops: a box with a margin cut out of its frame, and the square image a static model takes."""

import math

import numpy as np

from stages.core.arrays import Flags, Floats, Image, Integers


def crop_face(image: Image, box_xyxy: Floats, pad_px: float = 15.0, scale: float = 1.0) -> Image:
    """Box plus margin, clipped to the frame (paper, section 3.1).

    Shape: (H, W, 3), (4,) -> (h, w, 3), a copy.

    Args:
        image: the decoded frame.
        box_xyxy: left, top, right, bottom in pixels of that frame.
        pad_px: margin on every side, in pixels of the video's native resolution.
        scale: decoded width over native width: 0.5 where frames were halved, and with them the margin.

    Raises:
        ValueError: nothing of the padded box lies in the frame, or a number is out of range.
    """
    height, width = image.shape[:2]
    left, top, right, bottom = padded_box(box_xyxy, height, width, pad_px, scale)
    return image[top:bottom, left:right].copy()


def padded_box(
    box_xyxy: Floats, height: int, width: int, pad_px: float = 15.0, scale: float = 1.0
) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of `crop_face` in whole pixels: rounded outwards, so nothing is lost.

    >>> padded_box(np.array([10.5, 40.0, 50.0, 80.2]), height=90, width=200)
    (0, 25, 65, 90)
    """
    if pad_px < 0 or scale <= 0:
        raise ValueError(f"pad_px is {pad_px}, scale is {scale}; wanted pad_px >= 0 and scale > 0")
    if not np.all(np.isfinite(box_xyxy)):
        raise ValueError(f"box {np.asarray(box_xyxy).tolist()} is not finite: no face, no crop")
    x0, y0, x1, y1 = (float(edge) for edge in box_xyxy)
    pad = pad_px * scale
    left, top = max(0, math.floor(x0 - pad)), max(0, math.floor(y0 - pad))
    right, bottom = min(width, math.ceil(x1 + pad)), min(height, math.ceil(y1 + pad))
    if left >= right or top >= bottom:
        raise ValueError(f"box {(x0, y0, x1, y1)} lies outside the {width} x {height} frame")
    return left, top, right, bottom


def letterbox(crop: Image, size: int, antialias: bool = False) -> Image:
    """Resize so that the longer side is `size`, black on both sides of the shorter one.

    Shape: (h, w, 3) -> (size, size, 3).

    Aspect-preserving, bilinear; an odd pixel of padding goes to the right or the bottom. With `antialias` a
    crop that shrinks is averaged over areas: a bilinear picture of a large face is made of single pixels.
    """
    import cv2

    if size < 1:
        raise ValueError(f"size is {size}; wanted at least 1 pixel")
    height, width = crop.shape[:2]
    factor = size / max(height, width)
    new_height, new_width = max(1, round(height * factor)), max(1, round(width * factor))
    top, left = (size - new_height) // 2, (size - new_width) // 2
    square = np.zeros((size, size, 3), np.uint8)
    interpolation = cv2.INTER_AREA if antialias and factor < 1 else cv2.INTER_LINEAR
    square[top : top + new_height, left : left + new_width] = cv2.resize(
        crop, (new_width, new_height), interpolation=interpolation
    )
    return square


def shown(image: Image | None, box_xyxy: Floats | None, size_px: int, antialias: bool = False) -> Image:
    """A picture, or the part of it in a box, as the square a model takes; without a picture a black one."""
    if image is None:
        return np.zeros((size_px, size_px, 3), np.uint8)
    cut = image if box_xyxy is None else crop_face(image, box_xyxy, pad_px=0.0)
    return letterbox(cut, size_px, antialias)


def reuse_last(detected: Flags) -> Integers:
    """Which crop stands for each frame, where crops exist for detected frames only.

    Shape: (T,) -> (T,) int64: the frame's own crop, else the last one before it, -1 before the first.

    >>> reuse_last(np.array([False, True, False, True])).tolist()
    [-1, 0, 0, 1]
    """
    return np.cumsum(detected, dtype=np.int64) - 1
