"""What is said about a video that isn't as it should be."""

from contextlib import ExitStack
from pathlib import Path

import av
import numpy as np
import pytest

from stages.media.container import probe
from stages.media.frames import decode_grid
from stages.media.oddities import oddities
from stages.media.sound import decode_sound

TS_PACKET = 188


def said(path: Path) -> list[str]:
    facts = probe(path)
    grid = decode_grid(path, 5, facts=facts)
    list(grid)
    sound = decode_sound(path, 16_000, facts)
    return [problem for problem, _ in oddities(facts, grid, sound) if problem != "no audio stream"]


def test_of_several_videos_it_is_said_which_is_taken(make_clip, draw_clock, tmp_path: Path) -> None:
    """Two cameras in one file."""
    clips = [
        make_clip("small.mkv"),
        make_clip("large.mkv", draw=lambda time_s: draw_clock(time_s, height=96)),
    ]
    both = tmp_path / "both.mkv"
    with ExitStack() as stack:
        out = stack.enter_context(av.open(str(both), "w"))
        sources = [stack.enter_context(av.open(str(clip))) for clip in clips]
        streams = [out.add_stream_from_template(source.streams.video[0]) for source in sources]
        for source, stream in zip(sources, streams, strict=True):
            for packet in source.demux():
                if packet.dts is not None:
                    packet.stream = stream
                    out.mux(packet)
    assert said(clips[0]) == []
    assert said(both) == ["video stream 2 of 2 is taken, 256 × 96"]


def test_a_raw_stream_has_a_rate_that_may_be_a_guess(tmp_path: Path) -> None:
    """Cameras on small boards write these; without a word, 30 frames a second became 25."""
    raw = tmp_path / "camera.h264"
    with av.open(str(raw), "w", format="h264") as out:
        stream = out.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(10):
            out.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        out.mux(stream.encode(None))
    assert said(raw) == ["no time stamps: its frames are taken for 30 a second, which may be a guess"]


def test_frames_that_the_decoder_patches_up_are_counted(make_clip) -> None:
    """A stream of which packets got lost on their way: pictures are garbled, but none is missing."""
    rng = np.random.default_rng(0)
    path = make_clip(
        "lost.ts", np.arange(50) / 25, draw=lambda _: rng.integers(0, 255, (64, 128, 3), np.uint8)
    )
    assert said(path) == []
    data = path.read_bytes()
    packets = [data[k : k + TS_PACKET] for k in range(0, len(data), TS_PACKET)]
    lost = range(20, len(packets), 25)
    path.write_bytes(b"".join(packet for k, packet in enumerate(packets) if k not in lost))
    [problem] = said(path)
    assert "frames are damaged, and shown as the decoder patches them up" in problem


@pytest.mark.parametrize(("seconds", "beyond"), [(2.5, []), (4.0, ["2.0 s after the last frame"])])
def test_sound_that_goes_on_without_pictures_has_no_trace(
    make_clip, seconds: float, beyond: list[str]
) -> None:
    """A camera that stopped, or a picture that is no longer shared."""
    sound = 0.1 * np.random.default_rng(0).standard_normal((round(seconds * 16_000), 1))
    path = make_clip("a.mkv", sound=sound, sound_rate_hz=16_000, sound_codec="flac", sound_layout="mono")
    problems = said(path)
    assert len(problems) == len(beyond)
    assert all(words in problem for words, problem in zip(beyond, problems, strict=True))
