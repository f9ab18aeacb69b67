"""The search against brute force, and its road on a development set."""

import numpy as np
import pytest

from stages.core.measures import ccc_per_target
from stages.temporal.kelm import fit_kelm
from stages.temporal.kelm_search import EIGEN_PAYS, ridge_path, search_kelm


def sample(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.uniform(-1, 1, (n, 4))
    targets = np.column_stack([np.sin(3 * features[:, 0]), features[:, 1] ** 2 - 0.3])
    return features, targets + rng.normal(0, 0.2, (n, 2))


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("dev", [False, True])
def test_every_candidate_equals_brute_force(kernel: str, dev: bool) -> None:
    features, targets = sample(120)
    scored_in = np.where(np.arange(120) < 80, -1, 0) if dev else np.arange(120) // 40
    found = search_kelm(features, targets, scored_in, kernel=kernel, c=[0.1, 10.0], gamma=[0.3, 2.0])
    assert len(found) == (2 if kernel == "linear" else 4)
    for candidate in found:
        predicted = np.full_like(targets, np.nan)
        for fold in range(scored_in.max() + 1):
            out = scored_in == fold
            settings = {"kernel": kernel, "c": candidate.c, "gamma": candidate.gamma}
            predicted[out] = fit_kelm(features[~out], targets[~out], **settings).predict(features[out])
        scored = scored_in >= 0
        assert candidate.ccc == pytest.approx(ccc_per_target(targets[scored], predicted[scored]), abs=1e-6)
    assert [each.mean for each in found] == sorted((each.mean for each in found), reverse=True)


def test_it_prefers_a_reasonable_c() -> None:
    features, targets = sample(300)
    best = search_kelm(features, targets, np.arange(300) % 5, kernel="rbf", c=[1e-4, 1.0, 1e8], gamma=[1.0])[
        0
    ]
    assert best.c == 1.0 and best.mean > 0.7


def test_one_eigendecomposition_equals_many_factors() -> None:
    rng = np.random.default_rng(0)
    root = rng.standard_normal((30, 10))
    gram, cross = root @ root.T, rng.standard_normal((30, 2))
    grid = np.logspace(-3, 3, EIGEN_PAYS)
    apart = np.concatenate([ridge_path(gram, cross, [c]) for c in grid])
    np.testing.assert_allclose(ridge_path(gram, cross, list(grid)), apart, atol=1e-7)


def test_few_landmarks_choose_like_all() -> None:
    features, targets = sample(600)
    folds = np.arange(600) % 3
    grid = {"kernel": "rbf", "c": [0.01, 1.0, 100.0], "gamma": [0.03, 0.5, 10.0]}
    full = search_kelm(features, targets, folds, **grid)
    quick = search_kelm(features, targets, folds, landmarks=150, **grid)
    assert (quick[0].c, quick[0].gamma) == (full[0].c, full[0].gamma)


@pytest.mark.parametrize("scored_in", [np.zeros(20, int), np.full(20, -1), np.zeros(19, int)])
def test_folds_must_leave_something_to_fit_on_and_to_score(scored_in: np.ndarray) -> None:
    with pytest.raises(ValueError, match="leave windows to fit on"):
        search_kelm(*sample(20), scored_in, kernel="linear", c=[1.0])
