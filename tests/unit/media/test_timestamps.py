from fractions import Fraction

import numpy as np
import pytest

from stages.media.timestamps import frame_times, seconds_since


@pytest.mark.parametrize(
    ("pts", "expected", "origin", "stamped"),
    [
        ([5, 6, 8, 9], [0, 1, 3, 4], 5, True),
        ([-3, 0, 1], [0, 3, 4], -3, True),
        ([7], [0], 7, True),
        # One bad stamp among ten or more is put between its neighbours.
        ([*range(10), None, 11], list(range(12)), 0, False),
        ([*range(10), 9, 11], list(range(12)), 0, False),
        ([*range(10), None], range(11), 0, False),  # after the last good one; the header's rate is wrong
        ([None, *range(10, 20)], range(11), 9, False),  # before the first
        ([*range(10), 900, *range(11, 22)], range(22), 0, False),  # far ahead: the others are believed
        ([*range(10), -900, *range(11, 22)], range(22), 0, False),
        ([None, 4], [0, 0.5], 4, False),  # too few to tell the rate: the header's
        # Too many bad ones: an even rate, from the first stamp there is.
        ([None] * 4, [0, 0.5, 1, 1.5], 0, False),
        ([4, 4, 4, 5], [0, 0.5, 1, 1.5], 4, False),
        ([9, 8, 7, 6], [0, 0.5, 1, 1.5], 9, False),
    ],
)
def test_frame_times(pts: list, expected: list, origin: int, stamped: bool) -> None:
    time_s, found_origin, found_stamped = frame_times(pts, Fraction(1), rate_hz=2.0)
    np.testing.assert_allclose(time_s, expected)
    assert (found_origin, found_stamped) == (origin, stamped)
    assert (np.diff(time_s) > 0).all()


def test_a_stamp_becomes_seconds_with_a_single_rounding() -> None:
    for pts in (0, 1, 7, 1001, 3_000_000_019):
        assert seconds_since(pts + 11, 11, Fraction(1001, 30_000)) == float(Fraction(pts * 1001, 30_000))
