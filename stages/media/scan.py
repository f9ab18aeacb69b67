"""One pass over a file: the stamps of its frames, its clock, and which audio streams hold any sound."""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from stages.media.canvas import sensible_aspect
from stages.media.clock import Clock, Track, find_clock, shifted
from stages.media.level import MIN_SOUND_DB, SoundLevel
from stages.media.source import Decoder, audio_tracks, by_preference, in_program_of, packets
from stages.media.timestamps import Stamps

_STORES_EVERY_STAMP = {"mov", "matroska", "flv"}


@dataclass(frozen=True)
class Hearing:
    """Which sound is taken.

    Args:
        track: number of the audio stream, from 1; None for the one that players prefer of those with sound.
        min_sound_db: what counts as sound, see `stages.media.level`.
    """

    track: int | None = None
    min_sound_db: float = MIN_SOUND_DB


@dataclass(frozen=True)
class Scan:
    """What one pass over the packets of the picture and of all sound found.

    Args:
        pts: the stamps of the packets of the picture that are shown, in file order, on the continuous clock.
        first_frame: the first frame that can be decoded, None if there is none.
        aspect: width of its pixels by their height, as the container says, or else the codec.
        trusted: these stamps, sorted, are those of the frames of an intact file.
        audible: whether there is sound in track 1, 2, …
        sound: index of the audio stream that is taken; None without any that is audible.
        elsewhere: whether track 1, 2, … is of another program of a transport stream than the picture.
        clock: the shifts that make one clock of all.
        starts_s: first stamp of each audio stream, by its index.
        sound_end_s: last stamp of the sound on the continuous clock; -inf without sound.
        end_byte: where the last packet ends in the file; None where the scan was broken off.
        ends_s: where the last packet of each stream ends, by its index; before any shift.
    """

    pts: list[int | None]
    first_frame: Any | None
    aspect: Fraction
    trusted: bool
    audible: tuple[bool, ...]
    sound: int | None
    elsewhere: tuple[bool, ...]
    clock: Clock
    starts_s: dict[int, float]
    sound_end_s: float
    end_byte: int | None = None
    ends_s: dict[int, float] = field(default_factory=dict)


@dataclass
class _Listener:
    """Decodes an audio stream until there is sound in it."""

    decoder: Decoder
    level: SoundLevel

    def hear(self, packet: Any | None) -> None:
        if not self.level.clear:
            for frame in self.decoder.decode(packet):
                self.level.look(frame)


@dataclass
class _Picture:
    """Decodes the picture up to its first frame; remembers which packets aren't shown."""

    decoder: Decoder
    first_frame: Any | None = None
    aspect: Fraction = Fraction(1)
    discarded: set[int] = field(default_factory=set)
    stated: Fraction | None = None

    def __post_init__(self) -> None:
        """Take what the container says of the pixels, or nothing.

        What FFmpeg says of the stream is the container's word or else the codec's, of the last picture among
        those that it probes to begin with; the decoder gives the codec's of the first.
        """
        stream = self.decoder.stream
        by_codec = stream.sample_aspect_ratio == stream.codec_context.sample_aspect_ratio
        self.stated = None if by_codec else stream.sample_aspect_ratio

    def see(self, packet: Any | None, number: int) -> None:
        if self.first_frame is None:
            self.first_frame = next(iter(self.decoder.decode(packet)), None)
            stated = self.stated or self.decoder.stream.codec_context.sample_aspect_ratio
            self.aspect = sensible_aspect(stated)
        if packet is not None and packet.is_discard:  # cut off by an edit list: decoded but not shown
            self.discarded.add(number)


def scan_sound(container: Any, hearing: Hearing) -> tuple[int | None, tuple[bool, ...], Clock]:
    """The audio stream that is taken of a file without pictures, which of them hold sound, and its clock."""
    audio = audio_tracks(container)
    tracks = {one.index: Track(one.time_base) for one in audio}
    listeners = _listeners(container, hearing)
    for place, packet in enumerate(packets(container, *audio)):
        listeners[packet.stream.index].hear(packet)
        tracks[packet.stream.index].add(packet, place)
    sound, _, audible = _chosen(container, listeners, hearing, audio)
    if sound is None:
        return None, audible, Clock()
    return sound, audible, find_clock(sound, None, tracks, _names(container))


