"""Tiling covers everything once or more; averaging gives back what was cut."""

import numpy as np
import pytest

from stages.audio.speaking import tiling_windows
from stages.temporal.windows import (
    cut,
    labelled_runs,
    overlap_average,
    overlap_average_on_grid,
    tile,
)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [(30, [0]), (31, [0, 1]), (45, [0, 15]), (50, [0, 15, 20]), (60, [0, 15, 30]), (7, [-23]), (1, [-29])],
)
def test_regular_windows_are_kept_and_one_is_flush_with_the_end(steps: int, expected: list[int]) -> None:
    assert tile(steps, window=30, hop=15).tolist() == expected


@pytest.mark.parametrize("steps", [*range(1, 25), 100])
@pytest.mark.parametrize(("window", "hop"), [(8, 4), (7, 3), (5, 5), (1, 1)])
def test_cut_and_averaged_a_sequence_comes_back(steps: int, window: int, hop: int) -> None:
    sequence = np.random.default_rng(steps).uniform(-1, 1, (steps, 2))
    starts = tile(steps, window, hop)
    values, mask = cut(sequence, starts, window)
    average, count = overlap_average(starts, values, mask, steps)
    np.testing.assert_allclose(average, sequence, atol=1e-15)
    assert count.min() >= 1 and count.sum() == mask.sum()


def test_padding_stands_at_the_start_is_zero_and_masked() -> None:
    values, mask = cut(np.ones((3, 2)), np.array([-2]), 5)
    assert mask.tolist() == [[False, False, True, True, True]]
    assert values[0, :, 0].tolist() == [0, 0, 1, 1, 1]


def test_overlaps_are_averaged_not_interleaved() -> None:
    values = np.stack([np.full((4, 1), 1.0), np.full((4, 1), 3.0)])
    average, count = overlap_average(np.array([0, 2]), values, np.ones((2, 4), bool), 7)
    np.testing.assert_array_equal(average[:, 0], [1, 1, 2, 2, 3, 3, np.nan])
    assert count.tolist() == [1, 1, 2, 2, 1, 1, 0]


def test_masked_values_have_no_say_even_if_nan() -> None:
    values = np.array([[[np.nan], [1.0]], [[5.0], [2.0]]])
    average, _ = overlap_average(np.array([-1, 0]), values, np.array([[0, 1], [0, 1]], bool), 2)
    assert average[:, 0].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("arguments", [(0, 4, 2), (5, 0, 1), (5, 4, 0), (5, 4, 5)])
def test_tile_refuses(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="must be >= 1"):
        tile(*arguments)


def test_values_outside_the_sequence_are_refused() -> None:
    with pytest.raises(ValueError, match="must be in 0 to 4"):
        overlap_average(np.array([3]), np.zeros((1, 4, 2)), np.ones((1, 4), bool), 5)
    with pytest.raises(ValueError, match="has 5"):
        cut(np.zeros((5, 2)), np.array([3]), 4)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("1111111111", [0, 2, 4, 6]),
        ("1111011111", [0, 5, 6]),
        ("0001110111", []),
        ("0111101111", [1, 6]),
        ("0000000000", []),
        ("", []),
        ("1", []),
    ],
)
def test_training_windows_hold_labelled_steps_only(flags: str, expected: list[int]) -> None:
    labelled = np.array([flag == "1" for flag in flags], bool)
    starts = labelled_runs(labelled, np.arange(len(flags)) / 5, 0.2, window=4, hop=2)
    assert starts.tolist() == expected


def test_a_gap_in_time_cuts_a_run() -> None:
    time_s = np.append(np.arange(5) / 5, 7 + np.arange(5) / 5)
    assert labelled_runs(np.ones(10, bool), time_s, 0.2, window=4, hop=2).tolist() == [0, 1, 5, 6]


def test_no_training_window_crosses_an_unlabelled_step() -> None:
    rng = np.random.default_rng(0)
    labelled = rng.random(2000) < 0.9
    starts = labelled_runs(labelled, np.arange(2000) / 5, 0.2, window=6, hop=3)
    assert len(starts) > 50
    assert labelled[starts[:, None] + np.arange(6)].all()


@pytest.mark.parametrize("duration_s", [3.3, 4.0, 9.96, 10.0, 10.1, 61.07])
def test_a_ramp_in_time_comes_back_on_the_grid(duration_s: float) -> None:
    starts = tiling_windows(duration_s, window_s=4.0, hop_s=2.0, step_s=0.2)[:, 0]
    when = starts[:, None] + np.arange(20) * 0.2
    valid = when < duration_s - 1e-9
    grid = np.arange(int(np.ceil(duration_s * 5 - 1e-9))) / 5
    average, count = overlap_average_on_grid(starts, when[:, :, None], 0.2, valid, len(grid))
    assert (count > 0).all()
    inner = grid <= when[valid].max() + 1e-9  # after a window's last value that value is held, < 0.2 s
    np.testing.assert_allclose(average[inner, 0], grid[inner], atol=0.1)
    before_the_tail = grid < starts[-1]
    np.testing.assert_allclose(average[before_the_tail, 0], grid[before_the_tail], atol=1e-9)


def test_windows_on_the_grid_are_averaged_exactly() -> None:
    values = np.random.default_rng(0).uniform(-1, 1, (29, 20, 2))
    starts = np.arange(29) * 10
    valid = np.ones((29, 20), bool)
    by_time, _ = overlap_average_on_grid(np.arange(29) * 2.0, values, 0.2, valid, 300)
    by_step, _ = overlap_average(starts, values, valid, 300)
    np.testing.assert_array_equal(by_time, by_step)


def test_padding_never_leaks_into_the_grid() -> None:
    values = np.full((1, 4, 1), np.nan)
    values[0, :2] = 1.0
    average, count = overlap_average_on_grid(np.array([0.1]), values, 0.2, np.array([[1, 1, 0, 0]], bool), 5)
    assert count.tolist() == [0, 1, 1, 0, 0]
    np.testing.assert_array_equal(average[:, 0], [np.nan, 1, 1, np.nan, np.nan])
