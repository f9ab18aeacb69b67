"""Presentation time stamps: read from packets where those can be trusted, from decoded frames elsewhere."""

from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from stages.core.arrays import Floats
from stages.media.clock import Clock
from stages.media.source import Decoder, choose_video, open_media

Stamps = Sequence[int | None]

_ENOUGH_STAMPS = 5
_ENOUGH_GOOD = 0.9
_RATE_AGREES = 0.1


def decoded_stamps(
    path: Path, max_frames: int, max_pixels: int, clock: Clock
) -> tuple[list[int | None], bool]:
    """The stamp of every frame that can be decoded, in the order shown, up to one more than allowed.

    Containers such as AVI and ASF store the times of decoding. Where frames changed places (B-frames), these
    stamps are jumbled in the order shown; those of decoding, in which the frames come out, aren't. FFmpeg's
    programs choose between the two in the same way (`best_effort_timestamp`).

    Returns:
        The stamps, and whether they are the frames' own.
    """
    with open_media(path) as container:
        decoder = Decoder(container, choose_video(path, container), max_pixels=max_pixels, clock=clock)
        frames = [(frame.pts, frame.dts) for frame in islice(decoder, max_frames + 1)]
    own, decoding = [pts for pts, _ in frames], [dts for _, dts in frames]
    good, enough = len(_increasing(own)), _ENOUGH_GOOD * len(own)
    jumbled = good < enough <= len(set(own) - {None})  # and not many alike, which tell nothing
    if not jumbled or len(_increasing(decoding)) <= good:
        return own, True
    first = min(pts for pts in own if pts is not None)
    ahead = next(dts for dts in decoding if dts is not None) - first  # the first frame stays where it was
    return [None if dts is None else dts - ahead for dts in decoding], False


def seconds_since(pts: int, origin_pts: int, time_base: Fraction) -> float:
    """Time of a stamp. Exact up to the one rounding of a float64 division."""
    return (pts - origin_pts) * time_base.numerator / time_base.denominator


def frame_times(pts: Stamps, time_base: Fraction, rate_hz: float) -> tuple[Floats, int, bool]:
    """Seconds from the first frame, the stamp of second 0, and whether all stamps could be used.

    Good stamps are the longest series that increases. A frame without one is put evenly between its
    neighbours (before the first good stamp and after the last one, one frame interval apart). Where over a
    tenth are like that (raw streams), none is used and all frames are one interval apart.

    Shape: (N,) stamps -> (N,) float64, strictly increasing.

    Args:
        pts: the stamps in the order shown.
        time_base: seconds per unit.
        rate_hz: as the header says. It counts only where it agrees with the good stamps: browsers write 1000.
    """
    good = _increasing(pts)
    order = np.arange(len(pts), dtype=np.float64)
    first = next((stamp for stamp in pts if stamp is not None), 0)
    origin = pts[good[0]] or 0 if good else 0
    known_s = np.array([seconds_since(pts[i] or 0, origin, time_base) for i in good])
    interval_s = _interval_s(known_s, good, rate_hz)
    if len(good) < _ENOUGH_GOOD * len(pts):
        return order * interval_s, first, False
    time_s = np.interp(order, good, known_s)
    time_s += np.clip(order - good[0], None, 0) * interval_s + np.clip(order - good[-1], 0, None) * interval_s
    origin += round(time_s[0] / time_base)
    return time_s - time_s[0], origin, len(good) == len(pts)


def _interval_s(known_s: Floats, good: Sequence[int], rate_hz: float) -> float:
    """Time from frame to frame: the header's, or the median of the good stamps where that is another."""
    if len(good) < _ENOUGH_STAMPS:
        return 1 / rate_hz
    median_s = float(np.median(np.diff(known_s) / np.diff(good)))
    return 1 / rate_hz if abs(median_s * rate_hz - 1) <= _RATE_AGREES else median_s


def _increasing(pts: Stamps) -> list[int]:
    """Indices of the longest strictly increasing series of stamps (patience sorting, O(n log n))."""
    known = [index for index, stamp in enumerate(pts) if stamp is not None]
    stamps = [pts[index] or 0 for index in known]
    if all(a < b for a, b in pairwise(stamps)):
        return known
    ends: list[int] = []  # the least stamp that ends a series of each length
    holders: list[int] = []
    before = [-1] * len(stamps)
    for i, stamp in enumerate(stamps):
        length = bisect_left(ends, stamp)
        if ends[length : length + 1] != [stamp]:  # of two equal ones the first stays
            ends[length : length + 1], holders[length : length + 1] = [stamp], [i]
        before[i] = holders[length - 1] if length else -1
    series, i = [], holders[-1]
    while i >= 0:
        series.append(known[i])
        i = before[i]
    return series[::-1]
