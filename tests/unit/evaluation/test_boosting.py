"""Boosted trees kept as plain arrays predict what scikit-learn's own do, of values instead of ranks."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

from stages.core.params import IntervalParams
from stages.evaluation.boosting import Boosted, Loss, fit_boosted

SETTINGS = IntervalParams(
    coverage=0.9, trees=30, depth=3, rate=0.2, min_leaf=10, rows=2000, landmarks=10, seed=0
)
ROWS = 600


def rows(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (of few values, of many, of one), a value that follows them, and weights."""
    rng = np.random.default_rng(seed)
    features = np.column_stack(
        [rng.integers(0, 5, ROWS), rng.normal(size=(ROWS, 2)), np.full(ROWS, 3.0), rng.lognormal(size=ROWS)]
    )
    values = np.sin(features[:, 1]) * features[:, 0] + 0.1 * rng.normal(size=ROWS)
    return features, values, rng.uniform(0.5, 2, ROWS)


@pytest.mark.parametrize("loss", ["absolute_error", "squared_error"])
def test_the_kept_trees_predict_as_those_that_were_grown(loss: Loss, monkeypatch: pytest.MonkeyPatch) -> None:
    grown: list[tuple[Any, np.ndarray]] = []
    fit = HistGradientBoostingRegressor.fit

    def watched(self: Any, ranks: np.ndarray, *values: Any, **weights: Any) -> Any:
        grown.append((self, ranks))
        return fit(self, ranks, *values, **weights)

    monkeypatch.setattr(HistGradientBoostingRegressor, "fit", watched)
    features, values, weights = rows(0)
    kept = fit_boosted(features, values, loss, SETTINGS, weights)
    ((original, ranks),) = grown
    np.testing.assert_allclose(kept.predict(features), original.predict(ranks), atol=1e-5)
    assert np.ptp(kept.predict(features)) > 1
    again = Boosted.from_arrays(kept.to_arrays())
    np.testing.assert_array_equal(again.predict(features), kept.predict(features))


def test_a_value_between_two_seen_goes_where_the_next_one_does() -> None:
    features, values, _ = rows(1)
    kept = fit_boosted(features, values, "squared_error", SETTINGS)
    seen = np.sort(features[:, 1])
    probe = np.tile(features[0], (2, 1))
    for lower, upper in pairwise(seen):
        probe[:, 1] = [lower + 0.3 * (upper - lower), upper]
        np.testing.assert_equal(*kept.predict(probe))


def test_the_median_by_weights_is_not_the_mean() -> None:
    values = np.repeat([0.0, 1.0, 10.0], 100)
    weights = np.repeat([1.0, 3.0, 1.0], 100)
    alike = np.zeros((300, 1))
    assert fit_boosted(alike, values, "absolute_error", SETTINGS, weights).predict(alike)[0] == 1
    mean = fit_boosted(alike, values, "squared_error", SETTINGS, weights).predict(alike)[0]
    assert mean == pytest.approx(13 / 5)


def test_rows_that_are_not_finite_are_refused() -> None:
    features, values, _ = rows(2)
    features[3, 1] = np.nan
    with pytest.raises(ValueError, match="finite"):
        fit_boosted(features, values, "squared_error", SETTINGS)
