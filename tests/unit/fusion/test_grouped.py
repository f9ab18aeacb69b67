"""No group on both sides, balance, and a model that would give leakage away."""

import numpy as np
import pytest

from stages.core.folds import assign_folds
from stages.fusion.grouped import cross_fitted

NAMES = np.repeat([f"video{index:02}" for index in range(17)], np.random.default_rng(0).integers(5, 200, 17))


@pytest.mark.parametrize("folds", [2, 5, 17])
def test_groups_stay_whole_and_no_fold_is_empty(folds: int) -> None:
    fold = assign_folds(NAMES, folds, seed=0)
    assert set(fold) == set(range(folds))
    assert all(len(set(fold[name == NAMES])) == 1 for name in np.unique(NAMES))


def test_folds_hold_about_equal_numbers_of_labelled_rows() -> None:
    names = np.repeat(np.arange(60), 50)
    labelled = np.random.default_rng(1).random(3000) < np.repeat(np.linspace(0, 1, 60), 50)
    fold = assign_folds(names, 5, 0, labelled)
    load = np.bincount(fold, weights=labelled)
    assert load.max() - load.min() <= 25


def test_unlabelled_groups_are_spread_too() -> None:
    fold = assign_folds(np.arange(6), 3, 0, np.zeros(6, bool))
    assert np.bincount(fold).tolist() == [2, 2, 2]


def test_the_order_of_the_rows_does_not_matter_and_the_seed_does() -> None:
    order = np.random.default_rng(2).permutation(len(NAMES))
    np.testing.assert_array_equal(assign_folds(NAMES[order], 4, 1), assign_folds(NAMES, 4, 1)[order])
    equal = np.repeat(np.arange(12), 10)
    assert not np.array_equal(assign_folds(equal, 4, 1), assign_folds(equal, 4, 2))


@pytest.mark.parametrize("folds", [1, 18])
def test_impossible_numbers_of_folds_are_refused(folds: int) -> None:
    with pytest.raises(ValueError, match=r"must be in 2..17"):
        assign_folds(NAMES, folds, 0)


def test_a_model_that_remembers_groups_is_caught_out() -> None:
    """It answers 1 for every group it has seen: a single 1 would be a leak."""
    stacks, truth = NAMES[:, None], np.zeros(len(NAMES))
    truth[::7] = np.nan
    fold = assign_folds(NAMES, 5, 0)

    def fit(some: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> set[str]:
        assert np.isfinite(labels).all()
        assert len(some) == len(labels) == len(groups)
        return set(groups)

    def predict(seen: set[str], some: np.ndarray) -> np.ndarray:
        return np.array([float(row[0] in seen) for row in some])

    assert cross_fitted(fit, predict, lambda _: stacks, truth, NAMES, fold).sum() == 0


def test_a_mean_is_that_of_the_other_folds_and_rows_keep_their_place() -> None:
    groups = np.array(list("abcabcab"))
    truth = np.column_stack([np.arange(8.0), -np.arange(8.0)])
    truth[3, 1] = np.nan
    fold = np.array([0, 1, 1, 0, 1, 1, 0, 1])
    predicted = cross_fitted(
        lambda some, labels, _: labels.mean(axis=0),
        lambda mean, some: np.tile(mean, (len(some), 1)),
        lambda _: np.zeros((8, 3, 2)),
        truth,
        groups,
        fold,
    )
    assert predicted[:, 0].tolist() == [19 / 5 if each == 0 else 3.0 for each in fold]


@pytest.mark.parametrize(
    ("groups", "fold", "truth", "message"),
    [
        ("aabb", [0, 1, 1, 1], [0.0] * 4, "'a' is in two folds"),
        ("aabb", [0, 0, 0, 0], [0.0] * 4, "nothing labelled outside fold 0"),
        ("aabb", [0, 0, 1, 1], [0.0, 0.0, np.nan, np.nan], "nothing labelled outside fold 0"),
        ("aab", [0, 0, 1, 1], [0.0] * 4, "3 groups"),
        ("", [], [], "no rows"),
    ],
)
def test_misuse_is_refused(groups: str, fold: list[int], truth: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cross_fitted(
            lambda some, labels, _: 0.0,
            lambda model, some: np.zeros(len(some)),
            lambda _: np.zeros((len(truth), 1)),
            np.array(truth),
            np.array(list(groups)),
            np.array(fold, int),
        )
