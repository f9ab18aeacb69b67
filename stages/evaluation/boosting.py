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
from stages.engine.lazy_imports import slim_sklearn
from stages.fusion.forest import Forest

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


@dataclass(frozen=True, eq=False)
class Ranked:
    """Features as trees are grown on them: in which interval each value lies.

    Attributes:
        edges: of each feature the upper edges of its intervals, float32; the last has none.
        ranks: (N, F) uint8, each column in one piece.
    """

    edges: list[Floats]
    ranks: Integers

    @classmethod
    def of(cls, features: Floats) -> "Ranked":
        """Part every feature by its own values. Shape: (N, F).

        Raises:
            ValueError: a value isn't finite.
        """
        if not np.isfinite(features).all():
            raise ValueError("rows to boost on must be finite")
        columns = features.T.astype(np.float32)
        last = (np.linspace(0, 1, INTERVALS + 1)[1:-1] * (len(features) - 1)).astype(np.intp)
        edges = [np.unique(column[last]) for column in np.sort(columns)]
        ranks = [np.searchsorted(own, column) for own, column in zip(edges, columns, strict=True)]
        return cls(edges, np.array(ranks, np.uint8).T)


def fit_boosted(
    rows: Ranked, values: Floats, loss: Loss, settings: IntervalParams, weights: Floats | None = None
) -> Boosted:
    """Fit the median or the mean. Shape: (N, F), (N,), finite.

    By what scikit-learn's `HistGradientBoostingRegressor` grows trees with, and the same trees: it would take
    as long again to rank the ranks, and for medians of a few hundred values.

    Args:
        rows: what is known of each.
        values: whose median or mean is wanted.
        loss: which of them.
        settings: size and number of the trees.
        weights: (N,) of the rows; None: all alike.

    Raises:
        ValueError: a value isn't finite.
    """
    with slim_sklearn():
        from sklearn.ensemble._hist_gradient_boosting._gradient_boosting import _update_raw_predictions
        from sklearn.ensemble._hist_gradient_boosting.grower import TreeGrower

    if not np.isfinite(values).all():
        raise ValueError("values to boost on must be finite")
    each = np.ones(1) if weights is None else weights
    curvature, intervals = each.astype(np.float32), [len(own) + 1 for own in rows.edges]
    start = _median(values, weights) if loss == "absolute_error" else np.average(values, weights=weights)
    predicted, trees = np.full(len(values), start), []
    for _ in range(settings.trees):
        left = values - predicted
        slope = -left if loss == "squared_error" else np.where(left < 0, 1, -1)
        grower = TreeGrower(
            rows.ranks,
            (each * slope).astype(np.float32),
            curvature,
            max_depth=settings.depth,
            min_samples_leaf=min(settings.min_leaf, max(1, len(values) // 4)),
            n_bins=INTERVALS + 1,
            n_bins_non_missing=intervals,
            shrinkage=settings.rate,
            n_threads=1,
        )
        grower.grow()
        if loss == "absolute_error":  # a slope without its size tells nothing of how far to go
            for leaf in grower.finalized_leaves:
                own = leaf.sample_indices
                leaf.value = settings.rate * _median(left[own], None if weights is None else weights[own])
        _update_raw_predictions(predicted, grower, 1)
        trees.append(grower.make_predictor(rows.edges).nodes)
    return Boosted(float(start), 1.0, _flattened(trees))


def _median(values: Floats, weights: Floats | None) -> float:
    """Of weighted values the first that, with those below, has half of all weight. Shape: (N,), (N,)."""
    if weights is None:
        return float(np.median(values))
    order = np.argsort(values)
    weight = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(weight, weight[-1] / 2)]])


def _flattened(trees: list[Any]) -> Forest:
    """scikit-learn's nodes in flat arrays; the edge of a rank takes its place."""
    first = np.cumsum([0, *map(len, trees)]).astype(np.int64)
    nodes = np.concatenate(trees)
    inner = nodes["is_leaf"] == 0
    feature = np.where(inner, nodes["feature_idx"], 0).astype(np.int16)
    threshold = np.where(inner, nodes["num_threshold"], 0).astype(np.float32)
    left, right = (np.where(inner, nodes[side].astype(np.int32), -1) for side in ("left", "right"))
    return Forest(first, left, right, feature, threshold, nodes["value"].astype(np.float32))
