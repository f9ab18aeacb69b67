"""A copy of a video that every browser plays: H.264 and AAC in an MP4, upright, square pixels, SDR.

One graph of FFmpeg scales, maps tones and converts the sound; the program comes with imageio-ffmpeg. The copy
is for looking at: nothing is measured on it.
"""

import subprocess
from pathlib import Path
from typing import Any

from stages.core.errors import BadInput
from stages.media.colour import Range
from stages.media.container import ContainerFacts
from stages.media.source import ONLY_THIS_FILE, choose_video, open_media

_MAX_HEIGHT_PX = 720
_KNEE = 0.8
_WHITE_NITS = 203  # SDR's white in HDR (ITU-R BT.2408)
_CODING = {
    "format": "mp4",
    "vcodec": "libx264",
    "preset": "veryfast",
    "pix_fmt": "yuv420p",
    "acodec": "aac",
    "fps_mode": "passthrough",  # a variable rate stays one
    "enc_time_base": "1:60000",
    "movflags": "+faststart",
    "map_metadata": -1,
}


def write_playable_copy(video: Path, out: Path, facts: ContainerFacts) -> None:
    """Convert a video for browsers; every frame keeps its time.

    Args:
        video: the video.
        out: the MP4 file to write.
        facts: from `probe`: which sound is taken, the shape of the picture, its range.

    Raises:
        BadInput: the file's clock starts anew, so that FFmpeg's times aren't ours; or FFmpeg fails.
    """
    import ffmpeg
    from imageio_ffmpeg import get_ffmpeg_exe

    if facts.joints_s:
        raise BadInput(video, "its clock starts anew, which a conversion doesn't join", "Use --overlay")
    with open_media(video) as container:
        picture = choose_video(video, container).index
    source = ffmpeg.input(f"file:{video.absolute()}", **ONLY_THIS_FILE)
    streams = [_shaped(source[str(picture)], facts)]
    if facts.audio_index is not None:
        streams.append(source[str(facts.audio_index)])
    made = ffmpeg.output(*streams, f"file:{out.absolute()}", **_CODING)
    command = made.global_args("-nostdin", "-loglevel", "error").compile(cmd=get_ffmpeg_exe())
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise BadInput(video, f"FFmpeg can't convert it ({said[-1]})", "Use --overlay")


def _shaped(picture: Any, facts: ContainerFacts) -> Any:
    """The picture progressive, in square pixels and SDR; FFmpeg turns it upright by itself."""
    scale = min(1.0, _MAX_HEIGHT_PX / facts.height)
    size = [max(2, 2 * round(scale * side / 2)) for side in (facts.width, facts.height)]
    if facts.interlaced:
        picture = picture.filter("bwdif", mode="send_frame", deint="interlaced")
    return _in_sdr(picture.filter("scale", *size).filter("setsar", 1), facts.dynamic_range)


def _in_sdr(picture: Any, kind: Range) -> Any:
    """Tone-mapped in linear light, BT.2020 to BT.709.

    As bright as what the analysis sees, see `stages.media.colour`: linear up to 0.8 of white. Hable's curve,
    which is usual, shows faces half as bright.
    """
    if kind == "SDR":
        return picture
    linear = picture.filter("zscale", transfer="linear", npl=_WHITE_NITS).filter("format", "gbrpf32le")
    narrow = linear.filter("zscale", primaries="bt709")
    mapped = narrow if kind == "BT.2020" else narrow.filter("tonemap", tonemap="mobius", param=_KNEE, desat=0)
    return mapped.filter("zscale", transfer="bt709", matrix="bt709", range="limited")
