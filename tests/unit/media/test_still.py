"""Pictures as videos of one frame: upright, without loss, of any kind of pixel; what can't be read is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pictures

from stages.core.arrays import Image
from stages.core.errors import BadInput
from stages.media.container import probe
from stages.media.frames import decode_grid
from stages.media.limits import Limits
from stages.media.still import pictures_in, read_still, write_as_video

ORIENTATION = 0x0112  # of EXIF


def noise(*shape: int) -> Image:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp", ".tiff"])
def test_the_one_frame_has_the_pixels_of_the_picture(tmp_path: Path, suffix: str) -> None:
    image, path, film = noise(30, 40, 3), tmp_path / f"a{suffix}", tmp_path / "film"
    Pictures.fromarray(image).save(path, **({"lossless": True} if suffix == ".webp" else {}))
    write_as_video(path, film)
    facts = probe(film)
    assert (facts.frame_count, facts.width, facts.height, facts.has_audio) == (1, 40, 30, False)
    (frame,) = decode_grid(film, 5)
    np.testing.assert_array_equal(frame.image, image)
    assert frame.time_s == 0


@pytest.mark.parametrize(
    ("suffix", "kind", "count"),
    [(".webp", "WEBP", 3), (".png", "PNG", 3), (".tiff", "TIFF", 3), (".jpg", "MPO", 1)],
)
def test_of_an_animation_the_first_picture_is_read_and_all_are_counted(
    tmp_path: Path, suffix: str, kind: str, count: int
) -> None:
    pictures = [Pictures.new("RGB", (40, 30), (60 * k, 0, 0)) for k in range(3)]
    path = tmp_path / f"a{suffix}"
    pictures[0].save(path, format=kind, save_all=True, append_images=pictures[1:])
    assert pictures_in(path) == count
    assert read_still(path)[..., 0].max() < 10
    pictures[0].save(path, format="JPEG" if kind == "MPO" else kind)
    assert pictures_in(path) == 1


def test_a_turned_photograph_is_upright(tmp_path: Path) -> None:
    image, path = noise(30, 40, 3), tmp_path / "a.png"
    picture = Pictures.fromarray(image)
    exif = picture.getexif()
    exif[ORIENTATION] = 6  # shown turned by 90° clockwise
    picture.save(path, exif=exif)
    np.testing.assert_array_equal(read_still(path), np.rot90(image, -1))


def test_grey_of_8_and_16_bits_is_the_same_grey(tmp_path: Path) -> None:
    grey = noise(20, 20)
    Pictures.fromarray(grey).save(tmp_path / "narrow.png")
    Pictures.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "wide.png")
    for name in ("narrow", "wide"):
        np.testing.assert_array_equal(read_still(tmp_path / f"{name}.png"), np.repeat(grey[:, :, None], 3, 2))


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"no picture at all", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_refused_with_a_remedy(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(BadInput, match=r"a\.png.*not a picture that can be read.*convert it to PNG or JPEG"):
        read_still(tmp_path / "a.png")


def test_a_picture_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Pictures.fromarray(noise(64, 64, 3)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(BadInput, match="not a picture that can be read"):
        read_still(path)


def test_too_many_pixels_are_refused_before_they_are_read(tmp_path: Path) -> None:
    Pictures.fromarray(noise(30, 40, 3)).save(tmp_path / "a.png")
    with pytest.raises(BadInput, match="40 × 30"):
        read_still(tmp_path / "a.png", Limits(max_pixels=1199))
