"""Files that are broken, odd, or made to do harm: the right output or a reason, never a crash, hang or flood."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np
import pytest

DRIVER = Path(__file__).with_name("decode_all.py")
MEMORY_MIB = 6000  # of addresses, libraries included
PATIENCE_S = 600
RATE_HZ = 25
TICK = Fraction(1, 1000)
FRAMES = 50
Outcomes = dict[str, dict[str, Any]]


def picture(k: int, width: int, height: int, pix_fmt: str) -> av.VideoFrame:
    """A moving gradient."""
    ramp = (np.add.outer(np.arange(height), np.arange(width)) * 3 + 5 * k).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(np.repeat(ramp[..., None], 3, axis=2), format="rgb24")
    return frame.reformat(format=pix_fmt)


def clip(
    path: Path,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (96, 64),
    stamps: Sequence[int] = tuple(range(0, FRAMES * 40, 40)),
    sounds: int = 1,
    turn: int = 0,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
) -> Path:
    """A clip of `len(stamps)` frames, stamps in milliseconds, with some streams of a 440 Hz tone."""
    with av.open(str(path), "w", options=container or {}) as out:
        fast = {"preset": "ultrafast"} if codec in ("libx264", "libx265") else {}
        if codec == "libx265":
            fast["x265-params"] = "log-level=none"
        stream = out.add_stream(codec, rate=RATE_HZ, options=fast | (options or {}))
        (stream.width, stream.height), stream.pix_fmt = size, pix_fmt
        stream.codec_context.time_base = TICK
        if turn:
            stream.set_display_rotation(turn)
        tracks = [out.add_stream("aac", rate=16_000, layout="mono") for _ in range(sounds)]
        for k, stamp in enumerate(stamps):
            frame = picture(k, *size, pix_fmt)
            frame.pts, frame.time_base = stamp, TICK
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        for track in tracks:
            tone(out, track, 2.0)
    return path


def tone(out: Any, track: Any, duration_s: float) -> None:
    """Two seconds at half of full scale."""
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(duration_s * 16_000)) / 16_000)
    for start in range(0, len(wave) - 1023, 1024):
        frame = av.AudioFrame.from_ndarray(
            wave[None, start : start + 1024].astype(np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate, frame.time_base, frame.pts = 16_000, Fraction(1, 16_000), start
        out.mux(track.encode(frame))
    out.mux(track.encode(None))


def restamped(source: Path, path: Path, stamp: Callable[[int], int]) -> Path:
    """The packets of a clip under other time stamps (milliseconds), without its sound."""
    with av.open(str(source)) as old, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(old.streams.video[0])
        for k, packet in enumerate(p for p in old.demux(old.streams.video[0]) if p.size):
            packet.stream, packet.time_base = stream, TICK
            packet.pts = packet.dts = stamp(k)
            out.mux_one(packet)
    return path


def patched(source: Path, path: Path, atom: bytes, offset: int, value: bytes) -> Path:
    """A copy with some bytes of an MP4 atom replaced, counted from the end of its name."""
    content = bytearray(source.read_bytes())
    place = content.index(atom) + len(atom) + offset
    content[place : place + len(value)] = value
    path.write_bytes(content)
    return path


def judge(folder: Path) -> Outcomes:
    """Decode all files of a folder in one process of its own."""
    command = [sys.executable, str(DRIVER), str(folder), str(MEMORY_MIB)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE_S)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0, f"at {lines[-1:]}: {done.returncode}\n{done.stderr[-3000:]}"
    return {line["name"]: line for line in lines if "name" in line}


SEVEN_YEARS = (2**32 - 1).to_bytes(4, "big")


def make_odd(folder: Path, base: Path) -> None:
    """Files that are unusual, and fine or not."""
    clip(folder / "fps1000.mp4", stamps=range(2000), sounds=0)
    clip(folder / "ten_bit.mp4", codec="libx265", pix_fmt="yuv420p10le")
    hdr = {"x265-params": "log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"}
    clip(folder / "hdr.mkv", codec="libx265", pix_fmt="yuv420p10le", options=hdr)
    clip(folder / "interlaced.ts", options={"x264-params": "tff=1"})
    clip(folder / "rotated.mp4", turn=90)
    clip(folder / "alpha.mov", codec="qtrle", pix_fmt="argb")
    clip(folder / "fifty_sounds.mkv", sounds=50)
    clip(folder / "tiny.mp4", size=(2, 2))
    clip(folder / "one_column.avi", codec="rawvideo", size=(1, 48), pix_fmt="bgr24")
    restamped(base, folder / "negative.nut", lambda k: 40 * k - 5000)
    stream = clip(base.with_name("half.ts")).read_bytes()
    (folder / "begins_again.ts").write_bytes(stream + stream)
    restamped(base, folder / "years_apart.mkv", lambda k: 40 * k + (10**9 if k >= 25 else 0))
    patched(base, folder / "all_the_same.mp4", b"stts", 12, bytes(4))
    patched(base, folder / "months_each.mp4", b"stts", 12, b"\x7f\xff\xff\xff")
    patched(base, folder / "header_says_years.mp4", b"mvhd", 16, SEVEN_YEARS)
    patched(base, folder / "track_says_nothing.mp4", b"mdhd", 16, bytes(4))
    patched(base, folder / "zero_by_zero.mp4", b"avc1", 24, bytes(4))
    patched(base, folder / "says_16k.mp4", b"avc1", 24, b"\x40\x00\x40\x00")
    patched(base, folder / "no_frame_sizes.mp4", b"stsz", 8, SEVEN_YEARS)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good clip, its index in front."""
    path = tmp_path_factory.mktemp("base") / "good.mp4"
    return clip(path, container={"movflags": "faststart"})


