"""Pixels that aren't square, and pictures that change their size."""

import io
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from stages.media.canvas import sensible_aspect, square_size
from stages.media.container import probe
from stages.media.frames import decode_grid
from stages.media.oddities import oddities
from stages.media.playable_copy import write_playable_copy


def disc(size: int) -> np.ndarray:
    """A white disc in the middle of a black square, (size, size, 3)."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return np.repeat((255 * (np.hypot(x, y) < size / 4)).astype(np.uint8)[:, :, None], 3, axis=2)


def film(
    path: Path,
    sizes: list[tuple[int, int]],
    aspect: Fraction | list[Fraction],
    turn: int = 0,
    preset: str = "ultrafast",
) -> Path:
    """A disc, squeezed into pictures of each size, in turn; half a second each."""
    parts = []
    aspects = aspect if isinstance(aspect, list) else [aspect] * len(sizes)
    for number, ((width, height), own) in enumerate(zip(sizes, aspects, strict=True)):
        part = path.with_name(f"part{number}{path.suffix}")
        with av.open(str(part), "w") as out:
            stream = out.add_stream("libx264", rate=10, options={"preset": preset, "crf": "5"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.sample_aspect_ratio = own
            if turn:
                stream.set_display_rotation(turn)
            for k in range(5):
                frame = av.VideoFrame.from_ndarray(disc(320), format="rgb24")
                frame = frame.reformat(width, height, "yuv420p", interpolation="AREA")
                frame.pts, frame.time_base = 5 * number + k, Fraction(1, 10)
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        parts.append(part.read_bytes())
    path.write_bytes(b"".join(parts))
    return path


def extent(image: np.ndarray) -> tuple[int, int]:
    """Width and height of what is white."""
    white = image[..., 1] > 128
    return int(white.any(axis=0).sum()), int(white.any(axis=1).sum())


@pytest.mark.parametrize("turn", [0, 90, 180])
@pytest.mark.parametrize(
    ("size", "aspect"),
    [
        ((176, 320), Fraction(20, 11)),
        ((320, 176), Fraction(11, 20)),
        ((160, 320), Fraction(2)),
        ((240, 320), Fraction(4, 3)),
    ],
)
def test_a_circle_is_round(tmp_path: Path, size: tuple, aspect: Fraction, turn: int) -> None:
    path = film(tmp_path / "a.mp4", [size], aspect, turn)
    facts = probe(path)
    assert (facts.width, facts.height, facts.pixel_aspect) == (320, 320, aspect)
    image = next(iter(decode_grid(path, 5, facts=facts))).image
    assert image.shape == (320, 320, 3)
    assert extent(image) == pytest.approx((160, 160), abs=3)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(("shown", "aspect"), [("3:2", Fraction(3)), ("1:2", Fraction(1))])
def test_the_containers_word_counts_before_the_codecs(
    tmp_path: Path, suffix: str, shown: str, aspect: Fraction
) -> None:
    coded = film(tmp_path / "a.mp4", [(160, 320)], Fraction(2))
    relabelled = tmp_path / f"b{suffix}"
    command = [get_ffmpeg_exe(), "-v", "error", "-i", coded, "-c", "copy", "-aspect", shown, relabelled]
    subprocess.run(list(map(str, command)), check=True)
    assert probe(coded).pixel_aspect == 2
    assert probe(relabelled).pixel_aspect == aspect


@pytest.mark.parametrize(
    ("stated", "aspect"),
    [
        (None, 1),
        (Fraction(0), 1),
        (Fraction(1), 1),
        (Fraction(1280, 1279), 1),
        (Fraction(1, 900), 1),
        (Fraction(16, 15), Fraction(16, 15)),
    ],
)
def test_nonsense_and_rounding_count_as_square(stated, aspect) -> None:
    assert sensible_aspect(stated) == aspect


def test_one_side_grows_and_none_shrinks() -> None:
    assert square_size(720, 576, Fraction(16, 15)) == (768, 576)
    assert square_size(720, 480, Fraction(8, 9)) == (720, 540)


@pytest.mark.parametrize(
    "sizes",
    [[(320, 240), (240, 320)], [(160, 160), (320, 160), (640, 640), (160, 160)], [(240, 320), (80, 60)]],
)
def test_every_size_keeps_its_own_shape(tmp_path: Path, sizes: list) -> None:
    grid = decode_grid(film(tmp_path / "a.ts", sizes, Fraction(1)), 10)
    first = sizes[0]
    for frame in grid:
        assert frame.image.shape == (first[1], first[0], 3)
        now = sizes[min(int(frame.frame_time_s * 2 + 0.01), len(sizes) - 1)]
        scale = min(first[0] / now[0], first[1] / now[1])
        assert extent(frame.image) == pytest.approx((now[0] / 2 * scale, now[1] / 2 * scale), abs=4)
    assert [(change.width, change.height) for change in grid.changes] == sizes[1:]
    [(problem, _)] = [odd for odd in oddities(grid.facts, grid, None) if "padded" in odd[0]]
    assert f"between {first[0]} × {first[1]} and {sizes[1][0]} × {sizes[1][1]}" in problem


@pytest.mark.parametrize("preset", ["ultrafast", "medium"], ids=["in order", "reordered"])
@pytest.mark.parametrize("after", [(320, 320), (160, 320)], ids=["same size", "another size"])
def test_pixels_change_their_shape_with_the_frame_not_with_the_decoder(
    tmp_path: Path, after: tuple[int, int], preset: str
) -> None:
    """The decoder knows of the change some frames before the last one of the old shape comes out."""
    aspects = [Fraction(1), Fraction(320, after[0]) if after[0] < 320 else Fraction(2)]
    grid = decode_grid(film(tmp_path / "a.ts", [(320, 320), after], aspects, preset=preset), 10)
    shapes = [extent(frame.image) for frame in grid]
    later = (160, 160) if after[0] < 320 else (160, 80)
    assert len(shapes) == 10
    assert shapes[:5] == [pytest.approx((160, 160), abs=4)] * 5
    assert shapes[5:] == [pytest.approx(later, abs=4)] * 5


@pytest.mark.parametrize("orientation", [1, 2, 6, 8])
def test_pictures_with_exif_data_are_turned_and_mirrored_as_it_says(tmp_path: Path, orientation: int) -> None:
    """Cameras write MJPEG of whole JPEG files; PyAV 18 gives no side data of a frame that has EXIF."""
    from PIL import Image, ImageOps

    stored = Image.fromarray(np.zeros((48, 64, 3), np.uint8))
    stored.paste((255, 255, 255), (0, 0, 32, 16))  # in one corner, wider than high
    exif = Image.Exif()
    exif[0x0112] = orientation
    jpeg = io.BytesIO()
    stored.save(jpeg, "JPEG", quality=95, exif=exif)
    path = tmp_path / "camera.avi"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        packet = av.Packet(jpeg.getvalue())
        packet.stream, packet.pts, packet.dts, packet.time_base = stream, 0, 0, Fraction(1, 10)
        out.mux(packet)
    with Image.open(jpeg) as picture:
        upright = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    (frame,) = decode_grid(path, 5)
    assert frame.image.shape == upright.shape
    assert np.abs(frame.image.astype(int) - upright).mean() < 2


def square_at(left: int) -> np.ndarray:
    image = np.full((96, 160, 3), 60, np.uint8)
    image[24:72, left : left + 48] = 200
    return image


@pytest.mark.parametrize("first", ["tff", "bff"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "uyvy422"])
def test_an_interlaced_frame_shows_the_moment_of_its_first_field(
    tmp_path: Path, first: str, pix_fmt: str
) -> None:
    """Tapes and broadcasts: each frame has the lines of two moments."""
    whole, woven = tmp_path / "whole.mkv", tmp_path / "woven.mkv"
    with av.open(str(whole), "w") as out:
        stream = out.add_stream("ffv1", rate=50)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for k in range(10):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(square_at(20 + 4 * k), "rgb24")))
        out.mux(stream.encode(None))
    weave = f"interlace=scan={first}:lowpass=0,format={pix_fmt}"
    codec = "rawvideo" if pix_fmt == "uyvy422" else "ffv1"
    subprocess.run(
        [get_ffmpeg_exe(), "-v", "error", "-i", whole, "-vf", weave, "-c:v", codec, woven], check=True
    )
    with av.open(str(woven)) as container:
        frame = next(container.decode(video=0))
        assert frame.interlaced_frame, "else the test tests nothing"
        assert np.abs(frame.to_ndarray(format="rgb24") - square_at(20).astype(int)).mean() > 1
    facts, copy = probe(woven), tmp_path / "copy.mp4"
    assert facts.interlaced
    write_playable_copy(woven, copy, facts)
    assert not probe(copy).interlaced
    frames, shown = list(decode_grid(woven, 25, facts=facts)), list(decode_grid(copy, 25))
    assert len(frames) == len(shown) == 5
    for k, (frame, other) in enumerate(zip(frames, shown, strict=True)):
        assert np.abs(other.image[30:66] - frame.image[30:66].astype(int)).mean() < 2
        away = np.abs(frame.image - square_at(20 + 8 * k).astype(int))
        assert away[30:66].mean() < 0.5, k  # above and below are edges between lines
        assert away.mean() < 2
