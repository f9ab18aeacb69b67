"""The target person: chosen at the start, kept through gaps, never swapped within half a second."""

import numpy as np
import pytest

from stages.vision.detection import Detections, no_faces
from stages.vision.tracks import Side, follow_target

WIDTH_PX = 1000
FACE_PX = 100


def faces(
    *centre_x: float, score: float | tuple[float, ...] = 0.9, width: float | tuple[float, ...] = FACE_PX
):
    """Faces of one frame, 100 px wide unless said otherwise, around (x, 200)."""
    x, half = np.array(centre_x, np.float32), np.broadcast_to(width, len(centre_x)) / 2
    box = np.stack([x - half, 200 - half, x + half, 200 + half], axis=1).astype(np.float32)
    return Detections(box, np.broadcast_to(np.float32(score), len(centre_x)).copy())


def centres(detections: list[Detections], side: Side | None = None, fps_hz: float = 5.0, **settings: float):
    """Centre of the target in each frame, None where it is missing."""
    time_s = np.arange(len(detections)) / fps_hz
    track = follow_target(detections, time_s, WIDTH_PX, side, **settings)
    assert track.box_xyxy.shape == (len(detections), 4)
    assert track.box_xyxy.dtype == track.score.dtype == np.float32
    np.testing.assert_array_equal(track.detected, np.isfinite(track.box_xyxy).all(axis=1))
    np.testing.assert_array_equal(track.detected, np.isfinite(track.score))
    return [
        float(x) if ok else None
        for x, ok in zip(track.box_xyxy[:, [0, 2]].mean(axis=1), track.detected, strict=True)
    ]


NONE = no_faces()
PAIR = faces(300, 700, score=(0.9, 0.95))


@pytest.mark.parametrize(
    ("story", "detections", "side", "expected"),
    [
        ("nobody at all", [NONE, NONE], None, [None, None]),
        ("nobody at all, on the left", [NONE, NONE], "left", [None, None]),
        ("the most confident", [NONE, PAIR, PAIR], None, [None, 700, 700]),
        ("the nearest, not the most confident", [PAIR, faces(310, 720, score=(0.99, 0.8))], None, [700, 720]),
        ("left of two", [PAIR, PAIR], "left", [300, 300]),
        ("right of two", [PAIR, PAIR], "right", [700, 700]),
        ("left of two in the right half", [faces(600, 900)], "left", [600]),
        ("outermost of three", [faces(500, 200, 800)], "right", [800]),
        ("a bystander in the corner", [faces(300, 700, 900, width=(100, 90, 20))], "right", [700]),
        ("one in the left half, wanted", [faces(400)], "left", [400]),
        ("one in the left half, not wanted", [faces(400)], "right", [None]),
        ("one at first, then both", [faces(450), faces(440), faces(400, 700)], "right", [None, None, 700]),
        (
            "the left one drifts in from the right",
            [faces(560), faces(540), faces(520, 900)],
            "left",
            [560, 540, 520],
        ),
        ("followed back to the first frame", [faces(690), NONE, PAIR], "right", [690, None, 700]),
        ("both only after the first seconds", [faces(400)] * 20 + [PAIR], "right", [None] * 20 + [700]),
    ],
)
def test_who_is_followed(
    story: str, detections: list[Detections], side: Side | None, expected: list[float | None]
) -> None:
    assert centres(detections, side) == expected, story


@pytest.mark.parametrize(
    ("story", "x", "expected"),
    [
        ("a step of a width and a half is a movement", [300, 450, 600], [300, 450, 600]),
        ("a longer step is somebody else", [300, 451, 300], [300, None, 300]),
        ("still refused at 0.8 s, taken at 1 s", [300] + [800] * 6, [300, None, None, None, None, 800, 800]),
        ("back in place within the second", [300, 800, 800, 310, 800], [300, None, None, 310, None]),
        ("out of sight for 0.4 s: still a jump", [300, None, 800], [300, None, None]),
        ("out of sight for 0.6 s: it has moved", [300, None, None, 800], [300, None, None, 800]),
        ("refused before going out of sight", [300, 800, None, None, 800, 800], [300] + [None] * 4 + [800]),
    ],
)
def test_jumps(story: str, x: list[float | None], expected: list[float | None]) -> None:
    detections = [NONE if centre is None else faces(centre) for centre in x]
    assert centres(detections) == expected, story


@pytest.mark.parametrize("start", [0, 1, 3, 7, 29])
def test_the_second_is_a_second_wherever_on_the_grid(start: int) -> None:
    """Times are products: (start + 5) / 5 − start / 5 is not always 1.0."""
    detections = [NONE] * start + [faces(300)] + [faces(800)] * 5
    assert centres(detections)[start:] == [300, None, None, None, None, 800]


def test_the_limits_are_times_not_frames() -> None:
    detections = [faces(300)] + [faces(800)] * 30
    found = centres(detections, fps_hz=25.0)
    assert found.index(800.0) == 25
    assert centres(detections, fps_hz=25.0, reacquire_s=0.6, jump_s=0.2).index(800.0) == 15


def test_limits_scale_with_the_face() -> None:
    wide = [faces(300, width=200), faces(590, width=200)]
    assert centres(wide) == [300, 590]
    assert centres(wide, jump_widths=1.0) == [300, None]


def test_vertical_jumps_count() -> None:
    above = Detections(np.array([[250, 400, 350, 500]], np.float32), np.array([0.9], np.float32))
    assert centres([faces(300), above]) == [300, None]


@pytest.mark.parametrize("frames", [3, 20])
def test_two_people_shown_in_turn_are_never_mixed(frames: int) -> None:
    """Shots of 0.6 s or 4 s alternate between the left (x = 300) and the right person (x = 700)."""
    shots = [PAIR] * 3 + ([faces(300)] * frames + [faces(700)] * frames) * 4
    for side, x, share in (("left", 300.0, 0.5), ("right", 700.0, 0.5)):
        found = centres(shots, side)
        assert set(found) == {x, None}
        assert found.count(x) == 3 + 8 * frames * share


def test_a_person_on_one_side_is_found_again_in_that_half_only() -> None:
    gone = [NONE] * 5
    assert centres([PAIR, *gone, faces(200)], "right")[-1] is None
    assert centres([PAIR, *gone, faces(900, 400)], "right")[-1] == 900
    assert centres([PAIR, *gone, faces(560)], "right")[-1] == 560, "near enough, whatever the half"


@pytest.mark.parametrize("time_s", [[0.0], [0.0, 0.0], [1.0, 0.5]])
def test_times_must_fit(time_s: list[float]) -> None:
    with pytest.raises(ValueError, match="one ascending time per frame"):
        follow_target([PAIR, PAIR], np.array(time_s), WIDTH_PX)
