"""The two ways of choosing a forest, and what near-duplicate frames do to them."""

import numpy as np
import pytest

from stages.core.folds import assign_folds
from stages.core.measures import ccc
from stages.fusion.forest import Forest
from stages.fusion.forest_choice import choose_by_groups, choose_out_of_bag
from stages.fusion.grouped import cross_fitted


def videos(count: int, frames: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Independent videos of slowly moving labels and of models with slowly moving errors.

    Within a video neighbouring frames are near-duplicates; between videos only truth + error is shared, so
    no model can know more than the average of its inputs tells.
    """
    rng = np.random.default_rng(seed)
    slow = rng.standard_normal((count, 4, 6))
    phase = 2 * np.pi * np.outer(np.arange(6) / 6, np.linspace(0, 1, frames))
    curves = (slow @ np.cos(phase) / np.sqrt(6)).reshape(count, 4, frames)
    truth = np.tanh(curves[:, 0])
    stacks = truth[:, None] + curves[:, 1:]
    groups = np.repeat(np.arange(count), frames)
    return np.moveaxis(stacks, 1, 2).reshape(-1, 3), truth.reshape(-1), groups


def test_the_papers_protocol_is_fooled_by_near_duplicates_and_whole_videos_are_not() -> None:
    stack, truth, groups = videos(24, 150, seed=0)
    fresh_stack, fresh_truth, _ = videos(100, 20, seed=1)
    forest, choices = choose_out_of_bag(stack, truth, trees=(10, 30))
    real = ccc(fresh_truth, forest.predict(fresh_stack))
    on_itself = ccc(truth, forest.predict(stack))

    def fit(some: np.ndarray, labels: np.ndarray, _: np.ndarray) -> Forest:
        return choose_out_of_bag(some, labels, trees=(30,))[0]

    held_out = cross_fitted(
        fit, Forest.predict, lambda _: stack, truth, groups, assign_folds(groups, 6, seed=0)
    )
    unseen = ccc(truth, held_out)
    assert on_itself > real + 0.2
    assert choices[0].ccc > real + 0.2
    assert abs(unseen - real) < 0.1


def noisy_videos(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Videos of ten twin frames: one model's level tells the label's level up to a deviation of its own."""
    rng = np.random.default_rng(seed)
    level = rng.uniform(-1, 1, count)
    label = np.repeat(level + rng.normal(0, 0.5, count), 10)
    return (
        (np.repeat(level, 10) + rng.normal(0, 1e-3, count * 10))[:, None],
        label,
        np.repeat(np.arange(count), 10),
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_choosing_by_groups_takes_larger_leaves_and_does_better_on_new_videos(seed: int) -> None:
    stack, truth, groups = noisy_videos(150, seed)
    fresh_stack, fresh_truth, _ = noisy_videos(1000, seed + 10)
    by_frame, optimistic = choose_out_of_bag(stack, truth, trees=(20,))
    fold = assign_folds(groups, 5, seed=0)
    by_video, choices = choose_by_groups(stack, truth, fold, trees=(10, 20), min_leaf=(1, 100))
    real = ccc(fresh_truth, by_video.predict(fresh_stack))
    assert len(choices) == 4
    assert choices[0].growth.min_leaf == 100
    assert real > ccc(fresh_truth, by_frame.predict(fresh_stack)) + 0.02
    assert optimistic[0].ccc > real + 0.2
    assert choices[0].ccc == pytest.approx(real, abs=0.1)


def test_the_choice_is_the_best_of_the_grid_and_is_repeatable() -> None:
    stack, truth, _ = videos(5, 60, seed=0)
    forest, choices = choose_out_of_bag(stack, truth, trees=(5, 10, 20), seed=2)
    assert [each.trees for each in choices] and {each.trees for each in choices} == {5, 10, 20}
    assert choices[0].ccc == max(each.ccc for each in choices)
    assert forest.trees == choices[0].trees
    assert {each.growth.criterion for each in choices} == {"squared_error"}  # friedman_mse is its alias
    again, same = choose_out_of_bag(stack, truth, trees=(5, 10, 20), seed=2)
    assert same == choices
    np.testing.assert_array_equal(again.predict(stack), forest.predict(stack))


def test_sub_sampling_is_part_of_the_grid() -> None:
    stack, truth, groups = videos(4, 60, seed=0)
    _, choices = choose_by_groups(stack, truth, groups % 2, trees=(5,), min_leaf=(5,), max_samples=(1.0, 0.2))
    assert {each.growth.max_samples for each in choices} == {1.0, 0.2}
    assert choices[0].ccc != choices[1].ccc


def test_misuse_is_refused() -> None:
    stack, truth, groups = videos(3, 20, seed=0)
    with pytest.raises(ValueError, match="1 folds"):
        choose_by_groups(stack, truth, np.zeros(60, int))
    with pytest.raises(ValueError, match="needs a value"):
        choose_by_groups(stack, truth, groups, trees=())
    with pytest.raises(ValueError, match="must be one of"):
        choose_out_of_bag(stack, truth, criteria=("gini",))
