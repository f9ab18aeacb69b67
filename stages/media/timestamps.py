"""Presentation time stamps: read from packets where those can be trusted, from decoded frames elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.arrays import Floats
from stages.media.source import Decoder, choose_video, open_media, packets

Stamps = Sequence[int | None]

_STORES_EVERY_STAMP = {"mov", "matroska", "flv"}


@dataclass(frozen=True)
class Scan:
    """One pass over a video stream's packets.

    Args:
        pts: the stamps of the packets that are shown, in file order.
        first_frame: the first frame that can be decoded, None if there is none.
        trusted: these stamps, sorted, are those of the frames of an intact file.
    """

    pts: list[int | None]
    first_frame: Any | None
    trusted: bool


def scan_packets(container: Any, stream: Any, max_frames: int, max_pixels: int) -> Scan:
    """Read the packets of a video stream up to one more than allowed; decode only up to the first frame."""
    decoder = Decoder(container, stream, max_pixels=max_pixels)
    first_frame, leader = None, None
    shown: list[int | None] = []
    leads = True
    for packet in packets(container, stream):
        if first_frame is None:
            first_frame = next(iter(decoder.decode(packet)), None)
        leader = leader or packet
        # Pictures before the first key frame have packets, but no decoder shows them.
        leads = leads and leader.is_keyframe and not _before(packet.pts, leader.pts)
        if not packet.is_discard:  # discarded: cut off by an edit list, decoded but not shown
            shown.append(packet.pts)
        if len(shown) > max_frames:
            break
    if first_frame is None:
        first_frame = next(iter(decoder.decode(None)), None)
    return Scan(shown, first_frame, leads and _one_stamp_per_frame(container, stream, shown))


def _before(pts: int | None, leader: int | None) -> bool:
    return pts is None or leader is None or pts < leader


def _one_stamp_per_frame(container: Any, stream: Any, pts: Stamps) -> bool:
    """Whether the container stores one presentation time per frame, and did so here.

    MPEG program and transport streams don't: there the reader guesses. AVI counts frames in decoding order,
    which is the order shown only without B-frames; VP8 has packets that show nothing.
    """
    context = stream.codec_context
    names = set(container.format.name.split(","))
    stores = bool(names & _STORES_EVERY_STAMP) or (names == {"avi"} and not context.has_b_frames)
    known = sorted(stamp for stamp in pts if stamp is not None)
    complete = len(known) == len(pts) and all(a < b for a, b in pairwise(known))
    return stores and complete and context.name not in {"vp8", "libvpx"}


def decoded_stamps(path: Path, max_frames: int, max_pixels: int) -> list[int | None]:
    """The stamp of every frame that can be decoded, in the order shown, up to one more than allowed."""
    with open_media(path) as container:
        decoder = Decoder(container, choose_video(path, container), max_pixels=max_pixels)
        return [frame.pts for frame in islice(decoder, max_frames + 1)]


def seconds_since(pts: int, origin_pts: int, time_base: Fraction) -> float:
    """Time of a stamp. Exact up to the one rounding of a float64 division."""
    return (pts - origin_pts) * time_base.numerator / time_base.denominator


def frame_times(pts: Stamps, time_base: Fraction, rate_hz: float) -> tuple[Floats, int, bool]:
    """Seconds from the first frame, the stamp of second 0, and whether all stamps could be used.

    A frame whose stamp is missing, or not later than all before it, is put evenly between its neighbours
    (before the first good stamp and after the last one, 1 / rate_hz apart). Where over a tenth are like that
    (raw streams, AVI with B-frames), none is believed and all frames are 1 / rate_hz apart.

    Shape: (N,) stamps -> (N,) float64, strictly increasing.
    """
    good = _advancing(pts)
    order = np.arange(len(pts), dtype=np.float64)
    origin = pts[good[0]] or 0 if good else 0
    if len(good) < 0.9 * len(pts):
        return order / rate_hz, origin, False
    known_s = np.array([seconds_since(pts[i] or 0, origin, time_base) for i in good])
    time_s = np.interp(order, good, known_s)
    time_s += np.clip(order - good[0], None, 0) / rate_hz + np.clip(order - good[-1], 0, None) / rate_hz
    origin += round(time_s[0] / time_base)
    return time_s - time_s[0], origin, len(good) == len(pts)


def _advancing(pts: Stamps) -> list[int]:
    """Indices of the stamps later than every stamp before them."""
    indices: list[int] = []
    latest: int | None = None
    for index, stamp in enumerate(pts):
        if stamp is not None and (latest is None or stamp > latest):
            indices.append(index)
            latest = stamp
    return indices
