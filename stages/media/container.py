"""What a video file holds: its size, rates and streams, and the time of every native frame."""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stages.core.arrays import Floats
from stages.core.errors import BadInput
from stages.media.source import choose_audio, choose_video, open_media
from stages.media.timestamps import decoded_stamps, frame_times, scan_packets, seconds_since

Count = Literal["packets", "decoding"]


@dataclass(frozen=True)
class Limits:
    """What a video may cost, so that one odd file can't fill the memory or the day.

    Args:
        max_pixels: width × height of one frame.
        max_duration_s: length of the video.
        max_frames: number of native frames.
        max_audio_samples: length of the waveform, samples per channel.
        max_jpeg_bytes: the frames that are kept, as JPEG, all together.
        max_gap_s: time without a frame; one damaged stamp can lie hours after the one before.
    """

    max_pixels: int = 8192 * 4320
    max_duration_s: float = 6 * 3600.0
    max_frames: int = 2_000_000
    max_audio_samples: int = 1_000_000_000
    max_jpeg_bytes: int = 8_000_000_000
    max_gap_s: float = 600.0

    def check_size(self, path: Path, width: int, height: int) -> None:
        """Raise BadInput where a frame is larger than allowed."""
        if width * height > self.max_pixels:
            raise BadInput(
                path,
                f"frames of {width} × {height} pixels, more than the {self.max_pixels} pixels allowed",
                "Scale the video down, or raise decode.max_pixels",
            )

    def check_length(self, path: Path, frames: int, duration_s: float) -> None:
        """Raise BadInput where the video is longer than allowed."""
        if frames > self.max_frames:  # counting stops there
            problem = f"more than the {self.max_frames} frames allowed"
            raise BadInput(path, problem, "Cut the video, or raise decode.max_frames")
        if duration_s > self.max_duration_s:
            problem = (
                f"{frames} frames in {duration_s:.0f} s, more than the {self.max_duration_s:.0f} s allowed"
            )
            raise BadInput(path, problem, "Cut the video, or raise decode.max_duration_s")

    def check_gaps(self, path: Path, time_s: Floats) -> None:
        """Raise BadInput where there is no frame for longer than allowed."""
        gaps_s = np.diff(time_s)
        if len(gaps_s) and gaps_s.max() > self.max_gap_s:
            k = int(gaps_s.argmax())
            problem = (
                f"no frame between {time_s[k]:.1f} and {time_s[k + 1]:.1f} s: its time stamps are damaged"
            )
            remedy = f"Convert it, or raise decode.max_gap_s (now {self.max_gap_s:g})"
            raise BadInput(path, problem, remedy)

    def check_sound(self, path: Path, samples: int) -> None:
        """Raise BadInput where the waveform is longer than allowed."""
        if samples > self.max_audio_samples:
            problem = f"{samples} samples of sound, more than the {self.max_audio_samples} allowed"
            raise BadInput(
                path, problem, "Cut the video, lower decode.audio_rate_hz, or raise decode.max_audio_samples"
            )

    def check_jpegs(self, path: Path, size: int) -> None:
        """Raise BadInput where the frames kept so far take more bytes than allowed."""
        if size > self.max_jpeg_bytes:
            problem = f"frames of over {self.max_jpeg_bytes} bytes as JPEG, which is what is allowed"
            remedy = "Cut the video, lower decode.max_side_px, or raise decode.max_jpeg_bytes"
            raise BadInput(path, problem, remedy)


