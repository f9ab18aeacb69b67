"""Regression by gradient-boosted trees (Friedman, 2001), kept as plain arrays.

Small trees one after the other, each fitted to the slope of the loss, each a small step. scikit-learn grows
them by histograms, on the ranks of the features: of 128 intervals with equally many rows, which one a value
lies in. What is kept is the nodes laid end to end, as of a random forest, which compare the values again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from stages.core.arrays import Floats, Integers
from stages.core.params import IntervalParams
from stages.fusion.forest import Forest, checked_once

INTERVALS = 128
"""Of every feature: the trees split between them alone."""


@dataclass(frozen=True, eq=False)
class Boosted:
    """A start and steps.

    Attributes:
        start: the median, or the mean, of all rows together.
        rate: what each tree's step is scaled by; 1 if the trees hold scaled steps.
        trees: their mean times their number is the sum of the steps.
    """

    start: float
    rate: float
    trees: Forest

    def predict(self, features: Floats) -> Floats:
        """Shape: (N, F) -> (N,)."""
        return self.start + self.rate * self.trees.trees * self.trees.predict(features)

    def to_arrays(self) -> dict[str, Floats]:
        """Plain arrays, as safetensors wants them."""
        return {"scale": np.array([self.start, self.rate]), **self.trees.to_arrays()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Floats]) -> "Boosted":
        """The inverse of `to_arrays`."""
        start, rate = arrays["scale"].tolist()
        return cls(start, rate, Forest.from_arrays(arrays))


Loss = Literal["absolute_error", "squared_error"]
"""What is looked for: the median, or the mean."""


def fit_boosted(
    features: Floats, values: Floats, loss: Loss, settings: IntervalParams, weights: Floats | None = None
) -> Boosted:
    """Fit the median or the mean. Shape: (N, F), (N,), finite.

    Args:
        features: what is known of each row.
        values: whose median or mean is wanted.
        loss: which of them.
        settings: size and number of the trees.
        weights: (N,) of the rows; None: all alike.

    Raises:
        ValueError: a value isn't finite.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    if not (np.isfinite(features).all() and np.isfinite(values).all()):
        raise ValueError("rows to boost on must be finite")
    edges, ranks = _ranked(features.astype(np.float32))
    with checked_once():
        grown = HistGradientBoostingRegressor(
            loss=loss,
            max_iter=settings.trees,
            learning_rate=settings.rate,
            max_depth=settings.depth,
            max_leaf_nodes=None,
            min_samples_leaf=min(settings.min_leaf, max(1, len(values) // 4)),
            max_bins=INTERVALS,
            early_stopping=False,
            random_state=settings.seed,
        ).fit(ranks, values, sample_weight=weights)
    # scikit-learn says neither in public; a test compares what is kept with its own predictions.
    start, trees = grown._baseline_prediction, [tree.nodes for (tree,) in grown._predictors]
    return Boosted(float(start.item()), 1.0, _comparing_values(trees, edges))


def _ranked(features: Floats) -> tuple[list[Floats], Integers]:
    """Upper edges of the intervals of each feature, the last without one; ranks of the rows, (N, F)."""
    parts = np.linspace(0, 1, INTERVALS + 1)[1:-1]
    edges = [np.unique(column) for column in np.quantile(features, parts, axis=0, method="lower").T]
    ranks = [np.searchsorted(own, column) for own, column in zip(edges, features.T, strict=True)]
    return edges, np.column_stack(ranks)


def _comparing_values(trees: list[Any], edges: list[Floats]) -> Forest:
    """scikit-learn's nodes with values in place of ranks: a rank <= r is a value <= the edge above r."""
    first = np.cumsum([0, *map(len, trees)]).astype(np.int64)
    nodes = np.concatenate(trees)
    inner = nodes["is_leaf"] == 0
    feature = np.where(inner, nodes["feature_idx"], 0).astype(np.int16)
    threshold = np.zeros(len(nodes), np.float32)
    split = zip(feature[inner], nodes["num_threshold"][inner], strict=True)
    threshold[inner] = [edges[column][int(rank)] for column, rank in split]
    left, right = (np.where(inner, nodes[side].astype(np.int32), -1) for side in ("left", "right"))
    return Forest(first, left, right, feature, threshold, nodes["value"].astype(np.float32))
