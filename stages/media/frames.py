"""Frames on a regular grid: one sequential decode, only the frames that are kept become RGB."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stages.core.arrays import Floats, Image
from stages.core.errors import BadInput
from stages.media.container import ContainerFacts, Limits, probe
from stages.media.source import Decoder, choose_video, open_media

_TIE_S = 1e-9


class GridFrame(NamedTuple):
    """The native frame nearest to one grid time; the image is upright RGB, (H, W, 3) uint8."""

    k: int
    time_s: float
    frame_time_s: float
    image: Image


def upright(image: Image, matrix: bytes | None) -> Image:
    """Turn, and mirror, a coded picture as its display matrix says.

    Shape: (H, W, 3) -> (H, W, 3), or (W, H, 3) for a quarter turn.

    Args:
        image: the coded picture.
        matrix: 9 int32 as in MP4 (ISO/IEC 14496-12, 8.3.2.3): a point (x, y) is shown at
            (a x + c y, b x + d y) for the first entries a, b, -, c, d; None leaves the picture as it is.
    """
    if matrix is None:
        return image
    a, b, _, c, d = np.frombuffer(matrix, dtype=np.int32)[:5].astype(np.int64)
    if abs(b) > abs(a):  # shown x comes from y
        image, a, d = image.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def display_matrix(frame: Any) -> bytes | None:
    """How a video's pictures are to be turned, see `upright`. Ask its first frame only.

    PyAV ties a frame that was asked to its side data in a circle, and a picture in a circle stays in memory
    until Python's collector comes by, hundreds of pictures later.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    return None if matrix is None else bytes(matrix)


def to_rgb(frame: Any, width: int, height: int, matrix: bytes | None) -> Image:
    """A decoded frame of any pixel format as upright RGB; width × height is meant before the turn."""
    smaller = frame.width * frame.height > width * height
    scaled = frame.reformat(
        width, height, "rgb24", interpolation="AREA" if smaller else "BILINEAR", threads=1
    )
    return upright(np.asarray(scaled.to_ndarray(), dtype=np.uint8), matrix)


def native_frames(facts: ContainerFacts, decoder: Decoder) -> Iterator[tuple[float, Any]]:
    """Every frame that can be decoded, with its time; a frame not later than the last one is left out."""
    latest_s = -np.inf
    for index, frame in enumerate(decoder):
        time_s = facts.time_of(index, frame.pts)
        if time_s is not None and time_s > latest_s:
            latest_s = time_s
            yield time_s, frame


@dataclass
class GridDecoding:
    """The frames of a grid: iterate once (one decode); the counts are complete after that.

    Args:
        path: the video.
        facts: its facts.
        time_s: (T,) grid times.
        max_side_px: longer side of the images at most; None keeps the native size.
        threads: decoder threads, see `Decoder`.
        limits: what to refuse.
    """

    path: Path
    facts: ContainerFacts
    time_s: Floats
    max_side_px: int | None
    threads: int
    limits: Limits
    decoded: int = 0
    """Native frames decoded so far."""
    damaged: int = 0
    """Those of them that the decoder had to patch up."""

    def __len__(self) -> int:
        return len(self.time_s)

    @property
    def undecodable(self) -> int:
        """Native frames that couldn't be decoded."""
        return max(0, self.facts.frame_count - self.decoded)

    def __iter__(self) -> Iterator[GridFrame]:
        kept: tuple[float, Any] | None = None
        shown: tuple[int, int, bytes | None] | None = None
        start = 0
        for frame_time_s, frame in self._decode():
            if shown is None:
                shown = *_fit(frame.width, frame.height, self.max_side_px), display_matrix(frame)
            if kept is not None:
                halfway_s = (kept[0] + frame_time_s) / 2 + _TIE_S  # a tie goes to the earlier frame
                end = int(np.searchsorted(self.time_s, halfway_s, side="right"))
                yield from self._hold(start, end, *kept, shown)
                start = max(start, end)
            kept = frame_time_s, frame
        if kept is None or shown is None:
            raise BadInput(self.path, "none of its frames can be decoded", "Convert it, or leave it out")
        yield from self._hold(start, len(self), *kept, shown)

    def _hold(
        self, start: int, end: int, frame_time_s: float, frame: Any, shown: tuple[int, int, bytes | None]
    ) -> Iterator[GridFrame]:
        if start < end:
            image = to_rgb(frame, *shown)
            for k in range(start, end):
                yield GridFrame(k, float(self.time_s[k]), frame_time_s, image)

    def _decode(self) -> Iterator[tuple[float, Any]]:
        self.decoded = self.damaged = 0
        with open_media(self.path) as container:
            stream = choose_video(self.path, container)
            decoder = Decoder(container, stream, self.threads, self.limits.max_pixels)
            for time_s, frame in native_frames(self.facts, decoder):
                self.limits.check_size(self.path, frame.width, frame.height)
                self.decoded += 1
                self.damaged += bool(frame.is_corrupt)
                yield time_s, frame


def decode_grid(
    path: Path,
    fps_hz: float,
    *,
    facts: ContainerFacts | None = None,
    max_side_px: int | None = None,
    threads: int = 1,
    limits: Limits | None = None,
) -> GridDecoding:
    """Frames at the times t_k = k / fps_hz up to the last native frame: for each the native frame nearest.

    Damaged packets are passed over: a grid time without its own frame gets the nearest that is left.
    A frame of another size than the first is scaled to the first one's.

    Args:
        path: the video.
        fps_hz: grid rate, > 0.
        facts: from `probe`, to save the second pass over the packets.
        max_side_px: longer side of the images at most; None keeps the native size.
        threads: decoder threads, 0 = one per core. Around damage only one thread always gives the same.
        limits: what to refuse; None for the defaults.

    Raises:
        ValueError: fps_hz or max_side_px is not positive.
        BadInput: as `probe`; while iterating, where a frame turns out over the limits.
    """
    if not (fps_hz > 0 and (max_side_px is None or max_side_px > 0)):
        raise ValueError(f"fps_hz={fps_hz} and max_side_px={max_side_px} must be positive")
    limits = limits or Limits()
    facts = facts or probe(path, limits=limits)
    count = grid_length(facts.time_s, fps_hz)
    return GridDecoding(path, facts, np.arange(count) / fps_hz, max_side_px, threads, limits)


def grid_length(time_s: Floats, fps_hz: float) -> int:
    """Grid times t_k = k / fps_hz from 0 up to the last native time. (N,) -> T."""
    return int(np.floor(time_s[-1] * fps_hz + _TIE_S)) + 1


def _fit(width: int, height: int, max_side_px: int | None) -> tuple[int, int]:
    scale = min(1.0, (max_side_px or max(width, height)) / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))
