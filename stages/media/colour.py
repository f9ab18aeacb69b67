"""High dynamic range and wide gamut, brought to what every detector and model was trained on: SDR, BT.709.

The curve is stated here because FFmpeg's own (zimg, libplacebo) is not in PyAV's build, and the one of its
scaler darkens faces.

1. PQ (SMPTE ST 2084) or HLG (ARIB STD-B67, with the system gamma of 1.2) to light in cd/m²; ITU-R BT.2100.
2. Reference white, 203 cd/m² (ITU-R BT.2408), is SDR's white.
3. BT.2020 or P3 primaries to BT.709; what lies outside is cut.
4. Light above 0.8 of white is rolled off towards white, all three colours by the same factor.
5. The display's gamma of 2.4 (ITU-R BT.1886).
"""

from functools import cache
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.core.arrays import Floats, Image

Range = Literal["SDR", "PQ", "HLG", "BT.2020"]
"""SDR needs no conversion; BT.2020 is SDR in a wide gamut."""

_PQ, _HLG = 16, 18  # transfer functions and primaries as in ITU-T H.273
_BT2020, _P3 = 9, (11, 12)
BT709, YCGCO, _OF_PRIMARIES = 1, 8, 12  # matrices of H.273
_KNOWN_MATRICES = {0, BT709, 2, 4, 5, 6, 7, _BT2020}
"""To FFmpeg's scaler."""
_OTHER_MATRICES = {
    10: "BT.2020 with constant luminance",
    11: "SMPTE 2085",
    13: "of its primaries with constant luminance",
    14: "ICtCp",
    15: "IPT-PQ-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}
_MIDDLE = 32_768
_WHITE = 203.0
_HLG_PEAK = 1000.0
_KNEE = 0.8
_GAMMA = 2.4
_LEVELS = 65_536
# Linear light to BT.709; ITU-R BT.2087 for BT.2020, SMPTE EG 432-1 for P3 with D65.
_TO_BT709 = {
    "BT.2020": (
        (1.660491, -0.587641, -0.072850),
        (-0.124550, 1.132900, -0.008349),
        (-0.018151, -0.100579, 1.118730),
    ),
    "P3": ((1.224940, -0.224940, 0.0), (-0.042057, 1.042057, 0.0), (-0.019638, -0.078636, 1.098274)),
}


def range_of(frame: Any) -> Range:
    """What kind of picture a decoded frame, or a codec context, says that it is."""
    transfer, primaries = int(frame.color_trc or 0), int(frame.color_primaries or 0)
    if transfer == _PQ:
        return "PQ"
    if transfer == _HLG:
        return "HLG"
    return "BT.2020" if primaries == _BT2020 else "SDR"


def matrix_instead(frame: Any) -> int | None:
    """The matrix to take for a frame whose own FFmpeg's scaler refuses; None where it knows it.

    BT.2020's for its primaries, else BT.709's. YCgCo (H.273, 8) isn't among them: see `from_ycgco`.
    """
    if int(frame.colorspace) in _KNOWN_MATRICES:
        return None
    return _BT2020 if int(frame.color_primaries or 0) == _BT2020 else BT709


def odd_matrix(frame: Any) -> str:
    """The name of a frame's matrix if another one is taken for it, so that colours are inexact; else ""."""
    matrix = int(frame.colorspace)
    exact = matrix in _KNOWN_MATRICES | {YCGCO, _OF_PRIMARIES}
    return "" if exact else _OTHER_MATRICES.get(matrix, f"number {matrix} of H.273")


def from_ycgco(coded: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """R'G'B' of a picture in YCgCo (ITU-T H.273, matrix 8).

    Shape: (H, W, 3) uint16 of Y, Cg, Co in full range, the colours around 32768 -> the same of R, G, B.
    """
    luma, green, orange = np.moveaxis(coded.astype(np.int32), -1, 0)
    green, orange = green - _MIDDLE, orange - _MIDDLE
    red, blue = luma - green + orange, luma - green - orange
    return np.asarray(np.stack([red, luma + green, blue], -1).clip(0, 2 * _MIDDLE - 1), np.uint16)


def to_sdr(coded: NDArray[np.uint16], kind: Range, primaries: int = _BT2020) -> Image:
    """A picture in PQ, HLG or BT.2020 as SDR.

    Shape: (H, W, 3) uint16 R'G'B', full scale at 65535 -> (H, W, 3) uint8.

    Args:
        coded: the picture.
        kind: how it is coded.
        primaries: of H.273; unknown ones are taken for BT.2020.
    """
    light = _to_light(kind)[coded]
    if kind == "HLG":  # the system gamma acts on the luminance
        luminance = light @ np.array([0.2627, 0.6780, 0.0593], np.float32)
        light *= np.power(luminance, 0.2, dtype=np.float32)[..., None] * np.float32(_HLG_PEAK / _WHITE)
    matrix = np.array(_TO_BT709["P3" if primaries in _P3 else "BT.2020"], np.float32)
    light = np.maximum(cv2.transform(light, matrix), 0)
    brightest = light.max(axis=2)
    if brightest.max() > _KNEE:
        light *= (_rolled_off(brightest) / np.maximum(brightest, 1e-6))[..., None]
    index = np.sqrt(np.minimum(light, 1)) * np.float32(_LEVELS - 1)  # fine steps in the dark
    return np.asarray(_to_display()[index.astype(np.uint16)], np.uint8)


@cache
def _to_light(kind: Range) -> Floats:
    """Light of every code value, SDR's white at 1; for HLG of the scene, its peak at 1. (65536,) float32."""
    code = np.linspace(0, 1, _LEVELS)
    if kind == "PQ":
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        root = code ** (1 / m2)
        light = 10_000 / _WHITE * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    elif kind == "HLG":
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    else:
        light = code**_GAMMA
    return np.asarray(light, np.float32)


@cache
def _to_display() -> NDArray[np.uint8]:
    """Code values of light, by the square root of the light. (65536,) uint8."""
    light = np.linspace(0, 1, _LEVELS) ** 2
    return np.asarray(np.rint(255 * light ** (1 / _GAMMA)), np.uint8)


def _rolled_off(light: Floats) -> Floats:
    """Light as it is up to the knee, from there on an exponential towards 1 of the same slope."""
    above = np.maximum(light - _KNEE, 0) / (1 - _KNEE)
    return np.where(light > _KNEE, _KNEE + (1 - _KNEE) * -np.expm1(-above), light)
