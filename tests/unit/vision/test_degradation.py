"""Worse copies of a track are worse, of the same shape, and the same each time."""

from typing import Any

import numpy as np
import pytest

from stages.media.jpeg import pack_jpegs, unpack_jpeg
from stages.vision.crops import reuse_last
from stages.vision.degradation import KINDS, degrade

STEPS = 100


@pytest.fixture
def track() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    detected = np.arange(STEPS) % 9 > 0
    crops = [np.full((40, 32, 3), rng.integers(40, 200), np.uint8) for _ in range(int(detected.sum()))]
    jpeg, offset = pack_jpegs(crops)
    box = np.where(detected[:, None], [1.0, 2.0, 33.0, 42.0], np.nan).astype(np.float32)
    return {
        "jpeg": jpeg,
        "jpeg_offset": offset,
        "detected": detected,
        "crop_index": reuse_last(detected),
        "score": detected.astype(np.float32),
        "box_xyxy": box,
        "time_s": np.arange(STEPS) / 5,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_crop_is_another_picture_of_the_same_size(track: dict[str, Any], kind: str) -> None:
    found = degrade(track, kind, 3, 5.0)
    assert len(found["jpeg_offset"]) == len(track["jpeg_offset"])
    for k in (0, 40):
        before, after = (unpack_jpeg(each["jpeg"], each["jpeg_offset"], k) for each in (track, found))
        assert before.shape == after.shape
        assert np.abs(before.astype(int) - after).mean() > 2
    np.testing.assert_array_equal(found["detected"], track["detected"])
    again = degrade(track, kind, 3, 5.0)
    np.testing.assert_array_equal(found["jpeg"], again["jpeg"])


def test_dropped_faces_leave_the_last_crop_standing(track: dict[str, Any]) -> None:
    found = degrade(track, "dropped", 3, 5.0)
    lost = track["detected"] & ~found["detected"]
    assert 0.25 < lost.mean() < 0.75
    assert not (found["detected"] & ~track["detected"]).any()
    assert np.isnan(found["box_xyxy"][~found["detected"]]).all()
    seen = np.flatnonzero(found["detected"])
    np.testing.assert_array_equal(found["crop_index"][seen], track["crop_index"][seen])
    for step in np.flatnonzero(~found["detected"]):
        before = seen[seen < step]
        expected = track["crop_index"][before[-1]] if len(before) else -1
        assert found["crop_index"][step] == expected
