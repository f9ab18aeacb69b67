"""Open one local media file and decode one of its streams, past any damage, on one continuous clock."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av

from stages.core.errors import BadInput
from stages.media.clock import Clock

FORMATS = (
    "mov,matroska,avi,mpeg,mpegts,mpegvideo,flv,asf,mxf,nut,ogg,dv,rm,ivf,h264,hevc,m4v,yuv4mpegpipe,gif,"
    "wav,w64,mp3,aac,ac3,flac,aiff,amr,au,caf"
)
"""FFmpeg's names of the formats we read. Playlists and lists (hls, dash, concat, image2 …) are not among
them, since they make the reader open other files, even over the network, that the user never named."""

ONLY_THIS_FILE = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
"""Options for FFmpeg by which a file can't make it open another."""
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"mif1"}
"""Brands of still pictures in MP4 (ISO/IEC 23008-12). Those of phones are in tiles, each a stream of its own:
one would be taken for the whole."""
_PICTURES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG\r\n\x1a\n": ".png"}
"""How pictures begin, which are read under their usual endings only."""
_INT_MAX = 2**31 - 1


@contextmanager
def open_media(path: Path) -> Iterator[Any]:
    """Open a media file for reading (a PyAV input container), and close it after.

    Raises:
        BadInput: not an ordinary, readable file, or not in one of FORMATS.
    """
    head = _first_bytes(path)
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC:
        raise BadInput(path, "a HEIC picture, which isn't read", "Convert it to JPEG or PNG")
    try:
        # The protocol is named, so that no part of a file name can be taken for one; names and tags
        # that aren't UTF-8 are common in old files and no reason to refuse the pictures.
        container = av.open(
            f"file:{path.absolute()}", container_options=ONLY_THIS_FILE, metadata_errors="replace"
        )
    except (av.error.FFmpegError, UnicodeError) as error:
        raise _refusal(path, head, error) from error
    with container:
        yield container


def _first_bytes(path: Path) -> bytes:
    if not path.exists():
        raise BadInput(path, "no such file", "Check the name")
    if path.is_dir():
        raise BadInput(path, "this is a folder", "Name a video file")
    if not path.is_file():
        raise BadInput(path, "this is a pipe or a device", "Name an ordinary video file")
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        raise BadInput(path, f"it can't be read ({error.strerror})", "Check its permissions") from error
    if not head:
        raise BadInput(path, "the file is empty", "Copy it again from its source")
    return head


def _refusal(path: Path, head: bytes, error: Exception) -> BadInput:
    if isinstance(error, UnicodeError):
        return BadInput(path, "its name isn't valid UTF-8", "Rename it")
    if head.startswith(tuple(_PICTURES)):
        ending = next(ending for start, ending in _PICTURES.items() if head.startswith(start))
        return BadInput(path, "a picture under another name", f"Rename it so that it ends in {ending}")
    if isinstance(error, av.error.ArgumentError):
        return BadInput(
            path, "a playlist, a picture or another format that isn't read", "Convert it to MP4 or AVI"
        )
    if head[4:8] == b"ftyp":
        return BadInput(
            path,
            "an MP4 or MOV file without its index (moov): a recording or copy that stopped early",
            "Copy it again, or repair it with a tool that rebuilds the index",
        )
    return BadInput(path, "not a video file, or its beginning is damaged", "Copy it again from its source")


def video_choices(container: Any) -> list[Any]:
    """The video streams that can be decoded, in file order. Cover pictures and thumbnails are no video."""
    picture = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    return [s for s in container.streams.video if s.codec_context and not s.disposition & picture]


def choose_video(path: Path, container: Any) -> Any:
    """The video stream that players show: the default one, and of several the largest.

    Raises:
        BadInput: there is none, or none that can be decoded.
    """
    streams = video_choices(container)
    if not streams:
        present = ", ".join(stream.type for stream in container.streams) or "none"
        raise BadInput(path, f"no video stream that can be decoded (streams: {present})", "Name another file")
    return max(streams, key=lambda s: (_is_default(s), s.codec_context.width * s.codec_context.height))


