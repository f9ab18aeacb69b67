"""What a video file holds: its size, rates and streams, and the time of every native frame."""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stages.core.arrays import Floats
from stages.core.errors import BadInput
from stages.core.notes import printable
from stages.media.canvas import square_size
from stages.media.clock import Clock
from stages.media.colour import Range, odd_matrix, range_of
from stages.media.limits import Limits
from stages.media.scan import Hearing, Scan, scan_packets
from stages.media.source import audio_tracks, choose_video, open_media, video_choices
from stages.media.timestamps import decoded_stamps, frame_times, seconds_since

Count = Literal["packets", "decoding"]

_ON_THE_CLOCK = {"mov", "matroska"}
_LITTLE_S, _LITTLE_SHARE = 1.0, 0.01
_RAW = {"h264", "hevc", "m4v"}
"""Of MPEG-1 and 2 the raw stream has a rate, too."""
_STATES_ITS_LENGTH = {"mov", "matroska", "flv", "asf", "avi"}


@dataclass(frozen=True, kw_only=True)
class PictureFacts:
    """What it takes to read a video's pictures; width and height are of the upright one in square pixels."""

    time_s: Floats = field(repr=False, compare=False)
    """(N,) native frame times from the first frame, strictly increasing."""
    width: int
    height: int
    rotation_deg: int
    """Clockwise turn (0, 90, 180, 270) that makes the coded picture upright."""
    origin_pts: int
    """Stamp of the first frame in units of `time_base`."""
    time_base: Fraction
    stamped: bool
    """False: the stamps of frames are missing or don't increase, and the times follow from their order."""
    coded_width: int = 0
    coded_height: int = 0
    """Of the first frame as stored: neither upright nor with square pixels."""
    pixel_aspect: Fraction = Fraction(1)
    """Width of a stored pixel divided by its height; 1 for square ones."""
    clock: Clock = field(default_factory=Clock, repr=False, compare=False)
    """The shifts that join the clocks; decoders need it."""

    @property
    def frame_count(self) -> int:
        """Number of native frames."""
        return len(self.time_s)

    def time_of(self, index: int, pts: int | None) -> float | None:
        """Time of the decoded frame number `index` with stamp `pts`; None where nothing tells it."""
        if self.stamped:
            return None if pts is None else seconds_since(pts, self.origin_pts, self.time_base)
        return float(self.time_s[index]) if index < self.frame_count else None


@dataclass(frozen=True, kw_only=True)
class ContainerFacts(PictureFacts):
    """A video file in figures."""

    duration_s: float
    """Up to the end of the last frame, which is taken to last as long as the median frame."""
    average_rate_hz: float
    variable_rate: bool
    """Some interval is off the median by over 5 % and a tick of the clock: index / rate is not the time."""
    video_codec: str
    pixel_format: str
    has_audio: bool
    """There is sound to hear; streams of silence don't count."""
    audio_codec: str | None
    audio_rate_hz: int | None
    audio_channels: int | None
    audio_start_s: float | None
    """Start of the sound from the first video frame; negative where it starts earlier."""
    video_streams: int
    audio_streams: int
    declared_frames: int
    """What the header says (0: nothing). Often wrong; `frame_count` is what is there."""
    dynamic_range: Range = "SDR"
    """What the pictures are coded for; anything but SDR is converted to it."""
    interlaced: bool = False
    """The first frame has the lines of two moments: that of the first field is shown of such frames."""
    odd_matrix: str = ""
    """The matrix of its colours if another one is taken for it: colours are inexact then."""
    audio_index: int | None = None
    """Index of the audio stream that is taken, among all streams."""
    audio_track: int | None = None
    """Its number among the audio streams, from 1."""
    audible_tracks: tuple[bool, ...] = ()
    """Whether there is sound in track 1, 2, …"""
    tracks_elsewhere: tuple[bool, ...] = ()
    """Whether track 1, 2, … is of another program of a transport stream than the picture."""
    video_start_s: float = 0.0
    """Time of the first frame on a player's clock: what `time_s` lacks to be a player's time."""
    video_choice: tuple[int, int] = (1, 1)
    """Number of the video stream that is taken, from 1, and of how many; cover pictures don't count."""
    rate_assumed: bool = False
    """A raw stream without any time stamps: its rate is the encoder's word, or else FFmpeg's guess, 25 Hz."""
    joints_s: tuple[float, ...] = ()
    """Where the file's clock starts anew, seconds from the first frame."""
    unread_share: float = 0.0
    """Of the file's bytes, those behind the last packet that was read."""
    sound_beyond_s: float = 0.0
    """How long the sound goes on after the last frame."""
    missing_s: float = 0.0
    """By how much the header says that it goes on after what could be read; 0 where that isn't sure."""