@dataclass(frozen=True)
class ContainerFacts:
    """A video file in figures; width and height are those of the upright picture."""

    time_s: Floats = field(repr=False, compare=False)
    """(N,) native frame times from the first frame, strictly increasing."""
    duration_s: float
    """Up to the end of the last frame, which is taken to last as long as the median frame."""
    width: int
    height: int
    rotation_deg: int
    """Clockwise turn (0, 90, 180, 270) that makes the coded picture upright."""
    average_rate_hz: float
    variable_rate: bool
    """Some interval is off the median by over 5 % and a tick of the clock: index / rate is not the time."""
    video_codec: str
    pixel_format: str
    has_audio: bool
    audio_codec: str | None
    audio_rate_hz: int | None
    audio_channels: int | None
    audio_start_s: float | None
    """Start of the sound from the first video frame; negative where it starts earlier."""
    video_streams: int
    audio_streams: int
    declared_frames: int
    """What the header says (0: nothing). Often wrong; `frame_count` is what is there."""
    origin_pts: int
    """Stamp of the first frame in units of `time_base`; only its sound needs it."""
    time_base: Fraction
    stamped: bool
    """False: stamps are missing or don't increase, and the times follow from the order of the frames."""

    @property
    def frame_count(self) -> int:
        """Number of native frames."""
        return len(self.time_s)

    def time_of(self, index: int, pts: int | None) -> float | None:
        """Time of the decoded frame number `index` with stamp `pts`; None where nothing tells it."""
        if self.stamped:
            return None if pts is None else seconds_since(pts, self.origin_pts, self.time_base)
        return float(self.time_s[index]) if index < self.frame_count else None


def probe(path: Path, count: Count = "packets", limits: Limits | None = None) -> ContainerFacts:
    """Facts and native frame times of a video file.

    Args:
        path: a local video file.
        count: 'packets' reads the stamps without decoding (it decodes by itself where the container does
            not store one stamp per frame); 'decoding' keeps only frames that can be decoded.
        limits: what to refuse; None for the defaults.

    Raises:
        BadInput: not a video, damaged beyond use, without any decodable frame, or over the limits.
    """
    limits = limits or Limits()
    with open_media(path) as container:
        stream = choose_video(path, container)
        limits.check_size(path, stream.codec_context.width, stream.codec_context.height)
        scan = scan_packets(container, stream, limits.max_frames, limits.max_pixels)
        limits.check_length(path, len(scan.pts), 0.0)
        if scan.first_frame is None:
            raise BadInput(
                path, f"none of its {len(scan.pts)} frames can be decoded", "Convert it, or leave it out"
            )
        from_packets = count == "packets" and scan.trusted
        if from_packets:
            pts: list[int] | list[int | None] = sorted(stamp or 0 for stamp in scan.pts)
        else:
            pts = decoded_stamps(path, limits.max_frames, limits.max_pixels)
            limits.check_length(path, len(pts), 0.0)
        facts = _facts(container, stream, scan.first_frame, pts)
    limits.check_length(path, facts.frame_count, facts.duration_s)
    limits.check_gaps(path, facts.time_s)
    return facts


def time_base(path: Path, count: Count = "packets") -> Floats:
    """Native frame times (N,) in seconds from the first frame: `probe(path, count).time_s`."""
    return probe(path, count).time_s


def _facts(container: Any, stream: Any, frame: Any, pts: list[int] | list[int | None]) -> ContainerFacts:
    rate_hz = float(stream.guessed_rate or stream.average_rate or 25)
    time_s, origin_pts, stamped = frame_times(pts, stream.time_base, rate_hz)
    interval_s = np.diff(time_s) if len(time_s) > 1 else np.array([1 / rate_hz])
    median_s = float(np.median(interval_s))
    off_s = float(np.abs(interval_s - median_s).max())
    turned = frame.rotation % 180 != 0
    audio = choose_audio(container)
    return ContainerFacts(
        time_s=time_s,
        duration_s=float(time_s[-1]) + median_s,
        width=frame.height if turned else frame.width,
        height=frame.width if turned else frame.height,
        rotation_deg=-frame.rotation % 360,
        average_rate_hz=len(interval_s) / (float(time_s[-1]) or 1 / rate_hz),
        variable_rate=off_s > 0.05 * median_s + float(stream.time_base) * 1.001,
        video_codec=stream.codec_context.name,
        pixel_format=frame.format.name,
        has_audio=audio is not None,
        audio_codec=audio and audio.codec_context.name,
        audio_rate_hz=audio and audio.rate,
        audio_channels=audio and audio.channels,
        audio_start_s=audio
        and float((audio.start_time or 0) * audio.time_base - origin_pts * stream.time_base),
        video_streams=len(container.streams.video),
        audio_streams=len(container.streams.audio),
        declared_frames=stream.frames,
        origin_pts=origin_pts,
        time_base=stream.time_base,
        stamped=stamped,
    )
