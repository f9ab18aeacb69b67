"""Boosted trees kept as plain arrays predict what scikit-learn's own do, of values instead of ranks."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

from stages.core.params import IntervalParams
from stages.evaluation.boosting import INTERVALS, Boosted, Loss, Ranked, fit_boosted

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


def fitted(
    features: np.ndarray, values: np.ndarray, loss: Loss, weights: np.ndarray | None = None
) -> Boosted:
    return fit_boosted(Ranked.of(features), values, loss, SETTINGS, weights)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", ["absolute_error", "squared_error"])
def test_it_predicts_what_scikit_learn_predicts_of_the_ranks(loss: Loss, weighted: bool) -> None:
    features, values, given = rows(0)
    weights = given if weighted else None
    kept = fitted(features, values, loss, weights)
    reference = HistGradientBoostingRegressor(
        loss=loss,
        max_iter=SETTINGS.trees,
        max_depth=SETTINGS.depth,
        max_leaf_nodes=None,
        min_samples_leaf=SETTINGS.min_leaf,
        learning_rate=SETTINGS.rate,
        max_bins=INTERVALS,
        early_stopping=False,
    )
    ranks = Ranked.of(features).ranks
    reference.fit(ranks, values, sample_weight=weights)
    np.testing.assert_allclose(kept.predict(features), reference.predict(ranks), atol=1e-6)
    assert np.ptp(kept.predict(features)) > 1
    again = Boosted.from_arrays(kept.to_arrays())
    np.testing.assert_array_equal(again.predict(features), kept.predict(features))


def test_a_value_between_two_seen_goes_where_the_next_one_does() -> None:
    features, values, _ = rows(1)
    kept = fitted(features, values, "squared_error")
    seen = np.sort(features[:, 1])
    probe = np.tile(features[0], (2, 1))
    for lower, upper in pairwise(seen):
        probe[:, 1] = [lower + 0.3 * (upper - lower), upper]
        np.testing.assert_equal(*kept.predict(probe))


def test_the_median_by_weights_is_not_the_mean() -> None:
    values = np.repeat([0.0, 1.0, 10.0], 100)
    weights = np.repeat([1.0, 3.0, 1.0], 100)
    alike = np.zeros((300, 1))
    assert fitted(alike, values, "absolute_error", weights).predict(alike)[0] == 1
    mean = fitted(alike, values, "squared_error", weights).predict(alike)[0]
    assert mean == pytest.approx(13 / 5)


def test_rows_that_are_not_finite_are_refused() -> None:
    features, values, _ = rows(2)
    unknown = np.full(ROWS, np.nan)
    for seen, wanted in ((features, unknown), (features * unknown[:, None], values)):
        with pytest.raises(ValueError, match="finite"):
            fitted(seen, wanted, "squared_error")
