"""Clips made on the spot: a clock drawn into every frame, any time stamps, codec, container, sound."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

BITS = 16
FAST = {"libx264": {"preset": "ultrafast"}, "libvpx": {"deadline": "realtime", "cpu-used": "8"}}
ClipMaker = Callable[..., Path]


def clock(time_s: float, height: int = 64, bar_px: int = 16) -> np.ndarray:
    """(height, 16 bar_px, 3): milliseconds as 16 vertical bars, white = 1, least bit on the left."""
    bits = (round(time_s * 1000) >> np.arange(BITS)) & 1
    row = np.repeat(np.where(bits, 235, 20).astype(np.uint8), bar_px)
    return np.ascontiguousarray(np.broadcast_to(row[None, :, None], (height, len(row), 3)))


@pytest.fixture
def draw_clock() -> Callable[..., np.ndarray]:
    """The drawing of a clock, for another size."""
    return clock


@pytest.fixture
def read_clock() -> Callable[[np.ndarray], float]:
    """Seconds that the clock drew into an upright RGB image of any size."""

    def read(image: np.ndarray) -> float:
        bars = image.mean(axis=(0, 2)).reshape(BITS, -1)
        quarter = bars.shape[1] // 4
        white = bars[:, quarter:-quarter].mean(axis=1) > 128
        return float((white << np.arange(BITS)).sum()) / 1000

    return read


@pytest.fixture
def make_clip(tmp_path: Path) -> ClipMaker:
    """Write a clip of clocks; returns its path."""

    def make(
        name: str = "clip.mp4",
        times_s: Sequence[float] = tuple(np.arange(50) / 25),
        *,
        codec: str = "libx264",
        pix_fmt: str = "yuv420p",
        options: dict[str, str] | None = None,
        tick: Fraction = Fraction(1, 1000),
        draw: Callable[[float], np.ndarray] = clock,
        bframes: int = 0,
        turn: tuple[float, bool] | None = None,
        sound: np.ndarray | None = None,
        sound_rate_hz: int = 44_100,
        sound_start_s: float = 0.0,
        sound_gap: tuple[int, int] = (0, 0),
        sound_codec: str = "aac",
        sound_layout: str = "stereo",
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w") as out:
            first = draw(times_s[0])
            stream = out.add_stream(codec, rate=25, options={**FAST.get(codec, {}), **(options or {})})
            stream.height, stream.width, stream.pix_fmt = *first.shape[:2], pix_fmt
            stream.codec_context.time_base, stream.codec_context.max_b_frames = tick, bframes
            if turn:
                stream.set_display_rotation(turn[0], hflip=turn[1])
            if sound is not None:
                track = out.add_stream(sound_codec, rate=sound_rate_hz, layout=sound_layout)
            for t in times_s:
                frame = av.VideoFrame.from_ndarray(draw(t), format="rgb24").reformat(format=pix_fmt)
                frame.pts, frame.time_base = round(t / tick), tick
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
            if sound is not None:
                add_sound(out, track, sound, round(sound_start_s * sound_rate_hz), sound_gap)
        return path

    return make


def add_sound(out: Any, track: Any, sound: np.ndarray, first_pts: int, gap: tuple[int, int]) -> None:
    """Encode (n, channels) samples, leaving out the blocks that start within gap."""
    rate_hz, step = track.rate, track.codec_context.frame_size or 1024
    for start in range(0, len(sound), step):
        if not gap[0] <= start < gap[1]:
            block = np.ascontiguousarray(sound[start : start + step].T, dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=track.layout.name)
            frame.sample_rate, frame.time_base, frame.pts = rate_hz, Fraction(1, rate_hz), start + first_pts
            out.mux(track.encode(frame))
    out.mux(track.encode(None))


@pytest.fixture
def damage() -> Callable[..., int]:
    """Overwrite packets of a stream with nonsense; returns how many."""

    def overwrite(path: Path, kind: str, numbers: Sequence[int] | None = None) -> int:
        with av.open(str(path)) as container:
            stream = next(s for s in container.streams if s.type == kind)
            places = [(packet.pos, packet.size) for packet in container.demux(stream) if packet.size]
        data = bytearray(path.read_bytes())
        chosen = places if numbers is None else [places[n] for n in numbers]
        for position, size in chosen:
            data[position : position + size] = bytes(size)
        path.write_bytes(data)
        return len(chosen)

    return overwrite
