"""A frame's own planes show what converting it to RGB and back would; where they wouldn't, there are none."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from stages.media.canvas import Canvas
from stages.media.planes import Planes, in_planes, planes_in, planes_of

SIZE = (70, 48)  # lines of FFmpeg's own frames are longer
ONE = Fraction(1)
AS_IT_IS = Canvas(SIZE, ONE, SIZE, None)
BT709, FULL = 1, 2


def picture(width: int = SIZE[0], height: int = SIZE[1]) -> np.ndarray:
    rough = np.random.default_rng(5).integers(60, 196, (3, 4, 3), np.uint8)
    return cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)


def frame_of(image: np.ndarray, form: str = "yuv420p") -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=form)


def rgb(planes: Planes) -> np.ndarray:
    whole = np.concatenate([plane.ravel() for plane in planes]).reshape(-1, planes.y.shape[1])
    return cv2.cvtColor(whole, cv2.COLOR_YUV2RGB_I420)


def test_the_planes_of_a_frame_show_the_picture() -> None:
    frame = frame_of(picture())
    assert frame.planes[0].line_size > SIZE[0]
    found = planes_of(frame, AS_IT_IS, ONE)
    assert found is not None
    assert np.abs(rgb(found).astype(int) - AS_IT_IS.draw(frame)).mean() < 3


@pytest.mark.parametrize(
    "canvas",
    [
        Canvas(SIZE, ONE, (140, 96), None),
        Canvas((140, 96), ONE, SIZE, None),
        Canvas(SIZE, Fraction(2), SIZE, None),
        Canvas(SIZE, ONE, SIZE, np.eye(3, dtype=np.int32).tobytes()),
    ],
)
def test_a_frame_that_must_change_has_none(canvas: Canvas) -> None:
    assert planes_of(frame_of(picture()), canvas, ONE) is None


def test_planes_that_mean_something_else_are_none() -> None:
    for form in ("yuvj420p", "yuv422p", "rgb24", "nv12", "yuv420p10le"):
        assert planes_of(frame_of(picture(), form), AS_IT_IS, ONE) is None, form
    frame = frame_of(picture())
    frame.colorspace = BT709
    assert planes_of(frame, AS_IT_IS, ONE) is None
    frame = frame_of(picture())
    frame.color_range = FULL
    assert planes_of(frame, AS_IT_IS, ONE) is None


def test_rows_of_planes_are_drawn_in_place() -> None:
    whole = np.zeros((72, 70), np.uint8)
    part = planes_in(whole).rows(20, 48)
    part.draw(picture(70, 28))
    assert np.abs(rgb(part).astype(int) - picture(70, 28)).mean() < 3
    assert not planes_in(whole).y[:20].any()
    assert (planes_in(whole).u[10:] == part.u).all()
    assert not planes_in(whole).v[:10].any()


def test_a_colour_is_what_a_picture_of_it_is() -> None:
    assert in_planes((0, 0, 0)) == (16, 128, 128)
    assert in_planes((255, 255, 255)) == (235, 128, 128)
    assert in_planes((255, 0, 0))[2] == pytest.approx(240, abs=1)
