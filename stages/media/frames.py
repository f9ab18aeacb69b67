"""Frames on a regular grid: one sequential decode, only the frames that are kept become RGB."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stages.core.arrays import Flags, Floats, Image, Integers
from stages.core.errors import BadInput
from stages.media.canvas import Canvas, display_matrix, sensible_aspect, square_size
from stages.media.container import PictureFacts, probe
from stages.media.limits import Limits
from stages.media.source import Decoder, choose_video, open_media

_TIE_S = 1e-9


class GridFrame(NamedTuple):
    """The native frame nearest to one grid time; the image is upright RGB, (H, W, 3) uint8."""

    k: int
    time_s: float
    frame_time_s: float
    image: Image


def canvas_of(facts: PictureFacts, frame: Any, size: tuple[int, int]) -> Canvas:
    """What draws a video's frames.

    Args:
        facts: of the video.
        frame: its first one.
        size: width and height of the upright images.
    """
    shown = size if facts.rotation_deg % 180 == 0 else size[::-1]
    coded = facts.coded_width, facts.coded_height
    return Canvas(coded, facts.pixel_aspect, shown, display_matrix(frame))


class NativeFrame(NamedTuple):
    """A decoded frame, its time, and the shape of its pixels."""

    time_s: float
    frame: Any
    aspect: Fraction

    @property
    def shape(self) -> tuple[int, int, Fraction]:
        """Width and height as stored, and the shape of the pixels."""
        return self.frame.width, self.frame.height, self.aspect


class SizeChange(NamedTuple):
    """From when on the picture has another size, upright and in square pixels."""

    time_s: float
    width: int
    height: int


def native_frames(facts: PictureFacts, decoder: Decoder) -> Iterator[NativeFrame]:
    """Every frame that can be decoded, with its time; a frame not later than the last one is left out.

    The shape of pixels changes in some broadcasts, between 4:3 and 16:9. PyAV's frames don't tell theirs, its
    decoder does, as soon as it reads of the change: some frames of before it are still to come then. The
    first one after it is a key frame.
    """
    latest_s, aspect, context = -np.inf, facts.pixel_aspect, decoder.stream.codec_context
    stated = context.sample_aspect_ratio
    for index, frame in enumerate(decoder):
        time_s = facts.time_of(index, frame.pts)
        if index == 0:
            stated = context.sample_aspect_ratio
        elif context.sample_aspect_ratio != stated and frame.key_frame:
            stated = context.sample_aspect_ratio
            aspect = sensible_aspect(stated)
        if time_s is not None and time_s > latest_s:
            latest_s = time_s
            yield NativeFrame(time_s, frame, aspect)
        else:
            decoder.out_of_order += 1


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
        wanted: (T,) the times whose frames are drawn, the others are passed over; None: all. After the last
            of them decoding ends, and the counts are incomplete.
    """

    path: Path
    facts: PictureFacts
    time_s: Floats
    max_side_px: int | None
    threads: int
    limits: Limits
    wanted: Flags | None = None
    decoded: int = 0
    """Native frames decoded so far."""
    damaged: int = 0
    """Those of them that the decoder had to patch up."""
    out_of_order: int = 0
    """Native frames left out: the decoder gave them after a later one."""
    changes: list[SizeChange] = field(default_factory=list)
    """Where the size or shape of the picture changes."""

    def __len__(self) -> int:
        return len(self.time_s)

    @property
    def undecodable(self) -> int:
        """Native frames that couldn't be decoded."""
        return max(0, self.facts.frame_count - self.decoded - self.out_of_order)

    def __iter__(self) -> Iterator[GridFrame]:
        kept: NativeFrame | None = None
        canvas: Canvas | None = None
        start, end_of_wanted = 0, self._end_of_wanted()
        for native in self._decode():
            if canvas is None:
                size = fitted_size(self.facts.width, self.facts.height, self.max_side_px)
                canvas = canvas_of(self.facts, native.frame, size)
            if kept is not None:
                halfway_s = (kept.time_s + native.time_s) / 2 + _TIE_S  # a tie goes to the earlier frame
                end = int(np.searchsorted(self.time_s, halfway_s, side="right"))
                yield from self._hold(start, end, kept, canvas)
                start = max(start, end)
                if start >= end_of_wanted:
                    return
                self._note_change(kept, native)
            kept = native
        if kept is None or canvas is None:
            raise BadInput(self.path, "none of its frames can be decoded", "Convert it, or leave it out")
        yield from self._hold(start, len(self), kept, canvas)

    def _hold(self, start: int, end: int, native: NativeFrame, canvas: Canvas) -> Iterator[GridFrame]:
        steps = [k for k in range(start, end) if self.wanted is None or self.wanted[k]]
        if steps:
            image = canvas.draw(native.frame, native.aspect)
            for k in steps:
                yield GridFrame(k, float(self.time_s[k]), native.time_s, image)

    def _end_of_wanted(self) -> float:
        """Where nothing more is wanted; never, where all is, so that every frame is counted."""
        if self.wanted is None:
            return np.inf
        return int(np.flatnonzero(self.wanted)[-1]) + 1 if self.wanted.any() else 0

    def _note_change(self, before: NativeFrame, native: NativeFrame) -> None:
        if native.shape != before.shape:
            width, height = square_size(*native.shape)
            turned = self.facts.rotation_deg % 180 != 0
            self.limits.check_size(self.path, width, height)
            self.changes.append(SizeChange(native.time_s, *((height, width) if turned else (width, height))))

    def _decode(self) -> Iterator[NativeFrame]:
        self.decoded = self.damaged = self.out_of_order = 0
        self.changes.clear()
        with open_media(self.path) as container:
            stream = choose_video(self.path, container)
            decoder = Decoder(container, stream, self.threads, self.limits.max_pixels, self.facts.clock)
            for native in native_frames(self.facts, decoder):
                self.limits.check_size(self.path, native.frame.width, native.frame.height)
                self.decoded += 1
                self.damaged += bool(native.frame.is_corrupt)
                yield native
            self.out_of_order = decoder.out_of_order


