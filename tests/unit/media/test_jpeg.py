"""Images go in, and the same images, nearly, come out, one by one."""

import numpy as np
import pytest

from stages.media.jpeg import pack_jpegs, unpack_jpeg


def _scene(height: int, width: int, colour: tuple[int, int, int]) -> np.ndarray:
    """A smooth shade of one colour: what JPEG keeps well."""
    shade = np.linspace(0.5, 1.0, width)[None, :, None]
    return np.broadcast_to(shade * np.array(colour), (height, width, 3)).astype(np.uint8)


IMAGES = [_scene(30, 40, (250, 10, 10)), _scene(17, 9, (10, 250, 10)), _scene(64, 64, (10, 10, 250))]


def test_each_image_comes_back_in_its_size_and_colour() -> None:
    blob, offset = pack_jpegs(iter(IMAGES))
    assert (blob.dtype, offset.dtype, offset[0], offset[-1]) == (np.uint8, np.int64, 0, len(blob))
    for i in (2, 0, 1):
        np.testing.assert_allclose(unpack_jpeg(blob, offset, i).astype(int), IMAGES[i], atol=12)
        assert np.abs(unpack_jpeg(blob, offset, i).astype(int) - IMAGES[i]).mean() < 2


def test_no_images_make_an_empty_blob() -> None:
    blob, offset = pack_jpegs([])
    assert (blob.shape, blob.dtype, offset.tolist()) == ((0,), np.uint8, [0])


def test_the_bytes_so_far_are_told_and_may_end_it() -> None:
    told: list[int] = []
    _, offset = pack_jpegs(IMAGES, check=told.append)
    assert told == offset[1:].tolist()

    def enough(size: int) -> None:
        if size > told[0]:
            raise OverflowError(size)

    with pytest.raises(OverflowError, match=str(told[1])):
        pack_jpegs(IMAGES, check=enough)


def test_the_same_images_give_the_same_bytes_and_quality_costs_bytes() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert pack_jpegs([noise])[0].tobytes() == pack_jpegs([noise])[0].tobytes()
    assert pack_jpegs([noise], quality=50)[0].size < pack_jpegs([noise], quality=95)[0].size


@pytest.mark.parametrize("i", [-1, 3])
def test_an_image_that_is_not_there(i: int) -> None:
    with pytest.raises(ValueError, match="there are 3"):
        unpack_jpeg(*pack_jpegs(IMAGES), i)


def test_damaged_bytes_are_named() -> None:
    blob, offset = pack_jpegs(IMAGES)
    blob[offset[1] : offset[2]] = 0
    with pytest.raises(ValueError, match=r"image 1 .* is not a JPEG"):
        unpack_jpeg(blob, offset, 1)


@pytest.mark.parametrize(
    ("image", "quality", "message"),
    [(IMAGES[0], 0, "quality"), (IMAGES[0][..., 0], 95, "shape"), (IMAGES[0] / 255, 95, "type float64")],
)
def test_what_is_not_an_image_is_refused(image: np.ndarray, quality: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pack_jpegs([image], quality)
