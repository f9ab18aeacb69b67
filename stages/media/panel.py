"""Drawing what was found in a video: face box, valence and arousal as curves and as a moving point.

Colours are those of the pages on a dark ground (`--valence`, `--arousal` of reporting/assets/style.css).
"""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from stages.core.arrays import Flags, Floats, Image
from stages.media.planes import Planes, in_planes

_BACKGROUND, _AXIS, _BAND, _TEXT = (24, 26, 30), (90, 95, 105), (70, 50, 50), (235, 235, 235)
_VALENCE, _AROUSAL, _FACE, _TRAIL = (0x71, 0xB3, 0xFF), (0xFF, 0x9F, 0x63), (110, 230, 120), (170, 175, 185)
_TRAIL_S = 1.5
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True)
class Findings:
    """What is drawn.

    Args:
        time_s: (N,) times of the trace, increasing.
        valence_arousal: (N, 2) in [-1, 1]; NaN is not drawn.
        box_time_s: (T,) times of the boxes, increasing.
        box_xyxy: (T, 4) in pixels of the upright video.
        detected: (T,) False where there is no face, whatever the box says.
        notice: a sentence shown all the time, such as what the values are not; "" for none.
    """

    time_s: Floats
    valence_arousal: Floats
    box_time_s: Floats
    box_xyxy: Floats
    detected: Flags
    notice: str = ""

    def __post_init__(self) -> None:
        if self.valence_arousal.shape != (len(self.time_s), 2) or not len(self.time_s):
            raise ValueError(f"valence_arousal {self.valence_arousal.shape}, not ({len(self.time_s)}, 2)")
        if not len(self.box_time_s) == len(self.detected) == len(self.box_xyxy):
            raise ValueError("box_time_s, box_xyxy and detected must be equally long")

    def point(self, time_s: float) -> Floats:
        """Valence and arousal (2,) at the nearest time of the trace."""
        return np.asarray(self.valence_arousal[_nearest(self.time_s, time_s)])

    def box(self, time_s: float) -> Floats | None:
        """The face box (4,) at the nearest box time; None where no face was found."""
        if not len(self.box_time_s):
            return None
        k = _nearest(self.box_time_s, time_s)
        return self.box_xyxy[k] if self.detected[k] and np.isfinite(self.box_xyxy[k]).all() else None


def _nearest(times_s: Floats, time_s: float) -> int:
    right = min(int(np.searchsorted(times_s, time_s)), len(times_s) - 1)
    left = max(right - 1, 0)
    return left if time_s - times_s[left] <= times_s[right] - time_s else right


class Panel:
    """The strip above the picture: the valence-arousal plane, and both curves with a cursor.

    Players lay their controls over the lower edge, where it would be hidden.

    Args:
        findings: what to draw.
        duration_s: time at the right edge of the curves.
        width_px: width of the strip.
        height_px: its height; the plane is a square as high as the curves.
    """

    def __init__(self, findings: Findings, duration_s: float, width_px: int, height_px: int) -> None:
        self.findings, self.duration_s = findings, duration_s
        self.margin_px, self.header_px = 8, 22
        self.side_px = height_px - self.header_px - self.margin_px
        self.left_px, self.right_px = self.side_px + 3 * self.margin_px, width_px - self.margin_px
        self.background: Image = np.full((height_px, width_px, 3), _BACKGROUND, dtype=np.uint8)
        self._on_plane = self._places_on_plane()
        self._draw_plane_axes()
        self._draw_curves()

    def draw(self, image: Image, time_s: float) -> None:
        """Draw the strip at a time over a picture (height, width, 3)."""
        image[:] = self.background
        k = _nearest(self.findings.time_s, time_s)
        start, end = np.searchsorted(self.findings.time_s, [time_s - _TRAIL_S, time_s], side="right")
        _line(image, self._on_plane[start:end], _TRAIL)
        if np.isfinite(centre := self._on_plane[k]).all():
            cv2.circle(image, (int(centre[0]), int(centre[1])), 5, _TEXT, -1, cv2.LINE_AA)
        x = int(self._x(time_s))
        cv2.line(image, (x, self.header_px), (x, self.header_px + self.side_px), _TEXT, 1)
        self._legend(image, self.findings.valence_arousal[k])

    def _draw_plane_axes(self) -> None:
        left, top, half = self.margin_px, self.header_px, self.side_px // 2
        right, bottom = left + self.side_px, top + self.side_px
        cv2.rectangle(self.background, (left, top), (right, bottom), _AXIS, 1)
        cv2.line(self.background, (left, top + half), (right, top + half), _AXIS, 1)
        cv2.line(self.background, (left + half, top), (left + half, bottom), _AXIS, 1)
        _words(self.background, "V+", right - 19, top + half - 4, _VALENCE)
        _words(self.background, "A+", left + half + 4, top + 12, _AROUSAL)

    def _draw_curves(self) -> None:
        low, high = self.header_px, self.header_px + self.side_px
        for start_s, end_s in _missing(self.findings.box_time_s, self.findings.detected):
            left, right = self._x(np.array([start_s, end_s])).astype(int)
            cv2.rectangle(self.background, (int(left), low), (int(right), high), _BAND, -1)
        middle = (low + high) // 2
        cv2.line(self.background, (self.left_px, middle), (self.right_px, middle), _AXIS, 1)
        x = self._x(self.findings.time_s)
        for column, colour in enumerate((_VALENCE, _AROUSAL)):
            y = self._y(self.findings.valence_arousal[:, column])
            _line(self.background, np.column_stack([x, y]), colour)

    def _legend(self, image: Image, point: Floats) -> None:
        x, wide = self.left_px, self.right_px - self.left_px > 240
        for name, value, colour in (("valence", point[0], _VALENCE), ("arousal", point[1], _AROUSAL)):
            number = f"{value:+.2f}" if np.isfinite(value) else "-"
            _words(image, f"{name if wide else name[0].upper()} {number}", x, 15, colour)
            x += 110 if wide else 70

    def _x(self, time_s: Floats | float) -> Floats:
        share = np.clip(np.asarray(time_s, dtype=np.float64) / self.duration_s, 0, 1)
        return np.asarray(self.left_px + share * (self.right_px - self.left_px))

    def _y(self, value: Floats) -> Floats:
        return self.header_px + (1 - np.clip(value, -1, 1)) / 2 * self.side_px

    def _places_on_plane(self) -> Floats:
        """Pixels x, y of every point of the trace. Shape: -> (N, 2)."""
        valence, arousal = self.findings.valence_arousal.T
        x = self.margin_px + (1 + np.clip(valence, -1, 1)) / 2 * self.side_px
        return np.column_stack([x, self._y(arousal)])


