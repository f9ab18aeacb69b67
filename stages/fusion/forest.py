"""Random forest fusion: per target, the models' predictions of that target in, one value out (paper, 3.3).

scikit-learn grows the trees, on the bootstrap samples of its own forests. Trees are stored as plain arrays,
without pickle and independent of scikit-learn's version. The first 10, 20 or 50 trees of a forest of 100 are
the smaller forests that the same seed gives, so one fit covers the whole grid.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from stages.core.arrays import Flags, Floats, Integers
from stages.engine.lazy_imports import slim_sklearn

ROWS_AT_ONCE = 1 << 15
FEW_NODES = 7
"""If trees have no more, each node is asked about all rows, which is quicker than to follow every row."""
CRITERIA = {"squared_error": "squared_error", "friedman_mse": "squared_error"}
"""The paper's grid -> scikit-learn's name. The two criteria give equal trees here; scikit-learn 1.9
deprecates the second."""


@dataclass(frozen=True, eq=False)
class Forest:
    """The nodes of all trees in flat arrays: node i sends x left if x[feature[i]] <= threshold[i].

    Attributes:
        first_node: (trees + 1,) int64, first node of each tree, then the number of nodes.
        left, right: (nodes,) int32, children counted from the tree's first node; -1 in a leaf.
        feature: (nodes,) int16, column of the stack that the node compares.
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
        """Number of trees."""
        return len(self.first_node) - 1

    def first(self, trees: int) -> "Forest":
        """The forest of the first trees: equal to one grown with that number of trees and the same seed.

        Args:
            trees: how many, from 1 to the number of trees of this forest.

        Raises:
            ValueError: `trees` is outside that range.
        """
        if not 1 <= trees <= self.trees:
            raise ValueError(f"trees is {trees}, must be in 1..{self.trees}")
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
        """Mean of the trees' predictions.

        Shape: (N, M) -> (N,) float64.

        Raises:
            ValueError: the stack isn't 2-dimensional, or a value isn't finite.
        """
        total = np.zeros(len(stack))
        for votes in self.each_tree(stack):
            total += votes
        return total / self.trees

    def each_tree(self, stack: Floats) -> Iterator[Floats]:
        """Yield the predictions of each tree. Shape: (N, M) -> (N,) float64 per tree.

        Raises:
            ValueError: as `predict`.
        """
        if stack.ndim != 2 or not np.isfinite(stack).all():
            raise ValueError(f"the stack {stack.shape} must be (N, M) and finite")
        rows = np.ascontiguousarray(stack.astype(np.float32))
        predict = self._ask_all if len(self.value) <= FEW_NODES * self.trees else self._descend
        together = max(1, ROWS_AT_ONCE // max(1, len(rows)))
        for tree in range(0, self.trees, together):
            stop = min(tree + together, self.trees)
            chunks = range(0, len(rows), ROWS_AT_ONCE)
            parts = [predict(tree, stop, rows[begin : begin + ROWS_AT_ONCE]) for begin in chunks]
            yield from np.concatenate([np.empty((stop - tree, 0)), *parts], axis=1)

    def _ask_all(self, first: int, stop: int, rows: Floats) -> Floats:
        """Predictions of some trees, node by node instead of row by row. Shape: (N, M) -> (trees, N)."""
        roots, columns = self.first_node[first:stop], np.ascontiguousarray(rows.T)

        def below(node: Integers) -> Floats:
            """Predictions from one node of each tree on. Shape: (trees,) -> (trees, N); leaves (trees, 1)."""
            at = roots + node
            inner = self.left[at] >= 0
            if not inner.any():
                return np.asarray(self.value[at, None])
            goes_left = columns[self.feature[at]] <= self.threshold[at][:, None]
            left, right = (np.where(inner, child[at], node) for child in (self.left, self.right))
            return np.where(goes_left, below(left), below(right))

        return np.broadcast_to(below(np.zeros_like(roots)).astype(np.float64), (len(roots), len(rows)))

    def _descend(self, first: int, stop: int, rows: Floats) -> Floats:
        """Predictions of some trees at once: with few rows, calls cost more than sums. -> (trees, N)."""
        roots = self.first_node[first:stop] - self.first_node[first]
        nodes = slice(int(self.first_node[first]), int(self.first_node[stop]))
        root = np.repeat(roots, np.diff(self.first_node[first : stop + 1]))
        children = np.stack([self.right[nodes] + root, self.left[nodes] + root], axis=1).ravel()
        inner, threshold = self.left[nodes] >= 0, self.threshold[nodes]
        feature, columns, values = self.feature[nodes].astype(np.int64), rows.shape[1], rows.ravel()
        ended = np.repeat(roots, len(rows))
        going = np.flatnonzero(inner[ended])
        node, row = ended[going], columns * (going % len(rows))
        while len(going):  # `take` is quicker than indexing, and one table of children than a choice of two
            below = values.take(row + feature.take(node)) <= threshold.take(node)
            node = children.take(2 * node + below)
            ended[going] = node
            on = inner.take(node)
            going, node, row = going[on], node[on], row[on]
        predicted: Floats = self.value[nodes][ended].astype(np.float64).reshape(len(roots), len(rows))
        return predicted

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
        min_leaf: smallest number of rows in a leaf.
        max_samples: rows in each tree's bootstrap sample, as a share of all rows, 0 to 1.
        seed: seed of the bootstrap samples and of ties between splits.
    """

    criterion: str = "squared_error"
    min_leaf: int = 1
    max_samples: float = 1.0
    seed: int = 0


def grow(
    stack: Floats, truth: Floats, trees: int, growth: Growth, n_jobs: int = 1
) -> tuple[Forest, list[Integers]]:
    """Fit a forest on labelled rows.

    Shape: (N, M), (N,), no NaN.

    Args:
        stack: predictions of the M models of one target.
        truth: labels.
        trees: number of trees.
        growth: how they are grown.
        n_jobs: threads; doesn't change the result.

    Returns:
        The forest, and for each tree the rows of its bootstrap sample.

    Raises:
        ValueError: the criterion is unknown, there is no row, or a value isn't finite.
    """
    from joblib import Parallel, delayed, effective_n_jobs

    if growth.criterion not in CRITERIA:
        raise ValueError(f"criterion is {growth.criterion!r}, must be one of {', '.join(CRITERIA)}")
    if not (len(stack) and np.isfinite(stack).all() and np.isfinite(truth).all()):
        raise ValueError(f"{len(stack)} rows to grow on: there must be some, labelled and finite")
    rows, values = np.ascontiguousarray(stack, np.float32), np.ascontiguousarray(truth, np.float64)
    seeds = np.random.RandomState(growth.seed).randint(np.iinfo(np.int32).max, size=trees)
    shares, some = np.array_split(seeds, effective_n_jobs(n_jobs)), delayed(_grow_some)
    grown = Parallel(n_jobs, require="sharedmem")(some(rows, values, growth, share) for share in shares)
    return flattened([tree for tree, _ in chain(*grown)]), [drawn for _, drawn in chain(*grown)]


def _grow_some(rows: Floats, values: Floats, growth: Growth, seeds: Integers) -> list[tuple[Any, Integers]]:
    """For each seed one of scikit-learn's trees, and the rows of its bootstrap sample.

    By what its estimators grow trees with: they themselves check rows and parameters for as long again as a
    tree of a few hundred rows takes to grow.
    """
    with slim_sklearn():
        from sklearn.tree._criterion import MSE
        from sklearn.tree._splitter import BestSplitter
        from sklearn.tree._tree import DepthFirstTreeBuilder, Tree

    (count, columns), state, leaf = rows.shape, np.random.RandomState(), growth.min_leaf
    splitter = BestSplitter(MSE(1, count), columns, leaf, 0.0, state, None)
    builder = DepthFirstTreeBuilder(splitter, max(2, 2 * leaf), leaf, 0.0, np.iinfo(np.int32).max, 0.0)
    grown: list[tuple[Any, Integers]] = []
    for seed in seeds.tolist():
        state.seed(seed)
        drawn = state.randint(0, count, max(1, int(count * growth.max_samples)))
        state.seed(seed)  # as in scikit-learn's forests, the tree draws from the beginning again
        tree = Tree(columns, np.ones(1, np.intp), 1)
        builder.build(tree, rows, values[:, None], np.bincount(drawn, minlength=count).astype(np.float64))
        grown.append((tree, drawn.astype(np.int32)))
    return grown


def out_of_bag(forest: Forest, bootstraps: list[Integers], stack: Floats) -> Iterator[tuple[Floats, Flags]]:
    """Yield, after each tree, the out-of-bag prediction of each row, and which rows have one.

    The prediction is the mean over the trees so far whose bootstrap sample lacks the row. A row without one
    must be left out (scikit-learn counts it as 0).

    Shape: (N, M) -> (N,) float64, (N,) bool per tree.
    """
    total, votes = np.zeros(len(stack)), np.zeros(len(stack), np.int64)
    for bootstrap, predicted in zip(bootstraps, forest.each_tree(stack), strict=True):
        unseen = np.ones(len(stack), bool)
        unseen[bootstrap] = False
        total[unseen] += predicted[unseen]
        votes += unseen
        yield total / np.maximum(votes, 1), votes > 0


def flattened(trees: list[Any]) -> Forest:
    """Store scikit-learn's trees (`tree_`) in flat arrays, in half the memory."""
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
    """The largest float32 that isn't above: for every float32 x, `x <= threshold` stays the same."""
    rounded = threshold.astype(np.float32)
    return np.where(rounded > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded)
