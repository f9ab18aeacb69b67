"""Regression by gradient-boosted trees (Friedman, 2001), kept as plain arrays.

Small trees one after the other, each fitted to the slope of the loss, each a small step.
scikit-learn grows them; what is kept is the nodes laid end to end, as of a random forest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stages.core.arrays import Floats
from stages.core.params import IntervalParams
from stages.fusion.forest import Forest, checked_once, flattened


@dataclass(frozen=True, eq=False)
class Boosted:
    """A start and steps.

    Attributes:
        start: the median, or the mean, of all rows together.
        rate: what each tree's step is scaled by.
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
    from sklearn.ensemble import GradientBoostingRegressor

    if not (np.isfinite(features).all() and np.isfinite(values).all()):
        raise ValueError("rows to boost on must be finite")
    with checked_once():
        grown = GradientBoostingRegressor(
            loss=loss,
            n_estimators=settings.trees,
            learning_rate=settings.rate,
            max_depth=settings.depth,
            min_samples_leaf=min(settings.min_leaf, max(1, len(values) // 4)),
            subsample=settings.share,
            random_state=settings.seed,
        ).fit(features.astype(np.float32), values, sample_weight=weights)
    start = float(np.ravel(grown.init_.constant_)[0])
    return Boosted(start, settings.rate, flattened([tree.tree_ for tree in grown.estimators_[:, 0]]))