def _words(image: Image, words: str, x: int, y: int, colour: tuple[int, int, int]) -> None:
    cv2.putText(image, words, (x, y), _FONT, 0.4, colour, 1, cv2.LINE_AA)


def _missing(times_s: Floats, detected: Flags) -> Iterator[tuple[float, float]]:
    """Spans without a face, from half a step before the first missing box to half a step after the last."""
    half_s = float(np.median(np.diff(times_s))) / 2 if len(times_s) > 1 else 0.0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], ~detected, [0]]).astype(int)))
    for start, end in edges.reshape(-1, 2):
        yield float(times_s[start]) - half_s, float(times_s[end - 1]) + half_s


def _line(image: Image, points: Floats, colour: tuple[int, int, int]) -> None:
    """A curve, broken where it is NaN."""
    finite = np.isfinite(points).all(axis=1)
    for part in np.split(points, np.flatnonzero(~finite)):
        drawn = part[np.isfinite(part).all(axis=1)]
        if len(drawn) > 1:
            cv2.polylines(image, [np.rint(drawn).astype(np.int32)], False, colour, 1, cv2.LINE_AA)


def mark_picture(picture: Planes, box_xyxy: Floats | None, notice: str) -> None:
    """Draw the face box (in the picture's pixels) and the notice into a picture."""
    height, width = picture.y.shape
    if box_xyxy is not None:
        x1, y1, x2, y2 = (round(float(edge)) for edge in box_xyxy)
        y, u, v = in_planes(_FACE)
        cv2.rectangle(picture.y, (x1, y1), (x2, y2), y, 2, cv2.LINE_AA)
        for plane, colour in ((picture.u, u), (picture.v, v)):  # in halves of its pixels
            cv2.rectangle(plane, (x1, y1), (x2, y2), colour, 1, cv2.LINE_AA, shift=1)
    else:
        _caption(picture, "no face", 22)
    for row, words in enumerate(reversed(_wrapped(notice, width))):
        _caption(picture, words, height - 8 - 20 * row)


def _caption(picture: Planes, words: str, y: int) -> None:
    """Outlined words on the base line y. Drawing is linear in the picture, so that once is enough."""
    above, of_planes = _drawn(words, y % 2)
    for plane, (adds, leaves), size in zip(picture, of_planes, (1, 2, 2), strict=True):
        first = (y + above) // size
        low, high = max(0, first), min(plane.shape[0], first + len(adds))
        if low < high:
            ground = plane[low:high, : adds.shape[1]]
            part = slice(low - first, high - first), slice(ground.shape[1])
            ground[:] = cv2.add(cv2.multiply(ground, leaves[part], scale=1 / 255), adds[part])


@lru_cache(maxsize=64)
def _drawn(words: str, odd: int) -> tuple[int, list[tuple[Image, Image]]]:
    """Words drawn once: their first row from the base line; of each plane what they add, what they leave.

    Args:
        words: grey, so that they take the colour away where they are.
        odd: 1 where the base line is an odd row: the colours of two rows lie in one.
    """
    (width, height), below = cv2.getTextSize(words, _FONT, 0.48, 3)
    base = height + 3
    base += (base - odd) % 2  # the first row is an even one
    shape = base + below + 3, 8 + width + 3
    shape = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2
    grounds: list[Image] = [np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)]
    for ground in grounds:
        cv2.putText(ground, words, (8, base), _FONT, 0.48, in_planes((0, 0, 0))[0], 3, cv2.LINE_AA)
        cv2.putText(ground, words, (8, base), _FONT, 0.48, in_planes(_TEXT)[0], 1, cv2.LINE_AA)
    dark, light = grounds
    leaves = light - dark
    small = cv2.resize(leaves, (shape[1] // 2, shape[0] // 2), interpolation=cv2.INTER_AREA)
    grey = cv2.multiply(255 - small, 128, scale=1 / 255)
    return -base, [(dark, leaves), (grey, small), (grey, small)]


@lru_cache(maxsize=64)
def _wrapped(notice: str, width_px: int) -> list[str]:
    plain = notice.encode("ascii", "replace").decode()  # the font has no other letters
    return textwrap.wrap(plain, max(10, (width_px - 16) // 9))
