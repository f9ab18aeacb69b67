"""Weights by the share of speaking time: shares by hand, convex, exactly the score of the fused frames."""

import numpy as np
import pytest

from stages.core.measures import ccc_per_target
from stages.fusion.dirichlet import best_weights, fuse, target_moments
from stages.fusion.voice import speaking_share, split_by_speaking

GRID_S = np.arange(10) / 5
VOICED = np.array([1, 1, 0, 0, 0, 0, 1, 0, 0, 1], bool)


@pytest.mark.parametrize(
    ("time_s", "window_s", "share"),
    [
        (0.0, 0.8, 2 / 3),  # steps 0, 1, 2: none before the beginning
        (1.0, 0.8, 1 / 5),  # steps 3 to 7
        (1.8, 0.8, 1 / 3),  # steps 7, 8, 9
        (1.0, 100.0, 4 / 10),
        (1.17, 0.1, 1.0),  # the one near step, 6
        (1.29, 0.05, 1.0),  # none within the window: the nearest
        (1.31, 0.05, 0.0),
        (7.0, 1.0, 1.0),  # past the end
    ],
)
def test_the_share_of_speaking_steps_around_a_time(time_s: float, window_s: float, share: float) -> None:
    assert speaking_share(VOICED, GRID_S, np.array([time_s]), window_s).tolist() == pytest.approx([share])


def test_shares_are_those_of_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    speaking, times = rng.random(200) < 0.4, np.sort(rng.uniform(0, 40, 500))
    grid = np.arange(200) / 5
    expected = [speaking[np.abs(grid - t) <= 1.3].mean() for t in times]
    np.testing.assert_allclose(speaking_share(speaking, grid, times, 2.6), expected)


def corpus(frames: int = 3000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, two systems of which the second knows something in speech alone, and the share of speech."""
    rng = np.random.default_rng(1)
    truth, share = rng.uniform(-1, 1, (frames, 2)), rng.random(frames)
    seen = truth + rng.normal(0, 0.5, truth.shape)
    heard = share[:, None] * truth + (1 - share[:, None]) * rng.normal(0, 0.8, truth.shape)
    truth[rng.random(frames) < 0.1] = np.nan
    return truth, np.stack([seen, heard], axis=1), share


def test_the_halves_add_up_and_equal_halves_are_the_plain_sum() -> None:
    _, stacks, share = corpus(50)
    split = split_by_speaking(stacks, share)
    np.testing.assert_allclose(split[:, :2] + split[:, 2:], stacks, atol=1e-12)
    weights = np.array([[0.3, 0.9], [0.7, 0.1]])
    np.testing.assert_allclose(fuse(split, np.vstack([weights] * 2)), fuse(stacks, weights), atol=1e-12)


@pytest.mark.parametrize("per_target", [True, False])
def test_the_weights_are_convex_at_every_share_and_scored_exactly(per_target: bool) -> None:
    truth, stacks, share = corpus()
    split = split_by_speaking(stacks, share)
    moments = target_moments(truth, split)
    found = best_weights(moments, draws=2000, seed=3, blocks=2, per_target=per_target)
    silence, speech = found.weights[:2], found.weights[2:]
    for at in (0, 0.25, 1):
        weights = (1 - at) * silence + at * speech
        assert (weights >= 0).all()
        np.testing.assert_allclose(weights.sum(axis=0), 1, atol=1e-12)
    np.testing.assert_allclose(
        found.ccc, ccc_per_target(truth, fuse(split, found.weights)), rtol=0, atol=1e-9
    )


def test_who_speaks_is_listened_to_and_the_plain_weights_are_a_special_case() -> None:
    truth, stacks, share = corpus()
    plain = best_weights(target_moments(truth, stacks), draws=2000)
    by_voice = best_weights(target_moments(truth, split_by_speaking(stacks, share)), draws=2000, blocks=2)
    assert (by_voice.weights[3] > by_voice.weights[1] + 0.3).all(), (
        "the second system, in speech and in silence"
    )
    assert (by_voice.ccc > plain.ccc + 0.01).all()


def test_misuse_is_refused() -> None:
    truth, stacks, share = corpus(40)
    with pytest.raises(ValueError, match="must match"):
        speaking_share(VOICED, GRID_S[:5], GRID_S, 1.0)
    with pytest.raises(ValueError, match="window_s 0"):
        speaking_share(VOICED, GRID_S, GRID_S, 0)
    with pytest.raises(ValueError, match=r"every share in 0\.\.1"):
        split_by_speaking(stacks, share + 1)
    with pytest.raises(ValueError, match="2 blocks of 3 columns"):
        best_weights(target_moments(truth, stacks[:, [0, 1, 1]]), draws=1, blocks=2)
