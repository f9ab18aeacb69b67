"""HDR and wide gamut against the standards' own numbers, and against the SDR picture they were made from."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stages.media.canvas import Canvas
from stages.media.colour import odd_matrix, to_sdr
from stages.media.container import probe
from stages.media.frames import decode_grid

BARS = np.array([[200, 60, 60], [60, 190, 70], [70, 80, 200], [128, 128, 128], [220, 180, 150], [20, 20, 20]])
"""SDR colours, BT.709: none outside what a camera gives of people."""
TO_BT2020 = np.array(
    [[0.627404, 0.329283, 0.043313], [0.069097, 0.919541, 0.011362], [0.016391, 0.088013, 0.895595]]
)
"""ITU-R BT.2087, linear BT.709 to BT.2020."""


def coded(bars: np.ndarray, kind: str) -> np.ndarray:
    """SDR as PQ, HLG or BT.2020 signal, 0 to 1; SDR's white at 203 cd/m²."""
    light = (bars / 255.0) ** 2.4 @ TO_BT2020.T
    if kind == "PQ":  # SMPTE ST 2084
        y = (203 * light / 10_000) ** 0.1593017578125
        return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375
    if kind == "HLG":  # ITU-R BT.2100, nominal peak 1000 cd/m²
        display = 203 * light / 1000
        luminance = display @ [0.2627, 0.678, 0.0593]
        scene = display * luminance[:, None] ** (-0.2 / 1.2)
        bright = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
        return np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright)
    return light ** (1 / 2.4)


@pytest.mark.parametrize("kind", ["PQ", "HLG", "BT.2020"])
def test_colours_come_back(kind) -> None:
    signal = np.rint(coded(BARS, kind) * 65_535).astype(np.uint16)
    np.testing.assert_allclose(to_sdr(signal[None], kind)[0], BARS, atol=2)


def test_light_beyond_white_is_rolled_off_in_order() -> None:
    """PQ code values of 203, 400, 1000, 4000 and 10000 cd/m², neutral grey."""
    codes = np.array([0.5807, 0.6526, 0.7518, 0.9026, 1.0])
    grey = to_sdr(np.rint(np.repeat(codes[:, None], 3, 1) * 65_535).astype(np.uint16)[None], "PQ")[0]
    assert (np.diff(grey[:, 1].astype(int)) >= 0).all()
    assert 240 <= grey[0, 1] < grey[1, 1] <= grey[-1, 1] <= 255
    np.testing.assert_allclose(grey[:, 0], grey[:, 1], atol=1)
    np.testing.assert_allclose(grey[:, 2], grey[:, 1], atol=1)


@pytest.mark.parametrize(("kind", "transfer"), [("PQ", 16), ("HLG", 18), ("BT.2020", 14)])
def test_a_film_is_converted_and_says_what_it_was(tmp_path: Path, kind: str, transfer: int) -> None:
    signal = np.rint(np.repeat(coded(BARS, kind), 32, axis=0) * 65_535).astype(np.uint16)
    picture = np.ascontiguousarray(np.broadcast_to(signal[None], (64, len(signal), 3)))
    path = tmp_path / "hdr.mkv"
    with av.open(str(path), "w") as out:
        one_by_one = "bframes=0:frame-threads=1:pools=none"  # no picture waits for another
        stream = out.add_stream(
            "libx265",
            rate=25,
            options={"preset": "ultrafast", "x265-params": f"log-level=0:crf=4:{one_by_one}"},
        )
        stream.codec_context.time_base = Fraction(1, 25)
        stream.width, stream.height, stream.pix_fmt = picture.shape[1], 64, "yuv444p10le"
        stream.codec_context.color_trc, stream.codec_context.color_primaries = transfer, 9
        stream.codec_context.colorspace = 9
        frame = av.VideoFrame.from_ndarray(picture, format="rgb48le")
        frame = frame.reformat(format="yuv444p10le", dst_colorspace=9)
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert probe(path).dynamic_range == kind
    (shown,) = decode_grid(path, 5)
    middles = shown.image[32, 16::32].astype(int)
    np.testing.assert_allclose(middles, BARS, atol=8)


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
def test_ycgco_comes_back(full: bool) -> None:
    """FFmpeg's scaler refuses it. The equations are those of ITU-T H.273."""
    red, green, blue = BARS.T / 255.0
    signal = [red / 4 + green / 2 + blue / 4, -red / 4 + green / 2 - blue / 4, red / 2 - blue / 2]
    zero, spans = [16 * (not full), 128, 128], [255, 255, 255] if full else [219, 224, 224]
    frame = av.VideoFrame(192, 32, "yuv444p")
    for plane, part, least, span in zip(frame.planes, signal, zero, spans, strict=True):
        row = np.repeat(np.rint(least + span * part).astype(np.uint8), 32)
        plane.update(np.tile(np.pad(row, (0, plane.line_size - 192)), (32, 1)).tobytes())
    frame.colorspace, frame.color_range = 8, 2 if full else 1
    assert odd_matrix(frame) == ""
    shown = Canvas((192, 32), Fraction(1), (192, 32), None).draw(frame)
    np.testing.assert_allclose(shown[16, 16::32].astype(int), BARS, atol=3)


@pytest.mark.parametrize(
    ("matrix", "primaries", "like", "said"),
    [
        (12, 1, 1, ""),
        (12, 9, 9, ""),
        (10, 9, 9, "BT.2020 with constant luminance"),
        (3, 2, 1, "number 3 of H.273"),
    ],
)
def test_a_matrix_that_is_not_known_is_taken_for_the_nearest(
    matrix: int, primaries: int, like: int, said: str
) -> None:
    rng = np.random.default_rng(0)
    frame = av.VideoFrame.from_ndarray(rng.integers(60, 200, (32, 32, 3), np.uint8), "rgb24")
    frame, canvas = frame.reformat(format="yuv420p"), Canvas((32, 32), Fraction(1), (32, 32), None)
    frame.color_primaries, frame.colorspace = primaries, like
    expected = canvas.draw(frame)
    frame.colorspace = matrix
    assert odd_matrix(frame) == said
    np.testing.assert_array_equal(canvas.draw(frame), expected)


def test_the_real_hdr_clip_looks_like_its_sdr_original(shared: Path) -> None:
    """The clip is that of the portrait outdoors, scaled down by half."""
    frames = list(decode_grid(shared / "cases/hdr_pq.mov", 5))
    with av.open(str(shared / "media/clips/07_latentsync_portrait_outdoor_hevc.mp4")) as container:
        first = next(container.decode(video=0)).reformat(540, 960, "rgb24").to_ndarray()
    assert np.abs(frames[0].image.astype(float) - first).mean() < 5