def probe(
    path: Path, count: Count = "packets", limits: Limits | None = None, hearing: Hearing | None = None
) -> ContainerFacts:
    """Facts and native frame times of a video file.

    Args:
        path: a local video file.
        count: 'packets' reads the stamps without decoding (it decodes by itself where the container does
            not store one stamp per frame); 'decoding' keeps only frames that can be decoded.
        limits: what to refuse; None for the defaults.
        hearing: which sound to take; None for the track that players prefer of those with sound.

    Raises:
        BadInput: not a video, damaged beyond use, without any decodable frame, over the limits, or without
            the audio track asked for.
    """
    try:
        state = path.stat()
    except OSError:
        identity = None  # it is said below what is wrong
    else:
        identity = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
    return _probed(path, identity, count, limits or Limits(), hearing or Hearing())


@lru_cache(maxsize=1)  # the steps of `valaro predict` ask the same of one recording after another
def _probed(path: Path, _identity: object, count: Count, limits: Limits, hearing: Hearing) -> ContainerFacts:
    with open_media(path) as container:
        stream = choose_video(path, container)
        require_track(path, container, hearing)
        limits.check_size(path, stream.codec_context.width, stream.codec_context.height)
        scan = scan_packets(container, stream, limits.max_frames, limits.max_pixels, hearing)
        limits.check_length(path, len(scan.pts), 0.0)
        if scan.first_frame is None:
            raise BadInput(
                path, f"none of its {len(scan.pts)} frames can be decoded", "Convert it, or leave it out"
            )
        from_packets = count == "packets" and scan.trusted
        if from_packets:
            pts: list[int] | list[int | None] = sorted(stamp or 0 for stamp in scan.pts)
            own = True
        else:
            pts, own = decoded_stamps(path, limits.max_frames, limits.max_pixels, scan.clock)
            limits.check_length(path, len(pts), 0.0)
        facts = _facts(container, stream, scan, scan.first_frame, pts)
        facts = replace(facts, stamped=facts.stamped and own)
        if "matroska" in container.format.name and scan.end_byte is not None:  # elsewhere an index may follow
            facts = replace(facts, unread_share=1 - scan.end_byte / max(path.stat().st_size, 1))
        facts = replace(facts, missing_s=_missing_s(container, stream, scan))
        sound_s = scan.sound_end_s - _origin_s(facts)
        facts = replace(facts, sound_beyond_s=max(0.0, sound_s - facts.duration_s))
        known_s = max(sound_s, _stated_s(container, stream))
    limits.check_size(path, facts.width, facts.height)
    limits.check_length(path, facts.frame_count, facts.duration_s)
    limits.check_gaps(path, facts.time_s, known_s)
    return facts


def time_base(path: Path, count: Count = "packets") -> Floats:
    """Native frame times (N,) in seconds from the first frame: `probe(path, count).time_s`."""
    return probe(path, count).time_s


def track_words(stream: Any) -> str:
    """An audio stream in words: aac, 2 channels, 44100 Hz."""
    channels = "1 channel" if stream.channels == 1 else f"{stream.channels} channels"
    words = f"{stream.codec_context.name}, {channels}, {stream.rate} Hz"
    named = [
        stream.metadata[key] for key in ("language", "title") if stream.metadata.get(key, "und") != "und"
    ]
    return ", ".join([words, *map(printable, named)])


def require_track(path: Path, container: Any, hearing: Hearing) -> None:
    """Raise BadInput where the audio track asked for isn't there; the tracks that are there are named."""
    tracks = audio_tracks(container)
    if hearing.track is not None and not 1 <= hearing.track <= len(tracks):
        listed = "; ".join(f"{number}: {track_words(track)}" for number, track in enumerate(tracks, start=1))
        problem = f"no audio track {hearing.track}; it has {listed or 'none'}"
        raise BadInput(path, problem, "Choose one of these (--audio-track, decode.audio_track), or none")


def _stated_s(container: Any, stream: Any) -> float:
    """Length that the header states; 0 where there is none, or where it is only an estimate from stamps."""
    if not set(container.format.name.split(",")) & _STATES_ITS_LENGTH:
        return 0.0
    own_s = float((stream.duration or 0) * stream.time_base)
    return max(own_s, float(container.duration or 0) / 1e6)  # AV_TIME_BASE