@pytest.fixture(scope="module")
def odd(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """What became of the odd files."""
    folder = tmp_path_factory.mktemp("odd")
    make_odd(folder, base)
    return judge(folder)


RIGHT: dict[str, dict[str, Any]] = {
    "fps1000.mp4": {"frames": 2000, "grid": 10, "size": [96, 64]},
    "ten_bit.mp4": {"frames": FRAMES, "grid": 10},
    "hdr.mkv": {"frames": FRAMES, "grid": 10},
    "interlaced.ts": {"frames": FRAMES, "grid": 10},
    "rotated.mp4": {"frames": FRAMES, "size": [64, 96]},
    "alpha.mov": {"frames": FRAMES, "grid": 10},
    "fifty_sounds.mkv": {"frames": FRAMES, "grid": 10},
    "tiny.mp4": {"frames": FRAMES, "size": [2, 2]},
    "one_column.avi": {"frames": FRAMES, "size": [1, 48]},
    "negative.nut": {"frames": FRAMES, "grid": 10},
    "begins_again.ts": {"frames": 2 * FRAMES},
    "all_the_same.mp4": {"frames": FRAMES},  # FFmpeg makes stamps up where they are the same
    "header_says_years.mp4": {"frames": FRAMES, "grid": 10},
    "track_says_nothing.mp4": {"frames": FRAMES, "grid": 10},
    "zero_by_zero.mp4": {"frames": FRAMES, "size": [96, 64]},
}
REFUSED = dict.fromkeys(("years_apart.mkv", "months_each.mp4"), "more than the 21600 s allowed")


@pytest.mark.parametrize("name", RIGHT)
def test_an_odd_file_is_read_right(odd: Outcomes, name: str) -> None:
    assert {key: odd[name].get(key) for key in RIGHT[name]} == RIGHT[name], odd[name]


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_over_the_limits_is_refused(odd: Outcomes, name: str) -> None:
    assert REFUSED[name] in odd[name].get("refused", ""), odd[name]
    assert "decode.max_" in odd[name]["remedy"]


def test_sound_is_heard_past_oddities(odd: Outcomes) -> None:
    silent = [name for name in RIGHT if name.endswith((".mp4", ".mkv")) and odd[name]["loud"] < 0.4]
    assert silent == ["fps1000.mp4"], "which has none"


def test_nothing_fills_the_memory_or_the_day(odd: Outcomes) -> None:
    assert max(one["peak_mib"] for one in odd.values()) < 1000
    assert max(one["seconds"] for one in odd.values()) < 20


def damaged(base: Path, folder: Path, suffixes: Sequence[str], cuts: Sequence[int], flips: int) -> None:
    """Clips cut short at some per cent, and clips with one bit in 2 000 turned."""
    rng = np.random.default_rng(7)
    for suffix in suffixes:
        codec = "mpeg4" if suffix == "avi" else "libx264"
        whole = base if suffix == "mp4" else clip(base.with_name(f"good.{suffix}"), codec=codec)
        content = np.frombuffer(whole.read_bytes(), np.uint8)
        for cut in cuts:
            (folder / f"cut{cut:02d}.{suffix}").write_bytes(content[: len(content) * cut // 100].tobytes())
        for k in range(flips):
            bits = np.unpackbits(content)
            chosen = rng.integers(0 if k % 2 else 8 * 2000, len(bits), max(1, len(bits) // 2000))
            bits[chosen] ^= 1
            (folder / f"flip{k:03d}.{suffix}").write_bytes(np.packbits(bits).tobytes())


def test_cut_and_damaged_files_give_what_is_left_or_a_reason(base: Path, tmp_path: Path) -> None:
    damaged(base, tmp_path, ["mp4", "mkv"], [5, 40, 75], 4)
    outcomes = judge(tmp_path)
    assert len(outcomes) == 2 * (3 + 4)
    assert all(one.get("frames") or one["refused"] for one in outcomes.values())
    assert outcomes["cut75.mkv"]["frames"] > 25
    assert max(one["peak_mib"] for one in outcomes.values()) < 1000


@pytest.mark.slow
def test_cut_at_every_five_per_cent_and_hundreds_of_damaged_files(base: Path, tmp_path: Path) -> None:
    damaged(base, tmp_path, ["mp4", "mkv", "avi", "ts", "flv", "nut"], range(5, 100, 5), 60)
    outcomes = judge(tmp_path)
    assert len(outcomes) == 6 * (19 + 60)
    peaks = [one["peak_mib"] for one in outcomes.values()]
    assert max(peaks) < 1500
    assert max(one["seconds"] for one in outcomes.values()) < 30
    assert sum("frames" in one for one in outcomes.values()) > len(outcomes) / 3


@pytest.mark.slow
def test_8k_is_read_and_more_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    clip(tmp_path / "8k.mp4", size=(7680, 4320), stamps=[0, 40], sounds=0)
    clip(tmp_path / "more.mp4", size=(8192, 8192), stamps=[0], sounds=0)
    outcomes = judge(tmp_path)
    assert outcomes["8k.mp4"]["size"] == [7680, 4320]
    assert "8192 × 8192 pixels" in outcomes["more.mp4"]["refused"]
    assert "decode.max_pixels" in outcomes["more.mp4"]["remedy"]


class Tempting(BaseHTTPRequestHandler):
    """A server that hostile lists point at."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        """Remember that there was a request."""
        self.asked.append(self.path)
        self.send_error(404)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


LISTS = {
    "hls.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n",
    "hls.ts": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n",
    "concat.avi": "ffconcat version 1.0\nfile '{target}'\n",
    "dash.mp4": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT2S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" '
    'bandwidth="1"><BaseURL>{target}</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "session.mov": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\na=control:{target}\n",
    "redirect.wmv": '<asx version="3.0"><entry><ref href="{target}"/></entry></asx>',
    "redirect.rm": "{target}\n",
}


@pytest.mark.parametrize("where", ["file beside it", "absolute path", "server"])
def test_lists_of_other_files_are_not_followed(base: Path, tmp_path: Path, where: str) -> None:
    """Whatever they are called, and though what they point at is there."""
    server = HTTPServer(("127.0.0.1", 0), Tempting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folder = tmp_path / "lists"
    folder.mkdir()
    (folder / "zz_target.mp4").write_bytes(base.read_bytes())
    target = {
        "file beside it": "zz_target.mp4",
        "absolute path": str(base),
        "server": f"http://127.0.0.1:{server.server_port}/secret.mp4",
    }[where]
    for name, text in LISTS.items():
        (folder / name).write_text(text.replace("{target}", target))
    try:
        outcomes = judge(folder)
    finally:
        server.shutdown()
        server.server_close()
    assert outcomes["zz_target.mp4"]["frames"] == FRAMES
    assert {name for name in LISTS if "refused" not in outcomes[name]} == set()
    assert Tempting.asked == []
