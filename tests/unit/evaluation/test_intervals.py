"""Bootstrap intervals against resampled frames, and their coverage."""

import time

import numpy as np
import pytest

from stages.core.measures import Moments, ccc, ccc_per_target
from stages.evaluation.intervals import ccc_intervals


def recordings(count: int, frames: int = 40, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Truth and prediction, (frames, 2) each; every recording has its own level and error."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        truth = rng.normal(0, 0.4, 2) + rng.normal(0, 0.1, (frames, 2))
        made.append((truth, 0.8 * truth + rng.normal(0, 0.2, 2) + rng.normal(0, 0.1, (frames, 2))))
    return made


def moments(parts: list[tuple[np.ndarray, np.ndarray]], target: int) -> list[Moments]:
    return [Moments.of(truth[:, target], prediction[:, target, None]) for truth, prediction in parts]


def test_the_figure_is_the_ccc_over_all_frames_together() -> None:
    parts = recordings(8)
    truth, prediction = (np.concatenate(side) for side in zip(*parts, strict=True))
    found = ccc_intervals(moments(parts, 0), moments(parts, 1), resamples=10)
    assert found.valence.value == pytest.approx(ccc(truth[:, 0], prediction[:, 0]), abs=1e-12)
    assert found.arousal.value == pytest.approx(ccc(truth[:, 1], prediction[:, 1]), abs=1e-12)
    assert found.mean.value == pytest.approx((found.valence.value + found.arousal.value) / 2)


def test_bounds_equal_those_of_resampled_frames() -> None:
    parts = recordings(6)
    times = np.random.default_rng(9).multinomial(6, np.full(6, 1 / 6), size=50)
    scores = []
    for row in times:
        drawn = [parts[index] for index, often in enumerate(row) for _ in range(often)]
        truth, prediction = (np.concatenate(side) for side in zip(*drawn, strict=True))
        scores.append([ccc(truth[:, target], prediction[:, target]) for target in (0, 1)])
    found = ccc_intervals(moments(parts, 0), moments(parts, 1), resamples=50, seed=9)
    columns = np.array(scores)
    for interval, column in (
        (found.valence, columns[:, 0]),
        (found.arousal, columns[:, 1]),
        (found.mean, columns.mean(axis=1)),
    ):
        expected = np.quantile(column, [0.025, 0.975])
        assert (interval.low, interval.high) == pytest.approx(tuple(expected), abs=1e-10)


def test_ninety_five_percent_intervals_hold_the_truth_about_as_often() -> None:
    everyone = recordings(4000, frames=10, seed=1)
    truth, prediction = (np.concatenate(side)[:, 0] for side in zip(*everyone, strict=True))
    population = ccc(truth, prediction)
    held = 0
    for seed in range(100):
        parts = everyone[seed * 40 : seed * 40 + 40]
        interval = ccc_intervals(moments(parts, 0), moments(parts, 1), resamples=300, seed=seed).valence
        held += interval.low <= population <= interval.high
    assert 85 <= held <= 100


def test_more_recordings_narrow_the_interval_and_more_frames_of_the_same_do_not() -> None:
    def width(parts: list[tuple[np.ndarray, np.ndarray]]) -> float:
        interval = ccc_intervals(moments(parts, 0), moments(parts, 1)).valence
        return interval.high - interval.low

    few = recordings(20)
    copied = [(np.repeat(truth, 30, axis=0), np.repeat(prediction, 30, axis=0)) for truth, prediction in few]
    assert width(recordings(320)) < 0.5 * width(few)
    assert width(copied) == pytest.approx(width(few), rel=1e-9)


def test_the_seed_decides_and_recordings_without_labels_do_not_count() -> None:
    parts = recordings(10)
    one = ccc_intervals(moments(parts, 0), moments(parts, 1), seed=1)
    assert one == ccc_intervals(moments(parts, 0), moments(parts, 1), seed=1)
    assert one != ccc_intervals(moments(parts, 0), moments(parts, 1), seed=2)
    silent = [*parts, (np.full((5, 2), np.nan), np.zeros((5, 2)))]
    assert one == ccc_intervals(moments(silent, 0), moments(silent, 1), seed=1)


def test_a_constant_prediction_has_a_finite_interval() -> None:
    parts = [(truth, np.full_like(truth, 0.1)) for truth, _ in recordings(5)]
    found = ccc_intervals(moments(parts, 0), moments(parts, 1))
    assert found.mean.value == pytest.approx(0, abs=1e-12)
    assert abs(found.mean.low) < 1e-12 and abs(found.mean.high) < 1e-12


def test_ten_thousand_resamples_of_a_corpus_cost_far_less_than_by_the_frames() -> None:
    parts = recordings(300, frames=5)
    both = moments(parts, 0), moments(parts, 1)
    begin = time.process_time()
    ccc_intervals(*both, resamples=10_000)
    took = time.process_time() - begin
    rng, begin = np.random.default_rng(0), time.process_time()
    for _ in range(100):
        drawn = [parts[index] for index in rng.integers(0, 300, 300)]
        truth, prediction = (np.concatenate(side) for side in zip(*drawn, strict=True))
        ccc_per_target(truth, prediction)
    by_frames = 100 * (time.process_time() - begin)
    assert took < by_frames / 3


def test_misuse_is_refused() -> None:
    parts = recordings(3)
    valence, arousal = moments(parts, 0), moments(parts, 1)
    with pytest.raises(ValueError, match="1 recordings with labels"):
        ccc_intervals(valence[:1], arousal[:1])
    with pytest.raises(ValueError, match="3 recordings for valence, 2"):
        ccc_intervals(valence, arousal[:2])
    with pytest.raises(ValueError, match=r"confidence 1\.0"):
        ccc_intervals(valence, arousal, confidence=1.0)
