"""Crops keep what they should, letterboxes keep proportions, reused crops are marked by their index."""

import numpy as np
import pytest

from stages.vision.crops import crop_face, letterbox, padded_box, reuse_last

HEIGHT, WIDTH = 90, 160
FRAME = np.stack(np.broadcast_arrays(np.arange(HEIGHT)[:, None], np.arange(WIDTH), 7), axis=-1).astype(
    np.uint8
)
"""Every pixel says where it is: (row, column, 7)."""


@pytest.mark.parametrize(
    ("box", "settings", "expected"),
    [
        ((50, 40, 70, 60), {}, (35, 25, 85, 75)),
        ((50, 40, 70, 60), {"pad_px": 0}, (50, 40, 70, 60)),
        ((50, 40, 70, 60), {"pad_px": 10, "scale": 0.5}, (45, 35, 75, 65)),
        ((50.2, 40.9, 70.1, 60.0), {"pad_px": 0}, (50, 40, 71, 60)),
        ((-30, -5, 20, 30), {}, (0, 0, 35, 45)),
        ((150, 80, 190, 120), {}, (135, 65, 160, 90)),
        ((-10, 20, -5, 40), {}, (0, 5, 10, 55)),
    ],
)
def test_a_crop_is_the_box_with_its_margin_inside_the_frame(box, settings, expected) -> None:
    assert padded_box(np.array(box), HEIGHT, WIDTH, **settings) == expected
    crop = crop_face(FRAME, np.array(box, np.float32).astype(float), **settings)
    left, top, right, bottom = expected
    assert crop.shape == (bottom - top, right - left, 3)
    assert crop[0, 0].tolist() == [top, left, 7]
    assert crop[-1, -1].tolist() == [bottom - 1, right - 1, 7]
    assert crop.base is None, "a view would keep the whole frame in memory"


@pytest.mark.parametrize(
    ("box", "settings", "message"),
    [
        ((200, 10, 220, 30), {}, "outside the 160 x 90 frame"),
        ((10, -60, 20, -20), {}, "outside"),
        ((np.nan, 1, 2, 3), {}, "not finite"),
        ((1, 1, 9, 9), {"pad_px": -1}, "pad_px"),
        ((1, 1, 9, 9), {"scale": 0}, "scale"),
    ],
)
def test_boxes_that_give_no_crop_are_refused(box, settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        crop_face(FRAME, np.array(box), **settings)


@pytest.mark.parametrize(
    ("height", "width", "inside"),
    [
        (40, 80, (slice(25, 75), slice(0, 100))),
        (80, 40, (slice(0, 100), slice(25, 75))),
        (7, 7, (slice(0, 100), slice(0, 100))),
        (300, 99, (slice(0, 100), slice(33, 66))),
        (1000, 1, (slice(0, 100), slice(49, 50))),  # never thinner than one pixel
    ],
)
def test_a_letterbox_is_centred_and_black_outside(
    height: int, width: int, inside: tuple[slice, slice]
) -> None:
    square = letterbox(np.full((height, width, 3), 200, np.uint8), 100)
    expected = np.zeros((100, 100, 3), np.uint8)
    expected[inside] = 200
    np.testing.assert_array_equal(square, expected)


def test_resizing_is_bilinear() -> None:
    """A linear ramp stays that ramp, sampled at the centres of the new pixels."""
    ramp = np.repeat(np.linspace(0, 240, 25)[None, :, None], 25, axis=0).repeat(3, axis=2).astype(np.uint8)
    square = letterbox(ramp, 50)
    x = np.clip((np.arange(50) + 0.5) / 2 - 0.5, 0, 24)
    np.testing.assert_allclose(square[10, :, 0], x * 10, atol=1)
    np.testing.assert_array_equal(letterbox(ramp, 25), ramp)


def test_a_fine_grid_turns_grey_only_with_antialiasing() -> None:
    """Lines of one pixel: every eighth pixel is one of them or none, the mean of eight is grey."""
    lines = np.zeros((400, 400, 3), np.uint8)
    lines[:, ::8] = 240
    assert letterbox(lines, 50, antialias=True).std() < 1
    assert letterbox(lines, 50, antialias=True).mean() == pytest.approx(30, abs=1)
    np.testing.assert_array_equal(
        letterbox(lines[:20, :20], 50, antialias=True), letterbox(lines[:20, :20], 50)
    )


def test_a_letterbox_needs_a_size() -> None:
    with pytest.raises(ValueError, match="size is 0"):
        letterbox(FRAME, 0)


@pytest.mark.parametrize(
    ("detected", "expected"),
    [("", []), ("..x.xx.", [-1, -1, 0, 0, 1, 2, 2]), ("...", [-1, -1, -1]), ("xx", [0, 1])],
)
def test_the_last_crop_is_reused(detected: str, expected: list[int]) -> None:
    index = reuse_last(np.array([mark == "x" for mark in detected], bool))
    assert index.dtype == np.int64
    assert index.tolist() == expected
