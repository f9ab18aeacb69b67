"""Whether all common browsers play a video file, by its container, codecs and pixel format.

Chrome, Firefox and Safari share two containers and a handful of codecs; what only some of them play (HEVC,
QuickTime, Matroska, Theora) counts as not played, since a page may be opened in any browser.
"""

from typing import NamedTuple

MP4, WEBM = "MP4", "WebM"
ENDINGS = {".mp4": MP4, ".m4v": MP4, ".webm": WEBM}
"""What a browser takes a file on disk for."""
DEMUXERS = {MP4: "mov,mp4", WEBM: "matroska"}
"""How FFmpeg's names of the containers begin."""
QUICKTIME = "qt  "
PICTURES = {MP4: {"h264", "vp9", "av1"}, WEBM: {"vp8", "vp9", "av1"}}
SOUNDS = {MP4: {"aac", "mp3", "opus", "flac"}, WEBM: {"opus", "vorbis"}}
PIXELS = {"yuv420p", "yuvj420p"}
DECODERS = {"libdav1d": "av1", "libaom": "av1", "libvpx": "vp8", "libvpx-vp9": "vp9", "mp3float": "mp3"}
DECODERS |= {"libopus": "opus", "libvorbis": "vorbis"}
"""FFmpeg's decoders that aren't called like their codec."""
NAMES = {"h264": "H.264", "hevc": "HEVC (H.265)", "mpeg4": "MPEG-4 part 2", "mpeg2video": "MPEG-2"}
NAMES |= {"prores": "ProRes", "mjpeg": "Motion JPEG", "theora": "Theora", "ac3": "AC-3", "eac3": "E-AC-3"}


class Media(NamedTuple):
    """What decides whether a file is played.

    Args:
        suffix: of its name, with the dot.
        video_codec: FFmpeg's name of the codec or the decoder; "" where it isn't known.
        pixel_format: FFmpeg's name; "" where it isn't known.
        audio_codec: as for the video; "" without sound.
        container: FFmpeg's name of the demuxer; "" where it isn't known.
        brand: of an MP4 or QuickTime file; "" elsewhere.
    """

    suffix: str
    video_codec: str
    pixel_format: str = ""
    audio_codec: str = ""
    container: str = ""
    brand: str = ""


def obstacle(media: Media) -> str:
    """Why some browser won't play the file, as the end of a sentence that begins with "it"; "" if all do."""
    kind = ENDINGS.get(media.suffix.lower())
    if kind is None or (media.container and not media.container.startswith(DEMUXERS[kind])):
        return "is neither an MP4 nor a WebM file"
    if media.brand == QUICKTIME:
        return "is a QuickTime file, whatever its name ends in"
    picture = DECODERS.get(media.video_codec, media.video_codec)
    if picture and picture not in PICTURES[kind]:
        return f"holds {_called(picture)} video, which not every browser shows"
    if media.pixel_format and media.pixel_format not in PIXELS:
        return f"holds {_called(picture)} video with pixels of the kind {media.pixel_format}"
    sound = DECODERS.get(media.audio_codec, media.audio_codec)
    if sound and sound not in SOUNDS[kind]:
        return f"holds {_called(sound)} sound, which not every browser plays"
    return ""


def _called(codec: str) -> str:
    return NAMES.get(codec, codec.upper())
