"""Crops made worse: what calibrates an interval for worse recordings than validation holds.

Each kind changes a whole track alike: noise and blur as of a poor camera, a block over a part of the face,
faces lost for a while, other light and skin.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from stages.core.arrays import Floats, Image
from stages.media.jpeg import pack_jpegs, unpack_jpeg
from stages.vision.crops import reuse_last

Track = dict[str, Any]
LOST_S = (1.0, 3.0)
"""Shortest and longest stretch without a face."""


def degrade(track: Mapping[str, Any], kind: str, seed: int, fps_hz: float) -> Track:
    """The arrays of a track in which the faces are worse; those of the stage faces.

    Args:
        track: jpeg, jpeg_offset, detected, crop_index, score, box_xyxy.
        kind: one of KINDS.
        seed: of this recording's changes.
        fps_hz: rate of the grid.
    """
    rng = np.random.default_rng(seed)
    if kind == "dropped":
        return _dropped(track, rng, fps_hz)
    change = KINDS[kind](rng)
    crops = (
        change(unpack_jpeg(track["jpeg"], track["jpeg_offset"], k))
        for k in range(len(track["jpeg_offset"]) - 1)
    )
    jpeg, offset = pack_jpegs(crops)
    return {**track, "jpeg": jpeg, "jpeg_offset": offset}


def _dropped(track: Mapping[str, Any], rng: np.random.Generator, fps_hz: float) -> Track:
    """About half of the steps lose their face, in stretches; the last crop stands there."""
    kept = np.ones(len(track["detected"]), bool)
    place = round(rng.uniform(0, LOST_S[1]) * fps_hz)
    while place < len(kept):
        length = max(1, round(rng.uniform(*LOST_S) * fps_hz))
        kept[place : place + length] = False
        place += length + max(1, round(rng.uniform(*LOST_S) * fps_hz))
    detected = track["detected"] & kept
    crops = track["crop_index"][detected]  # of those that stay, in their order
    index = reuse_last(detected)
    index = np.where(index >= 0, crops[np.maximum(index, 0)] if len(crops) else -1, -1)
    box = np.where(detected[:, None], track["box_xyxy"], np.nan).astype(track["box_xyxy"].dtype)
    score = np.where(detected, track["score"], 0).astype(track["score"].dtype)
    return {**track, "detected": detected, "crop_index": index, "box_xyxy": box, "score": score}


def _noise(rng: np.random.Generator) -> Callable[[Image], Image]:
    spread, smaller = rng.uniform(15, 45), rng.uniform(0.3, 0.7)

    def change(image: Image) -> Image:
        import cv2

        height, width = image.shape[:2]
        coarse = cv2.resize(image, (max(8, round(width * smaller)), max(8, round(height * smaller))))
        blurred = cv2.resize(coarse, (width, height)).astype(np.float32)
        return _clipped(blurred + rng.normal(0, spread, image.shape))

    return change


def _occlusion(rng: np.random.Generator) -> Callable[[Image], Image]:
    """A block over a quarter to half of the crop, that drifts a little."""
    high, wide = rng.uniform(0.4, 0.8, 2)
    place = rng.uniform(0, 1, 2)
    colour = rng.integers(0, 256, 3)

    def change(image: Image) -> Image:
        height, width = image.shape[:2]
        drift = np.clip(place + rng.normal(0, 0.03, 2), 0, 1)
        top, left = round(drift[0] * (1 - high) * height), round(drift[1] * (1 - wide) * width)
        covered = image.copy()
        covered[top : top + round(high * height), left : left + round(wide * width)] = colour
        return covered

    return change


def _shifted(rng: np.random.Generator) -> Callable[[Image], Image]:
    """Other light and skin: gain per channel, gamma, contrast, mirrored half of the time."""
    gain, gamma = rng.uniform(0.6, 1.4, 3), rng.uniform(0.6, 1.7)
    mirrored = rng.random() < 0.5
    values = np.arange(256)[:, None] / 255
    becomes = _clipped(255 * (np.clip(values * gain, 0, 1) ** gamma))[None]

    def change(image: Image) -> Image:
        import cv2

        shown = cv2.LUT(image, becomes)
        return np.ascontiguousarray(shown[:, ::-1] if mirrored else shown)

    return change


def _clipped(image: Floats) -> Image:
    return np.ascontiguousarray(np.clip(np.rint(image), 0, 255).astype(np.uint8))


KINDS: Mapping[str, Callable[[np.random.Generator], Callable[[Image], Image]]] = {
    "noise": _noise,
    "occlusion": _occlusion,
    "shifted": _shifted,
}
"""Changes of single crops; `dropped` changes which steps have a face."""