def decode_grid(
    path: Path,
    fps_hz: float,
    *,
    facts: PictureFacts | None = None,
    max_side_px: int | None = None,
    threads: int = 1,
    limits: Limits | None = None,
    wanted: Flags | None = None,
) -> GridDecoding:
    """Frames at the times t_k = k / fps_hz up to the last native frame: for each the native frame nearest.

    Damaged packets are passed over: a grid time without its own frame gets the nearest that is left.
    A frame of another size than the first is scaled to fit into the first one's, and padded.

    Args:
        path: the video.
        fps_hz: grid rate, > 0.
        facts: from `probe`, to save the second pass over the packets.
        max_side_px: longer side of the images at most; None keeps the native size.
        threads: decoder threads, 0 = one per core. Around damage only one thread always gives the same.
        limits: what to refuse; None for the defaults.
        wanted: see `GridDecoding`.

    Raises:
        ValueError: fps_hz or max_side_px is not positive.
        BadInput: as `probe`; while iterating, where a frame turns out over the limits.
    """
    if not (fps_hz > 0 and (max_side_px is None or max_side_px > 0)):
        raise ValueError(f"fps_hz={fps_hz} and max_side_px={max_side_px} must be positive")
    limits = limits or Limits()
    facts = facts or probe(path, limits=limits)
    count = grid_length(facts.time_s, fps_hz)
    return GridDecoding(path, facts, np.arange(count) / fps_hz, max_side_px, threads, limits, wanted)


def grid_length(time_s: Floats, fps_hz: float) -> int:
    """Grid times t_k = k / fps_hz from 0 up to the last native time. (N,) -> T."""
    return int(np.floor(time_s[-1] * fps_hz + _TIE_S)) + 1


def nearest_frames(native_s: Floats, time_s: Floats) -> Integers:
    """Which native frame is nearest to each grid time, by the file's stamps; a tie goes to the earlier one.

    It is the frame that `decode_grid` shows where every frame can be decoded.

    Shape: (N,), (T,) -> (T,) int64.

    >>> nearest_frames(np.array([0.0, 0.1, 0.3, 0.5]), np.array([0.0, 0.2, 0.4])).tolist()
    [0, 1, 2]
    """
    halfway_s = (native_s[:-1] + native_s[1:]) / 2 + _TIE_S
    return np.searchsorted(halfway_s, time_s, side="left").astype(np.int64)


def fitted_size(width: int, height: int, max_side_px: int | None) -> tuple[int, int]:
    """Width and height of a picture whose longer side is brought down to max_side_px; None: as they are."""
    scale = min(1.0, (max_side_px or max(width, height)) / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))
