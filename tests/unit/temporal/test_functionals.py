"""Windows, statistics and targets against a plain loop."""

import numpy as np
import pytest

from stages.temporal.functionals import functionals, hold, nearest_described, window_of_step, window_targets


@pytest.mark.parametrize(
    ("steps", "min_tail_s", "sizes"),
    [
        (20, 0.5, [10, 10]),
        (23, 0.5, [10, 10, 3]),
        (22, 0.5, [10, 10]),
        (22, 0.4, [10, 10, 2]),
        (29, 2.0, [10, 10]),
        (2, 0.5, [2]),
        (0, 0.5, []),
    ],
)
def test_a_tail_is_kept_from_half_a_second_on(steps: int, min_tail_s: float, sizes: list[int]) -> None:
    window = window_of_step(steps, 5.0, 2.0, min_tail_s)
    assert np.bincount(window[window >= 0], minlength=len(sizes)).tolist() == sizes
    assert (window == -1).sum() == steps - sum(sizes)


def test_an_uneven_rate_keeps_windows_two_seconds_long() -> None:
    window = window_of_step(1000, 4.7)
    np.testing.assert_array_equal(window, np.floor(np.arange(1000) / 4.7 / 2 + 1e-9))


@pytest.mark.parametrize("names", [["mean"], ["mean", "min", "max"], ["max", "mean"], ["min"]])
def test_functionals_in_the_order_asked(names: list[str]) -> None:
    embedding = np.random.default_rng(0).uniform(-1, 1, (34, 5)).astype(np.float32)
    window = window_of_step(34, 5.0)
    parts = [embedding[window == index] for index in range(4)]
    expected = [np.concatenate([getattr(np, name)(part, axis=0) for name in names]) for part in parts]
    found = functionals(embedding, window, names)
    assert found.dtype == np.float32 and found.shape == (4, 5 * len(names))
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_targets_are_means_of_labelled_steps() -> None:
    labels = np.arange(40.0).reshape(20, 2) / 40
    labelled = np.ones(20, bool)
    labelled[:5] = False  # exactly half of the first window
    labels[:5] = np.nan
    targets = window_targets(labels, labelled, window_of_step(20, 5.0))
    np.testing.assert_allclose(targets, [labels[5:10].mean(axis=0), labels[10:].mean(axis=0)], atol=1e-7)


@pytest.mark.parametrize(("min_share", "known"), [(0.5, False), (0.4, True), (0.0, True)])
def test_targets_are_missing_where_too_few_steps_are_labelled(min_share: float, known: bool) -> None:
    labelled = np.arange(10) < 4
    target = window_targets(np.ones((10, 2)), labelled, window_of_step(10, 5.0), min_share)
    assert np.isfinite(target).all() == known


def test_a_window_without_any_label_has_no_target() -> None:
    target = window_targets(np.ones((10, 2)), np.zeros(10, bool), window_of_step(10, 5.0), 0.0)
    assert np.isnan(target).all()


def test_held_values_reach_every_step() -> None:
    window = window_of_step(21, 5.0)
    steps = hold(np.array([[0.1, 0.2], [0.3, 0.4]]), window)
    assert steps[:, 0].tolist() == [0.1] * 10 + [0.3] * 11


def test_empty_recordings() -> None:
    none = window_of_step(0, 5.0)
    assert functionals(np.empty((0, 4)), none).shape == (0, 12)
    assert window_targets(np.empty((0, 2)), np.empty(0, bool), none).shape == (0, 2)
    assert hold(np.empty((0, 2)), none).shape == (0, 2)


@pytest.mark.parametrize("names", [[], ["mean", "mean"], ["median"]])
def test_unknown_functionals_are_refused(names: list[str]) -> None:
    with pytest.raises(ValueError, match="each once"):
        functionals(np.zeros((10, 2)), window_of_step(10, 5.0), names)


def test_lengths_must_match() -> None:
    with pytest.raises(ValueError, match="10 window numbers for 9 steps"):
        functionals(np.zeros((9, 2)), window_of_step(10, 5.0))
    with pytest.raises(ValueError, match="3 values for 1 windows"):
        hold(np.zeros((3, 2)), window_of_step(10, 5.0))
    with pytest.raises(ValueError, match=">= 1"):
        window_of_step(10, 0.3)


def test_only_known_steps_count_and_windows_without_any_take_the_nearest() -> None:
    embedding = np.arange(30.0)[:, None]
    known = np.zeros(30, bool)
    known[[11, 13]] = True
    described = functionals(embedding, window_of_step(30, 5.0), ("mean", "max"), known)
    assert np.isnan(described[[0, 2]]).all()
    np.testing.assert_array_equal(described[1], [12, 13])
    np.testing.assert_array_equal(nearest_described(described), [[12, 13]] * 3)
    assert not nearest_described(np.full((2, 3), np.nan)).any()
