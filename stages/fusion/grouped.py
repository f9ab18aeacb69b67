"""Cross-fitting over groups: every row predicted by a model that has seen no row of its group."""

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
    """Predict every row by a model that has seen no row of its group.

    Shape: truth (N, ...), groups (N,), fold (N,) -> what `predict` gives, N rows.

    Args:
        fit: gets stacks, truth and groups of the other folds' labelled rows; may split them by group again.
        predict: gets what `fit` made and the stacks of the fold left out.
        stacks_of: fold -> the systems' predictions (N, ...) of all rows, by what the other folds picked.
        truth: labels, NaN where unlabelled; such rows are predicted but never fitted on.
        groups: group of each row.
        fold: from `assign_folds`.

    Raises:
        ValueError: lengths differ, a group stands in two folds, or a fold leaves nothing to fit on.
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
    torn = np.flatnonzero(np.bincount(pairs[:, 0]) > 1)
    if len(torn):
        raise ValueError(f"group {names[torn[0]]!r} stands in two folds: its rows would be on both sides")
