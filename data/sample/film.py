"""Write a clip: frames with their time stamps, and the sound, the same bytes every time."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.random import Generator

from data.sample.soundtrack import MIX_RATE_HZ
from stages.core.arrays import Floats, Image, Integers

CLOCK_HZ = 90_000
"""Ticks per second of the time stamps of clips with a variable rate."""

MP3_DELAY = 1105
"""Samples by which MP3 comes out late (576 encoder + 529 decoder); AVI, unlike MP4, can't say so."""


def frame_ticks(rng: Generator, duration_s: float, rate_hz: Fraction | None) -> tuple[Integers, Fraction]:
    """Presentation times of the frames of a clip, in ticks from the first frame, and the tick.

    Args:
        rng: for the variable rate.
        duration_s: length of the clip.
        rate_hz: frames per second; None for a variable rate, steps of 1/30 and 1/15 s in runs.
    """
    if rate_hz is not None:
        return np.arange(int(duration_s * rate_hz)), 1 / rate_hz
    steps = np.repeat(rng.choice([1, 1, 2], size=400), rng.integers(1, 12, size=400)) * (CLOCK_HZ // 30)
    ticks = np.concatenate([[0], np.cumsum(steps)])
    return ticks[ticks < (duration_s - 0.1) * CLOCK_HZ], Fraction(1, CLOCK_HZ)


def write_film(
    file: Path, frames: Iterable[Image], ticks: Integers, tick_s: Fraction, sound: Floats | None
) -> None:
    """Encode a clip.

    Args:
        file: `.mp4` (H.264, AAC) or `.avi` (MPEG-4 part 2, MP3).
        frames: (H, W, 3) RGB, one per tick.
        ticks: presentation times.
        tick_s: seconds per tick.
        sound: (2, samples) at MIX_RATE_HZ, or None for a film without sound.
    """
    old = file.suffix == ".avi"
    # MP3 starts before 0, which AVI can't say: FFmpeg would move all pictures but the first by one frame.
    shift = {"avoid_negative_ts": "disabled"} if old else {}
    with av.open(str(file), "w", options={"fflags": "+bitexact"} | shift) as container:
        pictures = _video_stream(container, old, tick_s)
        speaker = None if sound is None else _audio_stream(container, old)
        for image, pts in zip(frames, ticks, strict=True):
            if not pictures.codec_context.is_open:
                pictures.height, pictures.width = image.shape[:2]
            planes = av.VideoFrame.from_numpy_buffer(
                cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420), format="yuv420p"
            )
            planes.pts, planes.time_base = int(pts), tick_s
            container.mux(pictures.encode(planes))
        container.mux(pictures.encode(None))
        if speaker is not None and sound is not None:
            for chunk in _chunks(sound[:, MP3_DELAY:] if old else sound):
                container.mux(speaker.encode(chunk))
            container.mux(speaker.encode(None))


def _video_stream(container: Any, old: bool, tick_s: Fraction) -> Any:
    # "bitexact" leaves out versions and dates; one thread, as slices would depend on the machine; macroblock
    # trees off, as with them x264's vector code gave one film in ten other bytes. No looking ahead for cuts
    # and for the best B-frames either: there are no cuts, and it would take a quarter of the time.
    rate = 1 / tick_s if tick_s > Fraction(1, 1000) else Fraction(30)
    modern = {
        "preset": "superfast",
        "crf": "25",
        "x264-params": "threads=1:mbtree=0:b-adapt=0:scenecut=0",
    }
    options = {"q:v": "4"} if old else modern
    stream = container.add_stream("mpeg4" if old else "libx264", rate=rate, options=options)
    stream.pix_fmt = "yuv420p"
    stream.time_base = stream.codec_context.time_base = tick_s
    stream.codec_context.thread_count = 1
    stream.codec_context.flags |= av.codec.context.Flags.bitexact
    if old:
        stream.codec_context.bit_rate = 900_000
    return stream


def _audio_stream(container: Any, old: bool) -> Any:
    options = {} if old else {"aac_coder": "fast"}
    stream = container.add_stream(
        "libmp3lame" if old else "aac", rate=MIX_RATE_HZ, options=options, layout="stereo"
    )
    stream.codec_context.bit_rate = 96_000
    stream.codec_context.flags |= av.codec.context.Flags.bitexact
    return stream


def _chunks(sound: Floats) -> Iterable[Any]:
    for start in range(0, sound.shape[1], 1152):
        part = np.ascontiguousarray(sound[:, start : start + 1152], dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = MIX_RATE_HZ, start, Fraction(1, MIX_RATE_HZ)
        yield frame
