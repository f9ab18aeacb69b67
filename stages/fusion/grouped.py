"""Cross-validation that keeps videos whole: the honest estimate of anything fitted on the development set."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from stages.core.arrays import Flags, Floats, Integers

Model = TypeVar("Model")
Groups = NDArray[Any]
"""One label per row, strings or integers: the recording, so that its people and its parts stay together."""


def assign_folds(groups: Groups, folds: int, seed: int, labelled: Flags | None = None) -> Integers:
    """Deal whole groups into folds of about equal numbers of labelled rows.

    The largest groups go first, each to the fold that is lightest so far; the seed decides between equals.
    Neither the order of the rows nor of the groups matters.

    Shape: (N,) -> (N,) in 0..folds - 1.

    Args:
        groups: group of each row.
        folds: how many; none stays empty.
        seed: of the shuffle.
        labelled: rows that weigh; all by default.

    Raises:
        ValueError: lengths differ, or folds isn't in 2..number of groups.
    """
    names, member = np.unique(groups, return_inverse=True)
    if not 2 <= folds <= len(names):
        raise ValueError(f"folds is {folds}, must be in 2..{len(names)}, the number of groups")
    if labelled is not None and len(labelled) != len(groups):
        raise ValueError(f"{len(labelled)} flags for {len(groups)} rows: must match")
    weight = np.bincount(member, weights=labelled, minlength=len(names))
    shuffled = np.random.default_rng(seed).permutation(len(names))
    fold_of_group = np.empty(len(names), np.int64)
    load, size = np.zeros(folds), np.zeros(folds)
    for group in shuffled[np.argsort(-weight[shuffled], kind="stable")]:
        lightest = np.lexsort((size, load))[0]
        fold_of_group[group] = lightest
        load[lightest] += weight[group]
        size[lightest] += 1
    return fold_of_group[member]


def cross_fitted(
    fit: Callable[[Floats, Floats, Groups], Model],
    predict: Callable[[Model, Floats], Floats],
    stacks: Floats,
    truth: Floats,
    groups: Groups,
    fold: Integers,
) -> Floats:
    """Predict every row by a model that has seen no row of its group.

    Shape: stacks (N, ...), truth (N, ...), groups (N,), fold (N,) -> what `predict` gives, N rows.

    Args:
        fit: gets stacks, truth and groups of the other folds' labelled rows; may split them by group again.
        predict: gets what `fit` made and the stacks of the fold left out.
        stacks: the models' predictions.
        truth: labels, NaN where unlabelled; such rows are predicted but never fitted on.
        groups: group of each row.
        fold: from `assign_folds`.

    Raises:
        ValueError: lengths differ, a group stands in two folds, or a fold leaves nothing to fit on.
    """
    if not len(stacks) == len(truth) == len(groups) == len(fold):
        raise ValueError(
            f"{len(stacks)} stacks, {len(truth)} labels, {len(groups)} groups, {len(fold)} folds"
        )
    _require_whole_groups(groups, fold)
    known = ~np.isnan(truth).any(axis=tuple(range(1, truth.ndim)))
    predicted: Floats | None = None
    for each in np.unique(fold):
        out = fold == each
        seen = known & ~out
        if not seen.any():
            raise ValueError(f"nothing labelled outside fold {each}")
        part = predict(fit(stacks[seen], truth[seen], groups[seen]), stacks[out])
        if predicted is None:
            predicted = np.empty((len(stacks), *part.shape[1:]), part.dtype)
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
