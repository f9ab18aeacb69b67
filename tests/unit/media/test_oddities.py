"""What is said about a video that isn't as it should be."""

from collections.abc import Callable
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stages.media.container import probe
from stages.media.frames import decode_grid
from stages.media.oddities import oddities
from stages.media.scan import Hearing
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


def crc_of(section: bytes) -> bytes:
    """CRC-32/MPEG-2 (ISO/IEC 13818-1, annex A)."""
    rest = 0xFFFFFFFF
    for byte in section:
        rest ^= byte << 24
        for _ in range(8):
            rest = (rest << 1 ^ 0x04C11DB7 if rest & 0x80000000 else rest << 1) & 0xFFFFFFFF
    return rest.to_bytes(4, "big")


def join_programs(path: Path, clips: list[Path], pmt_pids: list[int]) -> Path:
    """One transport stream of several, by turns, and a table (PAT) that names the program of each."""
    programs = b"".join(
        n.to_bytes(2, "big") + (0xE000 | pid).to_bytes(2, "big") for n, pid in enumerate(pmt_pids, 1)
    )
    section = b"\x00" + (0xB000 | 9 + len(programs)).to_bytes(2, "big") + b"\x00\x01\xc1\x00\x00" + programs
    table = (b"\x47\x40\x00\x10\x00" + section + crc_of(section)).ljust(TS_PACKET, b"\xff")
    maps, rest = [], []
    for clip in clips:
        data = clip.read_bytes()
        packets = [data[k : k + TS_PACKET] for k in range(0, len(data), TS_PACKET)]
        for k, packet in enumerate(packets):
            pid = int.from_bytes(packet[1:3], "big") & 0x1FFF
            if pid in pmt_pids:
                maps.append(packet)  # first of all, since they number the streams
            elif pid not in {0x00, 0x11}:
                rest.append((k / len(packets), packet))
    rest.sort(key=lambda one: one[0])
    path.write_bytes(table + b"".join([*maps, *(packet for _, packet in rest)]))
    return path


@pytest.fixture
def make_channel(tmp_path: Path, draw_clock) -> Callable[..., Path]:
    """A television channel: a picture of some height, tracks of noise of some channels, ids from a number on."""

    def make(name: str, first_pid: int, height: int, tracks: list[str], *, level: float = 0.1) -> Path:
        path, numbers = tmp_path / name, str(first_pid)
        options = {"mpegts_start_pid": numbers, "mpegts_pmt_start_pid": str(first_pid - 1)}
        options["mpegts_service_id"] = str(first_pid >> 8)
        with av.open(str(path), "w", options=options) as out:
            picture = out.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
            picture.width, picture.height, picture.pix_fmt = 256, height, "yuv420p"
            sounds = [out.add_stream("mp2", rate=32_000, layout=layout) for layout in tracks]
            rng = np.random.default_rng(first_pid)
            for k in range(25):
                out.mux(picture.encode(av.VideoFrame.from_ndarray(draw_clock(k / 25, height), "rgb24")))
                for sound in sounds:
                    count = sound.layout.nb_channels
                    noise = (level * 2**15 * rng.uniform(-1, 1, (1, 1280 * count))).astype(np.int16)
                    frame = av.AudioFrame.from_ndarray(noise, "s16", sound.layout.name)
                    frame.sample_rate, frame.pts, frame.time_base = 32_000, 1280 * k, Fraction(1, 32_000)
                    out.mux(sound.encode(frame))
            for stream in (picture, *sounds):
                out.mux(stream.encode(None))
        return path

    return make


@pytest.mark.parametrize(
    ("tracks", "level", "taken", "problem"),
    [
        (["mono"], 0.1, 2, "audio track 2 of 2 is taken; 1 belongs to another program than the picture"),
        (
            ["mono", "stereo"],
            0.1,
            3,
            "audio track 3 of 3 is taken; 1 belongs to another program than the picture",
        ),
        ([], 0.1, None, "no sound in the picture's program, only in others"),
        (["mono"], 0.0, None, "no sound in the picture's program, only in others"),
    ],
)
def test_the_sound_is_of_the_channel_of_the_picture(
    make_channel, tmp_path: Path, tracks: list[str], level: float, taken: int | None, problem: str
) -> None:
    """Broadcasts carry several; the sound of another one, in stereo, was taken."""
    clips = [
        make_channel("one.ts", 0x101, 64, ["stereo"]),
        make_channel("two.ts", 0x201, 96, tracks, level=level),
    ]
    assert said(clips[0]) == []
    path = join_programs(tmp_path / "both.ts", clips, [0x100, 0x200])
    facts = probe(path)
    assert (facts.height, facts.audio_track) == (96, taken)
    assert said(path) == ["video stream 2 of 2 is taken, 256 × 96", problem]
    if taken is None:
        facts = probe(path, hearing=Hearing(track=1))
        problems = [one for one, _ in oddities(facts, None, decode_sound(path, 16_000, facts), asked=1)]
        assert "audio track 1 belongs to another program than the picture" in problems


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
