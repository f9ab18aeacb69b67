"""A sound file treated as a video: a grid of times replaces the times of frames."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.errors import BadInput
from stages.media.container import ContainerFacts, require_track
from stages.media.limits import Limits
from stages.media.scan import Hearing, scan_sound
from stages.media.source import Decoder, audio_tracks, choose_audio, open_media

_TICK = Fraction(1, 1_000_000)
_TIE_S = 1e-9


def probe_sound(
    path: Path, rate_hz: float, limits: Limits | None = None, hearing: Hearing | None = None
) -> ContainerFacts:
    """Facts of a sound file, as `container.probe` gives them of a video.

    Its native times are k / rate_hz from the first sample on; there are no pictures, hence no width.

    Args:
        path: a local sound file.
        rate_hz: of the times, > 0.
        limits: what to refuse; None for the defaults.
        hearing: which sound to take; None for the track that players prefer of those with sound.

    Raises:
        BadInput: no sound that can be decoded or heard, or more of it than the limits allow.
    """
    limits, hearing = limits or Limits(), hearing or Hearing()
    with open_media(path) as container:
        if not audio_tracks(container):
            raise BadInput(path, "neither pictures nor sound that can be decoded", "Name another file")
        require_track(path, container, hearing)
        index, audible, clock = scan_sound(container, hearing)
    with open_media(path) as container:
        stream: Any = choose_audio(container) if index is None else container.streams[index]
        begin_s, end_s = _extent(path, Decoder(container, stream, clock=clock), limits)
        if index is None:
            raise BadInput(path, "no sound in it, only silence", "Lower decode.min_sound_db, or leave it out")
        duration_s = end_s - begin_s
        limits.check_length(path, 0, duration_s)
        count = max(1, int(np.ceil(duration_s * rate_hz - _TIE_S)))
        return ContainerFacts(
            time_s=np.arange(count) / rate_hz,
            duration_s=duration_s,
            width=0,
            height=0,
            rotation_deg=0,
            average_rate_hz=rate_hz,
            variable_rate=False,
            video_codec="",
            pixel_format="",
            has_audio=True,
            audio_codec=stream.codec_context.name,
            audio_rate_hz=stream.rate,
            audio_channels=stream.channels,
            audio_start_s=0.0,
            video_streams=0,
            audio_streams=len(container.streams.audio),
            declared_frames=0,
            origin_pts=round(begin_s / _TICK),
            time_base=_TICK,
            stamped=False,
            audio_index=index,
            audio_track=[one.index for one in audio_tracks(container)].index(index) + 1,
            audible_tracks=audible,
            joints_s=tuple(joint_s - begin_s for joint_s in clock.joints_s),
            clock=clock,
        )


def _extent(path: Path, decoder: Decoder, limits: Limits) -> tuple[float, float]:
    """Begin and end of what can be decoded, in seconds of the file's own clock."""
    begin_s: float | None = None
    end_s, samples = 0.0, 0
    for frame in decoder:
        if frame.sample_rate <= 0:
            continue
        samples += frame.samples
        limits.check_sound(path, samples)
        start_s = end_s if frame.pts is None else float(frame.pts * frame.time_base)
        begin_s = start_s if begin_s is None else begin_s
        end_s = max(end_s, start_s + frame.samples / frame.sample_rate)
        limits.check_length(path, 0, end_s - begin_s)
    if begin_s is None or end_s <= begin_s:
        raise BadInput(path, "no sound that can be decoded", "Copy it again from its source")
    return begin_s, end_s
