"""Cross-fitting over groups: every row is predicted by a model fitted without its group."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from stages.core.arrays import Floats, Integers
from stages.core.folds import Groups

Model = TypeVar("Model")


def cross_fitted(
    fit: Callable[[Floats, Floats, Groups], Model],
    predict: Callable[[Model, Floats], Floats],
    stacks_of: Callable[[int], Floats],
    truth: Floats,
    groups: Groups,
    fold: Integers,
) -> Floats:
    """Predict every row by a model that was fitted without any row of its group.

    Shape: truth (N, ...), groups (N,), fold (N,) -> N rows, shaped like those of `predict`.

    Args:
        fit: gets stacks, truth and groups of the other folds' labelled rows; may split them by group again.
        predict: gets the result of `fit` and the stacks of the held-out fold.
        stacks_of: fold -> the systems' predictions (N, ...) of all rows, by the models that the other folds
            selected.
        truth: labels, NaN where unlabelled; such rows are predicted but never fitted on.
        groups: group of each row.
        fold: from `assign_folds`.

    Raises:
        ValueError: lengths differ, there is no row, a group is in two folds, or no row outside a fold is
            labelled.
    """
    if not len(truth) == len(groups) == len(fold):
        raise ValueError(f"{len(truth)} labels, {len(groups)} groups, {len(fold)} folds: must match")
    _require_whole_groups(groups, fold)
    known = ~np.isnan(truth).any(axis=tuple(range(1, truth.ndim)))
    predicted: Floats | None = None
    for each in np.unique(fold):
        out = fold == each
        seen = known & ~out
        if not seen.any():
            raise ValueError(f"nothing labelled outside fold {each}")
        stacks = stacks_of(int(each))
        part = predict(fit(stacks[seen], truth[seen], groups[seen]), stacks[out])
        if predicted is None:
            predicted = np.empty((len(truth), *part.shape[1:]), part.dtype)
        predicted[out] = part
    if predicted is None:
        raise ValueError("no rows")
    return predicted


def _require_whole_groups(groups: Groups, fold: Integers) -> None:
    names, member = np.unique(groups, return_inverse=True)
    pairs = np.unique(np.column_stack([member, fold]), axis=0)
    split = np.flatnonzero(np.bincount(pairs[:, 0]) > 1)
    if len(split):
        raise ValueError(
            f"group {names[split[0]]!r} is in two folds: its rows would be both fitted and scored"
        )
