"""The plain forest against scikit-learn's."""

import warnings

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from stages.fusion.forest import Forest, Growth, _floor32, grow, out_of_bag


def rows(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    stack = rng.uniform(-1, 1, (n, 3))
    return stack, np.tanh(2 * stack[:, 0] * stack[:, 1]) + rng.normal(0, 0.1, n)


@pytest.mark.parametrize("min_leaf", [1, 7, 90])
@pytest.mark.parametrize("trees", [1, 12])
@pytest.mark.parametrize("max_samples", [1.0, 0.55])
def test_it_predicts_what_scikit_learn_predicts(max_samples: float, min_leaf: int, trees: int) -> None:
    stack, truth = rows()
    reference = RandomForestRegressor(
        trees,
        min_samples_leaf=min_leaf,
        max_samples=None if max_samples == 1 else max_samples,
        random_state=3,
    )
    reference.fit(stack.astype(np.float32), truth)
    forest, _ = grow(stack, truth, trees, Growth(min_leaf=min_leaf, max_samples=max_samples, seed=3))
    for new in (stack, rows(40_000, 1)[0]):
        np.testing.assert_allclose(forest.predict(new), reference.predict(new), rtol=0, atol=1e-6)


def test_the_first_trees_are_a_smaller_forest() -> None:
    stack, truth = rows()
    large, _ = grow(stack, truth, 20, Growth(seed=1))
    small, _ = grow(stack, truth, 10, Growth(seed=1))
    np.testing.assert_array_equal(large.first(10).predict(stack), small.predict(stack))
    with pytest.raises(ValueError, match=r"trees is 21, must be in 1\.\.20"):
        large.first(21)


def test_out_of_bag_is_scikit_learns_where_there_are_votes() -> None:
    stack, truth = rows()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = RandomForestRegressor(5, random_state=0, oob_score=True).fit(
            stack.astype(np.float32), truth
        )
    forest, bootstraps = grow(stack, truth, 5, Growth())
    predicted, voted = list(out_of_bag(forest, bootstraps, stack))[-1]
    assert 0.8 < voted.mean() < 1
    np.testing.assert_allclose(predicted[voted], reference.oob_prediction_[voted], atol=1e-6)
    assert (reference.oob_prediction_[~voted] == 0).all()


def test_the_seed_decides_and_threads_do_not() -> None:
    stack, truth = rows()
    one, _ = grow(stack, truth, 8, Growth(seed=5), n_jobs=1)
    two, _ = grow(stack, truth, 8, Growth(seed=5), n_jobs=2)
    other, _ = grow(stack, truth, 8, Growth(seed=6))
    np.testing.assert_array_equal(one.predict(stack), two.predict(stack))
    assert not np.array_equal(one.predict(stack), other.predict(stack))


def test_labels_may_be_a_column_of_a_table() -> None:
    stack, truth = rows()
    column = np.column_stack([truth, truth])[:, 0]
    one, _ = grow(stack, truth, 2, Growth())
    np.testing.assert_array_equal(grow(stack, column, 2, Growth())[0].predict(stack), one.predict(stack))


def test_friedman_mse_grows_the_same_trees_without_a_warning() -> None:
    stack, truth = rows()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        friedman, _ = grow(stack, truth, 3, Growth(criterion="friedman_mse"))
    squared, _ = grow(stack, truth, 3, Growth(criterion="squared_error"))
    np.testing.assert_array_equal(friedman.predict(stack), squared.predict(stack))


def test_it_survives_being_saved() -> None:
    stack, truth = rows()
    forest, _ = grow(stack, truth, 4, Growth())
    again = Forest.from_arrays(forest.to_arrays())
    np.testing.assert_array_equal(again.predict(stack), forest.predict(stack))


def test_a_constant_target_makes_a_tree_of_one_leaf() -> None:
    forest, _ = grow(rows()[0], np.full(400, 0.25), 3, Growth())
    assert len(forest.value) == 3
    assert forest.predict(rows()[0]).tolist() == [0.25] * 400


def test_thresholds_in_single_precision_separate_the_same_values() -> None:
    rng = np.random.default_rng(0)
    low = rng.uniform(-1, 1, 1000).astype(np.float32)
    high = np.nextafter(low, np.float32(2))
    middle = (low.astype(np.float64) + high) / 2
    floored = _floor32(middle)
    assert floored.dtype == np.float32
    assert (low <= floored).all() and (high > floored).all()
    assert (middle.astype(np.float32) >= high).any()  # plain rounding would not do


def test_no_rows_no_votes() -> None:
    forest, _ = grow(*rows(), 2, Growth())
    assert forest.predict(np.empty((0, 3))).shape == (0,)


def test_misuse_is_refused() -> None:
    stack, truth = rows(20)
    with pytest.raises(ValueError, match="must be one of squared_error"):
        grow(stack, truth, 2, Growth(criterion="gini"))
    with pytest.raises(ValueError, match="labelled and finite"):
        grow(stack, np.full(20, np.nan), 2, Growth())
    with pytest.raises(ValueError, match="finite"):
        grow(stack, truth, 2, Growth())[0].predict(np.full((2, 3), np.nan))