def _missing_s(container: Any, stream: Any, scan: Scan) -> float:
    """What the header says of the length, less what is there; 0 for little, and where other streams count."""
    if scan.clock.joints_s or not set(container.format.name.split(",")) & (_STATES_ITS_LENGTH | {"mxf"}):
        return 0.0
    if stream.duration:
        # FFmpeg guesses the start of Matroska streams; at low rates seconds after the first frame.
        start = min((stamp for stamp in (stream.start_time, *scan.pts) if stamp is not None), default=0)
        stated_s = float((start + stream.duration) * stream.time_base)
        missing_s = stated_s - scan.ends_s[stream.index]
    elif {one.type for one in container.streams} <= {"video", "audio"}:  # subtitles may be longer
        stated_s = float(container.duration or 0) / 1e6
        missing_s = stated_s - max(scan.ends_s.values())
    else:
        return 0.0
    return missing_s if missing_s > max(_LITTLE_S, _LITTLE_SHARE * stated_s) else 0.0


def _origin_s(facts: ContainerFacts) -> float:
    return float(facts.origin_pts * facts.time_base)


def _facts(
    container: Any, stream: Any, scan: Scan, frame: Any, pts: list[int] | list[int | None]
) -> ContainerFacts:
    rate_hz = float(stream.guessed_rate or stream.average_rate or 25)
    time_s, origin_pts, stamped = frame_times(pts, stream.time_base, rate_hz)
    interval_s = np.diff(time_s) if len(time_s) > 1 else np.array([1 / rate_hz])
    median_s = float(np.median(interval_s))
    off_s = float(np.abs(interval_s - median_s).max())
    aspect, turned = scan.aspect, frame.rotation % 180 != 0
    width, height = square_size(frame.width, frame.height, aspect)
    choices = [one.index for one in video_choices(container)]
    tracks, origin_s = audio_tracks(container), float(origin_pts * stream.time_base)
    number = next((k for k, track in enumerate(tracks) if track.index == scan.sound), None)
    audio = None if number is None else tracks[number]
    return ContainerFacts(
        time_s=time_s,
        duration_s=float(time_s[-1]) + median_s,
        width=height if turned else width,
        height=width if turned else height,
        coded_width=frame.width,
        coded_height=frame.height,
        pixel_aspect=aspect,
        dynamic_range=range_of(frame),
        interlaced=frame.interlaced_frame,
        odd_matrix=odd_matrix(frame),
        rotation_deg=-frame.rotation % 360,
        average_rate_hz=len(interval_s) / (float(time_s[-1]) or 1 / rate_hz),
        variable_rate=off_s > 0.05 * median_s + float(stream.time_base) * 1.001,
        video_codec=stream.codec_context.name,
        pixel_format=frame.format.name,
        has_audio=audio is not None,
        audio_codec=audio and audio.codec_context.name,
        audio_rate_hz=audio and audio.rate,
        audio_channels=audio and audio.channels,
        audio_start_s=audio and float((audio.start_time or 0) * audio.time_base) - origin_s,
        audio_index=scan.sound,
        audio_track=None if number is None else number + 1,
        audible_tracks=scan.audible,
        tracks_elsewhere=scan.elsewhere,
        video_streams=len(container.streams.video),
        video_choice=(choices.index(stream.index) + 1, len(choices)),
        rate_assumed=bool(set(container.format.name.split(",")) & _RAW),
        audio_streams=len(container.streams.audio),
        declared_frames=stream.frames,
        origin_pts=origin_pts,
        time_base=stream.time_base,
        stamped=stamped,
        video_start_s=origin_s - _player_zero_s(container, origin_s, scan),
        joints_s=tuple(joint_s - origin_s for joint_s in scan.clock.joints_s),
        clock=scan.clock,
    )


def _player_zero_s(container: Any, origin_s: float, scan: Scan) -> float:
    """The stamp at which a player's clock shows zero.

    In MP4 and Matroska stamps are on that clock already (ISO/IEC 14496-12, 8.6.6; Chrome does not move a
    positive start either). Elsewhere a player begins with the first stream.
    """
    first_s = min([origin_s, *scan.starts_s.values()])
    on_the_clock = bool(set(container.format.name.split(",")) & _ON_THE_CLOCK)
    return 0.0 if on_the_clock and origin_s >= 0 else first_s