def audio_tracks(container: Any) -> list[Any]:
    """The audio streams that can be decoded, in file order: tracks 1, 2 and so on."""
    return [stream for stream in container.streams.audio if stream.codec_context]


def by_preference(tracks: Iterable[Any]) -> list[Any]:
    """Audio streams as players prefer them: the default one, then most channels, then the highest rate."""
    return sorted(tracks, key=lambda s: (_is_default(s), s.channels, s.rate), reverse=True)


def in_program_of(container: Any, video: Any) -> list[Any]:
    """The audio tracks of the program that a video stream belongs to; all where there are no programs.

    A transport stream may carry several channels (ISO/IEC 13818-1). None are left where the video's has none.
    """
    tracks = audio_tracks(container)
    if container.format.name != "mpegts" or not tracks:
        return tracks
    best = container.streams.best
    # FFmpeg prefers streams of the same program and takes others where there are none.
    nearest = best("audio", related=video)
    if nearest is None or best("video", related=nearest) is not best("video", related=video):
        return []
    return [one for one in tracks if one is nearest or best("audio", related=one) is nearest]


def choose_audio(container: Any) -> Any | None:
    """The audio stream that players play, whether there is sound in it or not; None without any."""
    return next(iter(by_preference(audio_tracks(container))), None)


def _is_default(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.default)


def packets(container: Any, *streams: Any) -> Iterator[Any]:
    """The streams' packets in file order; where the file breaks off they end without an error."""
    try:
        for packet in container.demux(*streams):
            if packet.size:  # an empty one (a dropped AVI frame) would end the decoder's stream
                yield packet
    except (av.error.FFmpegError, IndexError):  # IndexError: PyAV, at the end, of streams that began late
        return


def timed_packets(container: Any, stream: Any, clock: Clock) -> Iterator[Any]:
    """The packets of one stream, their stamps on the continuous clock."""
    changes, added = dict(clock.ticks(stream.index, stream.time_base)), 0
    for number, packet in enumerate(packets(container, stream)):
        added = changes.get(number, added)
        if added:
            packet.pts = None if packet.pts is None else packet.pts + added
            packet.dts = None if packet.dts is None else packet.dts + added
        yield packet


@dataclass
class Decoder:
    """Decodes what can be decoded of a stream and counts what can't.

    With one thread the same file always gives the same frames. More threads give the same frames of an
    intact file, but may lose or conceal other ones around damage.

    Args:
        container: from `open_media`.
        stream: one of its streams.
        threads: decoder threads; 0 = one per core.
        max_pixels: the decoder allocates no picture of over four times as many; who looks at the frames
            refuses the others with a better reason.
        clock: of the file, see `stages.media.clock`.
    """

    container: Any
    stream: Any
    threads: int = 1
    max_pixels: int | None = None
    clock: Clock = field(default_factory=Clock)
    undecodable: int = 0
    """Packets refused by the decoder so far."""
    out_of_order: int = 0
    """Frames that `stages.media.frames.native_frames` left out so far: they came after a later one."""

    def __post_init__(self) -> None:
        context = self.stream.codec_context
        context.thread_type, context.thread_count = "AUTO", self.threads
        if self.max_pixels is not None:
            context.options = {"max_pixels": str(min(4 * self.max_pixels, _INT_MAX))}

    def __iter__(self) -> Iterator[Any]:
        for packet in timed_packets(self.container, self.stream, self.clock):
            yield from self.decode(packet)
        yield from self.decode(None)

    def decode(self, packet: Any | None) -> list[Any]:
        """Frames that this packet completes (None: those still held back), fewer where it is damaged."""
        try:
            return list(self.stream.codec_context.decode(packet))
        except EOFError:
            return []
        except av.error.FFmpegError:
            self.undecodable += 1
            return []
