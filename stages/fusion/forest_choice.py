"""Choose the forest's size and growth: by out-of-bag CCC (paper, section 3.3), or by video-grouped folds.

Neighbouring frames are near-duplicates. A frame outside a tree's bootstrap sample has neighbours inside it,
so out-of-bag CCC is optimistic and prefers the deepest trees (paper: 0.763 on development, 0.432 on test).
Folds of whole videos avoid this.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.core.arrays import Floats, Integers
from stages.core.measures import ccc
from stages.fusion.forest import CRITERIA, Forest, Growth, grow, out_of_bag

TREES = (10, 20, 50, 100)


@dataclass(frozen=True)
class Choice:
    """One point of the grid and its CCC, the criterion of the choice."""

    trees: int
    growth: Growth
    ccc: float


def choose_out_of_bag(
    stack: Floats,
    truth: Floats,
    *,
    trees: Sequence[int] = TREES,
    criteria: Sequence[str] = tuple(CRITERIA),
    seed: int = 0,
    n_jobs: int = 1,
) -> tuple[Forest, list[Choice]]:
    """The paper's protocol for one target. Rows in the bootstrap sample of every tree aren't scored.

    Shape: (N, M), (N,), no NaN.

    Args:
        stack: predictions of the M models.
        truth: labels.
        trees: forest sizes tried.
        criteria: split criteria tried, names of `forest.CRITERIA`.
        seed: seed of the growth.
        n_jobs: threads; doesn't change the result.

    Returns:
        The best forest, fitted on all rows; and all choices, best first (of equal ones, the fewest trees).

    Raises:
        ValueError: as `grow`; or trees or criteria are empty.
    """
    _require(trees, criteria)
    forests, choices = {}, []
    for criterion in dict.fromkeys(CRITERIA.get(each, each) for each in criteria):
        growth = Growth(criterion=criterion, seed=seed)
        forest, bootstraps = grow(stack, truth, max(trees), growth, n_jobs)
        forests[growth] = forest
        for count, (predicted, voted) in enumerate(out_of_bag(forest, bootstraps, stack), start=1):
            if count in trees:
                choices.append(
                    Choice(count, growth, ccc(truth[voted], predicted[voted]) if voted.any() else -1.0)
                )
    ranked = _ranked(choices)
    return forests[ranked[0].growth].first(ranked[0].trees), ranked


def choose_by_groups(
    stack: Floats,
    truth: Floats,
    fold: Integers,
    *,
    trees: Sequence[int] = TREES,
    min_leaf: Sequence[int] = (1, 10, 100),
    max_samples: Sequence[float] = (1.0,),
    seed: int = 0,
    n_jobs: int = 1,
) -> tuple[Forest, list[Choice]]:
    """Choose by the CCC of out-of-fold predictions over folds of whole videos; then fit on all rows.

    The CCC of the best choice is slightly optimistic, since it is the maximum of several. For an out-of-fold
    figure, call this function within `cross_fitted`.

    Shape: (N, M), (N,), (N,), no NaN.

    Args:
        stack: predictions of the M models.
        truth: labels.
        fold: from `assign_folds`.
        trees: forest sizes tried.
        min_leaf: smallest leaf sizes tried, in rows.
        max_samples: sizes of the bootstrap sample tried, as shares of the rows.
        seed: seed of the growth.
        n_jobs: threads; doesn't change the result.

    Returns:
        As `choose_out_of_bag`.

    Raises:
        ValueError: as `grow`; there is only one fold; lengths differ; or a list is empty.
    """
    _require(trees, min_leaf, max_samples)
    folds = np.unique(fold)
    if len(folds) < 2 or len(fold) != len(stack):
        raise ValueError(
            f"{len(folds)} folds for {len(fold)} of {len(stack)} rows: need at least two, and a fold per row"
        )
    choices = []
    for growth in (
        Growth(min_leaf=leaf, max_samples=share, seed=seed) for leaf in min_leaf for share in max_samples
    ):
        predicted = {count: np.empty(len(stack)) for count in trees}
        for each in folds:
            out = fold == each
            forest, _ = grow(stack[~out], truth[~out], max(trees), growth, n_jobs)
            total = np.zeros(int(out.sum()))
            for count, votes in enumerate(forest.each_tree(stack[out]), start=1):
                total += votes
                if count in predicted:
                    predicted[count][out] = total / count
        choices += [Choice(count, growth, ccc(truth, values)) for count, values in predicted.items()]
    ranked = _ranked(choices)
    forest, _ = grow(stack, truth, ranked[0].trees, ranked[0].growth, n_jobs)
    return forest, ranked


def _ranked(choices: list[Choice]) -> list[Choice]:
    """Best first; of equal ones, fewer trees, then larger leaves."""
    return sorted(choices, key=lambda choice: (-choice.ccc, choice.trees, -choice.growth.min_leaf))


def _require(*grid: Sequence[object]) -> None:
    if not all(grid):
        raise ValueError("every list of the grid needs a value")
