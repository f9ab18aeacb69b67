"""Write an MP4 from frames with their own times, and a waveform in step with them."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np

from stages.core.arrays import Image
from stages.media.planes import FORMAT
from stages.media.polarity import Sliced

_TICK = Fraction(
    1, 60_000
)  # all usual rates are whole numbers of it; MPEG-4 takes nothing finer than 1/65535
# The first that FFmpeg has. No macroblock trees: with them x264's vector code now and then gives other bytes.
_CODECS = {
    "libx264": {"preset": "superfast", "crf": "21", "x264-params": "mbtree=0"},
    "mpeg4": {"qscale": "4"},
}


_BLOCK = 1 << 20
_ONE_SOUND = 2**-12
"""Channels that differ by less, 72 dB below full scale, are one, encoded once: players double it."""


class Movie:
    """An MP4 file being written; a context manager that finishes the file.

    Args:
        path: the file, whatever its name ends in.
        height: of the frames, even.
        width: of the frames, even.
        sound: samples (n, 2), full scale at 1, the first at the first frame; None for a silent film.
        rate_hz: of the sound.
        threads: encoder threads, 0 = one per core.
    """

    def __init__(
        self,
        path: Path,
        height: int,
        width: int,
        *,
        sound: Sliced | None,
        rate_hz: int = 44_100,
        threads: int = 1,
    ) -> None:
        self._container = av.open(str(path), "w", format="mp4", container_options={"movflags": "faststart"})
        codec = next(name for name in _CODECS if name in av.codecs_available)
        self._picture = self._container.add_stream(codec, options=_CODECS[codec])
        self._picture.width, self._picture.height, self._picture.pix_fmt = width, height, FORMAT
        self._picture.codec_context.time_base = _TICK
        self._picture.codec_context.thread_count = threads
        self._sound, self._rate_hz = sound, rate_hz
        self._track: Any = None
        if sound is not None:
            self._layout = "mono" if _alike(sound) else "stereo"
            self._track = self._container.add_stream(
                "aac", rate=rate_hz, layout=self._layout, options={"aac_coder": "fast"}
            )
        self._sent = 0
        self._latest = -1

    def __enter__(self) -> "Movie":
        return self

    def write(self, time_s: float, planes: Image) -> None:
        """Add a frame, later than the last; one within 1/60000 s of it is dropped.

        Args:
            time_s: of the frame.
            planes: (3 height / 2, width), see `stages.media.planes`; it is the encoder's from now on.
        """
        tick = round(time_s / _TICK)
        if tick > self._latest:
            self._latest = tick
            frame = av.VideoFrame.from_numpy_buffer(planes, format=FORMAT)
            frame.pts, frame.time_base = tick, _TICK
            self._container.mux(self._picture.encode(frame))
            self._send_sound(round(time_s * self._rate_hz))

    def _send_sound(self, end: int) -> None:
        """Encode the samples before number `end` that weren't yet."""
        if self._sound is None:
            return
        step, channels = self._track.codec_context.frame_size or 1024, self._track.codec_context.channels
        while self._sent < min(end, len(self._sound)):
            block = np.ascontiguousarray(self._sound[self._sent : self._sent + step][:, :channels].T)
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=self._layout)
            frame.sample_rate, frame.pts = self._rate_hz, self._sent
            frame.time_base = Fraction(1, self._rate_hz)
            self._container.mux(self._track.encode(frame))
            self._sent += step

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._container:
            if kind is None:
                self._send_sound(0 if self._sound is None else len(self._sound))
                for stream in filter(None, (self._picture, self._track)):
                    self._container.mux(stream.encode(None))


def _alike(samples: Sliced) -> bool:
    """Whether both channels hold the same. Shape: (n, 2)."""
    blocks = (samples[start : start + _BLOCK] for start in range(0, len(samples), _BLOCK))
    return all(np.abs(block[:, 0] - block[:, 1]).max() < _ONE_SOUND for block in blocks)