def scan_packets(container: Any, stream: Any, max_frames: int, max_pixels: int, hearing: Hearing) -> Scan:
    """Read the packets of a video up to one frame more than allowed; decode only what must be known.

    That is the picture up to its first frame, and every audio stream until there is sound in it.
    """
    audio = audio_tracks(container)
    tracks = {one.index: Track(one.time_base) for one in (stream, *audio)}
    picture = _Picture(Decoder(container, stream, max_pixels=max_pixels))
    listeners = _listeners(container, hearing)
    seen = tracks[stream.index]
    end_byte: int | None = 0
    ends = dict.fromkeys(tracks, 0)
    for place, packet in enumerate(packets(container, stream, *audio)):
        index = packet.stream.index
        end_byte = max(end_byte or 0, (packet.pos or 0) + packet.size)
        if index == stream.index:
            picture.see(packet, len(seen.pts))
        else:
            listeners[index].hear(packet)
        tracks[index].add(packet, place)
        ends[index] = max(ends[index], (packet.pts or 0) + (packet.duration or 0))
        if len(seen.pts) - len(picture.discarded) > max_frames:
            end_byte = None
            break
    picture.see(None, 0)
    ends_s = {index: float(end * tracks[index].tick) for index, end in ends.items()}
    found = _scan_of(container, stream, tracks, picture, listeners, hearing)
    return replace(found, end_byte=end_byte, ends_s=ends_s)


def _listeners(container: Any, hearing: Hearing) -> dict[int, _Listener]:
    return {
        one.index: _Listener(Decoder(container, one), SoundLevel(hearing.min_sound_db))
        for one in audio_tracks(container)
    }


def _chosen(
    container: Any, listeners: dict[int, _Listener], hearing: Hearing, own: list[Any]
) -> tuple[int | None, int | None, tuple[bool, ...]]:
    """Index of the stream that is taken, of the one that players prefer, and which streams hold sound.

    Without a track that is asked for, it is one of `own`.
    """
    for listener in listeners.values():
        listener.hear(None)
    audible = {index: listener.level.audible for index, listener in listeners.items()}
    audio = audio_tracks(container)
    allowed = own if hearing.track is None else audio[hearing.track - 1 : hearing.track]
    preferred = [one.index for one in by_preference(allowed)]
    sound = next((index for index in preferred if audible[index]), None)
    return sound, next(iter(preferred), None), tuple(audible.values())


def _names(container: Any) -> set[str]:
    return set(container.format.name.split(","))


def _scan_of(
    container: Any,
    stream: Any,
    tracks: dict[int, Track],
    picture: _Picture,
    listeners: dict[int, _Listener],
    hearing: Hearing,
) -> Scan:
    own = in_program_of(container, stream)
    sound, preferred, audible = _chosen(container, listeners, hearing, own)
    names, heard = _names(container), preferred if sound is None else sound
    clock = find_clock(stream.index, heard, tracks, names)
    pts = shifted(tracks[stream.index].pts, clock.ticks(stream.index, stream.time_base))
    shown = [stamp for number, stamp in enumerate(pts) if number not in picture.discarded]
    return Scan(
        pts=shown,
        first_frame=picture.first_frame,
        aspect=picture.aspect,
        trusted=_leads(pts, tracks[stream.index]) and _one_stamp_per_frame(names, stream, shown),
        audible=audible,
        sound=sound,
        elsewhere=tuple(one.index not in {mine.index for mine in own} for one in audio_tracks(container)),
        clock=clock,
        starts_s={index: track.start_s() for index, track in tracks.items() if index != stream.index},
        sound_end_s=_end_s(tracks[sound], clock, sound) if sound is not None else -np.inf,
    )


def _end_s(track: Track, clock: Clock, index: int) -> float:
    stamps = shifted(track.pts, clock.ticks(index, track.tick))
    return float(max((stamp for stamp in stamps if stamp is not None), default=0) * track.tick)


def _leads(pts: Stamps, track: Track) -> bool:
    """Whether the first packet is a key frame and the first shown: no decoder shows what precedes one."""
    if not pts or not track.key[0] or pts[0] is None:
        return False
    first = pts[0]
    return all(stamp is not None and stamp >= first for stamp in pts)


def _one_stamp_per_frame(container: set[str], stream: Any, pts: Stamps) -> bool:
    """Whether the container stores one presentation time per frame, and did so here.

    MPEG program and transport streams don't: there the reader guesses. AVI counts frames in decoding order,
    which is the order shown only without B-frames, and so do MP4 and MOV files that were made of AVI
    without encoding; VP8 has packets that show nothing.
    """
    context = stream.codec_context
    stamps = [stamp for stamp in pts if stamp is not None]
    known = sorted(stamps)
    as_shown = stamps != known or not context.has_b_frames
    stores = bool(container & _STORES_EVERY_STAMP) or (container == {"avi"} and not context.has_b_frames)
    complete = len(known) == len(pts) and all(a < b for a, b in pairwise(known))
    return stores and as_shown and complete and context.name not in {"vp8", "libvpx"}
