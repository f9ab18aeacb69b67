"""Draws, refinement and scores against the frames themselves."""

import time

import numpy as np
import pytest

from stages.core.measures import Moments, ccc_per_target, merge_all
from stages.fusion import dirichlet
from stages.fusion.dirichlet import best_weights, ccc_of_weights, fuse, target_moments


def corpus(frames: int = 2000, models: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Truth, and models of different gain, offset and noise; some frames unlabelled."""
    rng = np.random.default_rng(seed)
    truth = np.tanh(rng.standard_normal((frames, 2)))
    gain, offset = rng.uniform(0.3, 1.2, (models, 2)), rng.uniform(-0.2, 0.2, (models, 2))
    stacks = truth[:, None] * gain + offset + rng.normal(0, 0.5, (frames, models, 2))
    truth[rng.random(frames) < 0.1] = np.nan
    return truth, stacks


def test_scores_equal_those_of_the_fused_frames() -> None:
    truth, stacks = corpus()
    found = best_weights(target_moments(truth, stacks), draws=1000, seed=1)
    scored = ccc_per_target(truth, fuse(stacks, found.weights))
    np.testing.assert_allclose(found.ccc, scored, rtol=0, atol=1e-9)
    draws = np.random.default_rng(2).dirichlet(np.ones(3), 50)
    from_moments = ccc_of_weights(target_moments(truth, stacks)[1], draws)
    frames = [ccc_per_target(truth, fuse(stacks, np.column_stack([w, w])))[1] for w in draws]
    np.testing.assert_allclose(from_moments, frames, rtol=0, atol=1e-9)


@pytest.mark.parametrize("per_target", [True, False])
@pytest.mark.parametrize("refine", [True, False])
def test_columns_are_weights_and_the_seed_decides(per_target: bool, refine: bool) -> None:
    moments = target_moments(*corpus())
    settings = {"draws": 500, "per_target": per_target, "refine": refine}
    first, again = (best_weights(moments, seed=4, **settings) for _ in range(2))
    assert (first.weights >= 0).all()
    np.testing.assert_allclose(first.weights.sum(axis=0), 1, atol=1e-12)
    np.testing.assert_array_equal(first.weights, again.weights)
    if not refine:
        assert not np.array_equal(best_weights(moments, seed=5, **settings).weights, first.weights)


def test_draws_that_are_kept_are_those_that_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    several = [target_moments(*corpus(seed=seed)) for seed in range(2)]
    kept = [best_weights(each, draws=500, seed=7, refine=False) for each in several]
    assert not np.array_equal(kept[0].weights, kept[1].weights)
    monkeypatch.setattr(dirichlet, "KEPT_DRAWS", 0)
    for found, each in zip(kept, several, strict=True):
        anew = best_weights(each, draws=500, seed=7, refine=False)
        np.testing.assert_array_equal(found.weights, anew.weights)


@pytest.mark.parametrize("seed", range(5))
def test_refinement_reaches_the_peak_of_a_fine_grid(seed: int) -> None:
    moments = target_moments(*corpus(seed=seed))
    steps = np.arange(0, 1.0005, 0.005)
    grid = np.array([(a, b, 1 - a - b) for a in steps for b in steps if a + b <= 1 + 1e-12])
    found = best_weights(moments, draws=20, seed=0)
    for each, reached in zip(moments, found.ccc, strict=True):
        assert -1e-9 <= reached - ccc_of_weights(each, grid).max() < 1e-4


def test_refinement_never_loses_and_choosing_per_target_never_loses() -> None:
    moments = target_moments(*corpus(models=5))
    joint = best_weights(moments, draws=200, per_target=False, refine=False)
    apart = best_weights(moments, draws=200, refine=False)
    refined = best_weights(moments, draws=200)
    assert (apart.ccc >= joint.ccc).all() and apart.ccc.sum() > joint.ccc.sum()
    assert (refined.ccc >= apart.ccc).all()


def test_the_joint_choice_is_the_best_mean_of_its_draws() -> None:
    moments = target_moments(*corpus())
    drawn = np.random.default_rng(7).standard_exponential((300, 2, 3))
    drawn /= drawn.sum(axis=2, keepdims=True)
    means = (ccc_of_weights(moments[0], drawn[:, 0]) + ccc_of_weights(moments[1], drawn[:, 1])) / 2
    joint = best_weights(moments, draws=300, seed=7, per_target=False, refine=False)
    np.testing.assert_allclose(joint.weights, drawn[means.argmax()].T)


def test_draws_are_uniform_on_the_simplex(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dirichlet(1, 1, 1): every coordinate has mean 1/3 and variance 1/18."""
    seen: list[np.ndarray] = []

    def spy(moments: Moments, weights: np.ndarray) -> np.ndarray:
        seen.append(weights)
        return np.zeros(len(weights))

    monkeypatch.setattr("stages.fusion.dirichlet.ccc_of_weights", spy)
    best_weights(target_moments(*corpus(100)), draws=100_000, refine=False)
    weights = np.concatenate(seen)
    assert len(weights) == 200_000
    np.testing.assert_allclose(weights.mean(axis=0), 1 / 3, atol=2e-3)
    np.testing.assert_allclose(weights.var(axis=0), 1 / 18, atol=1e-3)


def test_the_only_good_model_takes_all() -> None:
    truth, stacks = corpus()
    stacks[:, 1] = np.nan_to_num(truth)
    found = best_weights(target_moments(truth, stacks), draws=1000)
    np.testing.assert_allclose(found.weights[1], 1, atol=1e-6)
    np.testing.assert_allclose(found.ccc, 1, atol=1e-9)


def test_moments_of_recordings_merge_into_those_of_the_corpus() -> None:
    truth, stacks = corpus()
    parts = [target_moments(truth[i : i + 300], stacks[i : i + 300]) for i in range(0, 2000, 300)]
    merged = [merge_all(part[target] for part in parts) for target in (0, 1)]
    whole = best_weights(target_moments(truth, stacks), draws=1000)
    np.testing.assert_allclose(best_weights(merged, draws=1000).weights, whole.weights, atol=1e-6)


def test_constant_and_identical_models_stay_finite() -> None:
    truth, stacks = corpus()
    stacks[:, 0] = 0.2
    stacks[:, 2] = stacks[:, 1]
    found = best_weights(target_moments(truth, stacks), draws=100)
    assert np.isfinite(found.weights).all() and np.isfinite(found.ccc).all()
    alone = best_weights(target_moments(truth, stacks[:, :1]), draws=10)
    assert alone.weights.tolist() == [[1.0, 1.0]]
    assert alone.ccc.tolist() == [0.0, 0.0]


@pytest.mark.slow
def test_a_million_draws_cost_far_less_than_by_the_frames() -> None:
    truth, stacks = corpus()
    moments, begin = target_moments(truth, stacks), time.process_time()
    best_weights(moments, draws=1_000_000)
    took, begin = time.process_time() - begin, time.process_time()
    for weights in np.random.default_rng(0).dirichlet(np.ones(3), 100):
        ccc_per_target(truth, fuse(stacks, np.column_stack([weights, weights])))
    assert took < 10_000 * (time.process_time() - begin) / 20


def test_misuse_is_refused() -> None:
    truth, stacks = corpus(50)
    moments = target_moments(truth, stacks)
    with pytest.raises(ValueError, match="0 draws"):
        best_weights(moments, draws=0)
    with pytest.raises(ValueError, match="labelled frames"):
        best_weights(target_moments(np.full((50, 2), np.nan), stacks), draws=1)
    with pytest.raises(ValueError, match=r"must be \(M, C\)"):
        fuse(stacks, np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"must be \(N, C\)"):
        target_moments(truth[:40], stacks)
