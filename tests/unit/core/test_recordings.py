"""Sides, siblings and parts, on names as Aff-Wild2 has them and on names that only look like them."""

import pytest

from stages.core.recordings import recordings_of, siblings_left_out, split_side


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("video2", ("video2", None)),
        ("video2_left", ("video2", "left")),
        ("10-60-1280x720_right", ("10-60-1280x720", "right")),
        ("video10_1_left", ("video10_1", "left")),
        ("left_right_right", ("left_right", "right")),
        ("copyright", ("copyright", None)),
        ("_left", ("_left", None)),
        ("video2_Left", ("video2_Left", None)),
    ],
)
def test_sides(name: str, expected: tuple[str, str | None]) -> None:
    assert split_side(name) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("video86_1 video86_2 video86_3", {"video86": 3}),
        ("122-60-1920x1080-1 122-60-1920x1080-2 122-60-1920x1080-5", {"122-60-1920x1080": 3}),
        ("video10_1_left video10_1_right", {"video10_1": 2}),  # the only part there is: no part
        ("video10_1_left video10_2", {"video10": 2}),
        ("video45 video45_1", {"video45": 2}),  # the uncut file is of the same recording
        ("video1 video2", {"video1": 1, "video2": 1}),
        ("clip_1 clip_2", {"clip_1": 1, "clip_2": 1}),  # clips by number, not parts of "clip"
        ("21-24 21-25", {"21-24": 1, "21-25": 1}),  # number and rate
        ("6-30-1920x1080 7-30-1920x1080", {"6-30-1920x1080": 1, "7-30-1920x1080": 1}),
        ("v1_2023 v1_2024", {"v1_2023": 1, "v1_2024": 1}),
        ("28-30-1280x720-1 28-30-1280x720_right", {"28-30-1280x720": 2}),
    ],
)
def test_parts_and_sides_make_one_recording(names: str, expected: dict[str, int]) -> None:
    found = list(recordings_of(names.split()).values())
    assert {name: found.count(name) for name in found} == expected


def test_parts_may_be_recordings_of_their_own() -> None:
    found = recordings_of(["video86_1", "video86_2_left"], parts=False)
    assert found == {"video86_1": "video86_1", "video86_2_left": "video86_2"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("video2", ("video2_left",)),
        ("video2_left", ()),
        ("three", ("three_left", "three_right")),
        ("three_left", ()),
        ("alone", ()),
    ],
)
def test_siblings_that_an_unsuffixed_subject_leaves_out(name: str, expected: tuple[str, ...]) -> None:
    subjects = {"video2", "video2_left", "three", "three_left", "three_right", "alone"}
    assert siblings_left_out(name, subjects) == expected
