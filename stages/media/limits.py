"""Limits on what a media file may hold; nothing that reads one is imported here."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.core.arrays import Floats
from stages.core.errors import BadInput


@dataclass(frozen=True)
class Limits:
    """Limits on a video, so that one unusual file can't use up the memory or run for hours.

    Args:
        max_pixels: width × height of one frame.
        max_duration_s: length of the video.
        max_frames: number of native frames.
        max_audio_samples: length of the waveform, samples per channel.
        max_jpeg_bytes: the frames that are kept, as JPEG, all together.
        max_gap_s: time without a frame that neither the sound nor the file's stated length confirms; one
            damaged stamp can lie hours after the one before.
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

    def check_gaps(self, path: Path, time_s: Floats, known_s: float = 0.0) -> None:
        """Raise BadInput where there is no frame for longer than allowed, and nothing else goes on either.

        Args:
            path: the video.
            time_s: (N,) times of the frames.
            known_s: up to here the file is known to go on, by its sound or its stated length.
        """
        for start_s, end_s in long_gaps(time_s, self.max_gap_s):
            if known_s < start_s + (end_s - start_s) / 2:
                problem = still_words(start_s, end_s)
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


def long_gaps(time_s: Floats, longest_s: float) -> list[tuple[float, float]]:
    """Begin and end of every time without a frame that is longer than this."""
    begins = np.flatnonzero(np.diff(time_s) > longest_s)
    return [(float(time_s[k]), float(time_s[k + 1])) for k in begins]


def still_words(start_s: float, end_s: float) -> str:
    """The note on a long time without a frame."""
    gap_s = end_s - start_s
    spoken = f"{gap_s / 60:.0f} min" if gap_s >= 120 else f"{gap_s:.0f} s"
    return f"no new frame for {spoken}, from {start_s:.1f} s on (screen recording?)"
