"""MP4 and MOV files from which pieces were cut without encoding them again: an edit list names what is left."""

import struct
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from stages.media.container import probe
from stages.media.frames import decode_grid
from stages.media.sound import decode_sound

HOLDERS = {b"moov", b"trak", b"edts"}
RATE_HZ = 44_100


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each box (ISO/IEC 14496-12, 4.2)."""
    start = 0
    while start < len(data):
        size, kind = struct.unpack_from(">I4s", data, start)
        yield kind, data[start + 8 : start + size]
        start += size


def find(data: bytes, *path: bytes) -> bytes:
    for kind in path:
        data = next(content for name, content in boxes(data) if name == kind)
    return data


def edited(
    data: bytes, pieces_s: Sequence[tuple[float, float]], of_file_hz: int = 0, of_track_hz: int = 0
) -> bytes:
    """Boxes with another edit list in every track: the pieces, from and to seconds, one after the other."""
    written = b""
    for kind, content in boxes(data):
        new = content
        if kind == b"moov":
            of_file_hz = struct.unpack_from(">I", find(content, b"mvhd"), 12)[0]
        if kind == b"trak":
            of_track_hz = struct.unpack_from(">I", find(content, b"mdia", b"mdhd"), 12)[0]
        if kind == b"elst":
            first = struct.unpack_from(">i", content, 12)[0]  # encoders' delay
            new = struct.pack(">II", 0, len(pieces_s))
            for begin_s, end_s in pieces_s:
                lasts, begins = round((end_s - begin_s) * of_file_hz), first + round(begin_s * of_track_hz)
                new += struct.pack(">Iihh", lasts, begins, 1, 0)
        elif kind in HOLDERS:
            new = edited(content, pieces_s, of_file_hz, of_track_hz)
        written += struct.pack(">I4s", 8 + len(new), kind) + new
    return written


@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
@pytest.mark.parametrize(
    "pieces_s",
    [[(0, 0.98), (2.18, 2.98)], [(0.5, 1.38), (2.18, 2.98), (3.38, 3.98)], [(1.98, 2.98), (0.18, 0.98)]],
)
def test_pieces_follow_each_other_in_picture_and_sound(
    make_clip, read_clock, name: str, pieces_s: list[tuple[float, float]]
) -> None:
    time_s = np.arange(4 * RATE_HZ) / RATE_HZ
    beep_s = pieces_s[1][0] + 0.4  # in the second piece
    sound = 0.3 * np.sin(2 * np.pi * 440 * time_s) * np.exp(-(((time_s - beep_s) / 0.05) ** 2))
    gops = {"preset": "veryfast", "g": "20"}
    path = make_clip(
        name, np.arange(100) / 25, bframes=2, options=gops, sound=np.repeat(sound[:, None], 2, axis=1)
    )
    path.write_bytes(edited(path.read_bytes(), pieces_s))
    facts = probe(path)
    length_s = sum(end_s - begin_s for begin_s, end_s in pieces_s)
    assert facts.duration_s == pytest.approx(length_s, abs=0.05)
    assert facts.joints_s == ()
    shown = list(dict.fromkeys(read_clock(frame.image) for frame in decode_grid(path, 50, facts=facts)))
    expected = [k / 25 for begin_s, end_s in pieces_s for k in range(100) if begin_s <= k / 25 < end_s]
    assert shown == pytest.approx(expected, abs=0.005)
    heard = decode_sound(path, RATE_HZ, facts)
    assert heard is not None
    at_s = np.abs(heard.samples[:, 0]).argmax() / RATE_HZ
    assert at_s == pytest.approx(pieces_s[0][1] - pieces_s[0][0] + 0.4, abs=0.03)
