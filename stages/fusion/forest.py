"""Random forest fusion: per target, the models' predictions of that target in, one value out (paper, 3.3).

The forest is grown by scikit-learn and kept as plain arrays: no pickle, no version tie, and a predictor of
a dozen lines. A forest of 100 trees holds those of 10, 20 and 50 as its first trees, so one growth serves the
whole grid.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.core.arrays import Flags, Floats, Integers

ROWS_AT_ONCE = 1 << 15
CRITERIA = {"squared_error": "squared_error", "friedman_mse": "squared_error"}
"""The paper's grid. scikit-learn found the two equivalent for these trees and (1.9) deprecates the second."""


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees laid end to end: node i sends x left if x[feature[i]] <= threshold[i].

    Attributes:
        first_node: (trees + 1,) int64, where each tree begins; the last is the number of nodes.
        left, right: (nodes,) int32, children counted from the tree's first node; -1 in a leaf.
        feature: (nodes,) int16, the model asked.
        threshold: (nodes,) float32.
        value: (nodes,) float32, the prediction of a leaf.
    """

    first_node: Integers
    left: Integers
    right: Integers
    feature: Integers
    threshold: Floats
    value: Floats

    @property
    def trees(self) -> int:
        """How many."""
        return len(self.first_node) - 1

    def first(self, trees: int) -> "Forest":
        """The forest of its first trees: what growing only so many with the same seed would give.

        Raises:
            ValueError: trees isn't in 1..trees.
        """
        if not 1 <= trees <= self.trees:
            raise ValueError(f"the first {trees} trees of {self.trees}")
        end = int(self.first_node[trees])
        return Forest(
            self.first_node[: trees + 1],
            self.left[:end],
            self.right[:end],
            self.feature[:end],
            self.threshold[:end],
            self.value[:end],
        )

    def predict(self, stack: Floats) -> Floats:
        """Mean over the trees.

        Shape: (N, M) -> (N,) float64.

        Raises:
            ValueError: a value isn't finite.
        """
        total = np.zeros(len(stack))
        for votes in self.each_tree(stack):
            total += votes
        return total / self.trees

    def each_tree(self, stack: Floats) -> Iterator[Floats]:
        """The trees' own predictions, one tree after the other. Shape: (N, M) -> trees times (N,)."""
        if stack.ndim != 2 or not np.isfinite(stack).all():
            raise ValueError(f"the stack {stack.shape} must be (N, M) and finite")
        columns = np.ascontiguousarray(stack.astype(np.float32))
        for tree in range(self.trees):
            chunks = range(0, len(columns), ROWS_AT_ONCE)
            parts = [self._descend(tree, columns[begin : begin + ROWS_AT_ONCE]) for begin in chunks]
            yield np.concatenate([np.empty(0), *parts])

    def _descend(self, tree: int, rows: Floats) -> Floats:
        nodes = slice(int(self.first_node[tree]), int(self.first_node[tree + 1]))
        left, right, feature, threshold = (
            part[nodes] for part in (self.left, self.right, self.feature, self.threshold)
        )
        at = np.zeros(len(rows), np.int64)
        going = np.arange(len(rows)) if left[0] >= 0 else np.empty(0, np.int64)
        while len(going):
            node = at[going]
            node = np.where(rows[going, feature[node]] <= threshold[node], left[node], right[node])
            at[going] = node
            going = going[left[node] >= 0]
        return self.value[nodes][at].astype(np.float64)

    def to_arrays(self) -> dict[str, Any]:
        """Plain arrays, as safetensors wants them."""
        return {name: np.ascontiguousarray(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> "Forest":
        """The inverse of `to_arrays`."""
        return cls(**{name: arrays[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Growth:
    """How trees are grown; the defaults are the paper's (scikit-learn's).

    Attributes:
        criterion: one of CRITERIA.
        min_leaf: fewest rows in a leaf.
        max_samples: share of the rows each tree's bootstrap draws; 1 draws as many as there are.
        seed: of the bootstraps and of ties between splits.
    """

    criterion: str = "squared_error"
    min_leaf: int = 1
    max_samples: float = 1.0
    seed: int = 0


def grow(
    stack: Floats, truth: Floats, trees: int, growth: Growth, n_jobs: int = 1
) -> tuple[Forest, list[Integers]]:
    """Grow a forest on the labelled rows given (all native frames, or fewer: 5 Hz rows lose nothing).

    Shape: (N, M), (N,), no NaN.

    Returns:
        The forest, and for every tree the rows of its bootstrap.

    Raises:
        ValueError: the criterion is unknown, or a value isn't finite.
    """
    from sklearn.ensemble import RandomForestRegressor

    if growth.criterion not in CRITERIA:
        raise ValueError(f"criterion is {growth.criterion!r}, must be one of {', '.join(CRITERIA)}")
    if not (len(stack) and np.isfinite(stack).all() and np.isfinite(truth).all()):
        raise ValueError(f"{len(stack)} rows to grow on: there must be some, labelled and finite")
    grown = RandomForestRegressor(
        n_estimators=trees,
        criterion=CRITERIA[growth.criterion],
        min_samples_leaf=growth.min_leaf,
        max_samples=None if growth.max_samples == 1 else growth.max_samples,
        random_state=growth.seed,
        n_jobs=n_jobs,
    ).fit(stack.astype(np.float32), truth)
    return laid_out([tree.tree_ for tree in grown.estimators_]), grown.estimators_samples_


def out_of_bag(forest: Forest, bootstraps: list[Integers], stack: Floats) -> Iterator[tuple[Floats, Flags]]:
    """After each further tree: the mean of the trees that haven't seen a row, and which rows have one.

    Shape: (N, M) -> trees times (N,), (N,). A row without vote isn't counted as 0, as scikit-learn would.
    """
    total, votes = np.zeros(len(stack)), np.zeros(len(stack), np.int64)
    for bootstrap, predicted in zip(bootstraps, forest.each_tree(stack), strict=True):
        unseen = np.ones(len(stack), bool)
        unseen[bootstrap] = False
        total[unseen] += predicted[unseen]
        votes += unseen
        yield total / np.maximum(votes, 1), votes > 0


def laid_out(trees: list[Any]) -> Forest:
    """Lay scikit-learn's trees end to end, in half the memory."""
    first = np.cumsum([0, *(tree.node_count for tree in trees)]).astype(np.int64)

    def joined(name: str, dtype: type) -> Any:
        return np.concatenate(
            [np.asarray(getattr(tree, name)).reshape(tree.node_count) for tree in trees]
        ).astype(dtype)

    feature = np.maximum(joined("feature", np.int16), 0)
    threshold = _floor32(joined("threshold", np.float64))
    left, right = joined("children_left", np.int32), joined("children_right", np.int32)
    return Forest(first, left, right, feature, threshold, joined("value", np.float32))


def _floor32(threshold: Floats) -> Floats:
    """Largest float32 not above: x <= threshold says the same for every float32 x."""
    rounded = threshold.astype(np.float32)
    return np.where(rounded > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded)
