"""CCC, RMSE and moments against closed formulas."""

import numpy as np
import pytest

from stages.core.measures import Moments, ccc, ccc_per_target, merge_all, rmse, rmse_per_target


def textbook_ccc(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Equation 2 in terms of the correlation coefficient, another road to the same number."""
    correlation = np.corrcoef(truth, prediction)[0, 1]
    return (
        2
        * correlation
        * truth.std()
        * prediction.std()
        / (truth.var() + prediction.var() + (truth.mean() - prediction.mean()) ** 2)
    )


@pytest.fixture
def frames() -> tuple[np.ndarray, np.ndarray]:
    """500 labels and three models' predictions of them."""
    rng = np.random.default_rng(3)
    truth = np.tanh(rng.standard_normal(500))
    return truth, truth[:, None] * [0.5, 0.9, -0.2] + rng.standard_normal((500, 3)) * 0.3 + [0.1, 0, -0.4]


def test_ccc_is_the_formula(frames: tuple[np.ndarray, np.ndarray]) -> None:
    truth, stack = frames
    assert ccc(truth, stack[:, 0]) == pytest.approx(textbook_ccc(truth, stack[:, 0]), abs=1e-13)


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (2.0, 0.0), (1.0, 0.5), (-1.0, 0.0), (0.25, -0.3)])
def test_ccc_of_a_scaled_and_shifted_truth_has_a_closed_form(gain: float, offset: float) -> None:
    truth = np.random.default_rng(0).uniform(-1, 1, 1000)
    truth -= truth.mean()
    expected = 2 * gain * truth.var() / ((1 + gain**2) * truth.var() + offset**2)
    assert ccc(truth, gain * truth + offset) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("truth", "prediction", "expected"),
    [
        ([0.1] * 7, [0.1] * 7, 1.0),
        ([0.1] * 7, [0.3] * 7, 0.0),
        ([0.1] * 7, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], 0.0),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], [1 / 3] * 7, 0.0),
        ([0.4], [0.4], 1.0),
    ],
)
def test_constants_stay_finite(truth: list[float], prediction: list[float], expected: float) -> None:
    assert ccc(np.array(truth), np.array(prediction)) == expected
    single = np.array(truth, np.float32), np.array(prediction, np.float32)
    assert ccc(*single) == expected


def test_unlabelled_frames_do_not_count() -> None:
    truth, prediction = np.array([0.0, 1.0, np.nan, 0.5]), np.array([0.2, 0.8, np.nan, 0.4])
    known = [0, 1, 3]
    assert ccc(truth, prediction) == ccc(truth[known], prediction[known])
    assert rmse(truth, prediction) == pytest.approx(np.sqrt((0.04 + 0.04 + 0.01) / 3))


def test_a_frame_counts_only_with_both_targets() -> None:
    truth = np.array([[0.0, 0.1], [0.5, np.nan], [1.0, 0.7], [0.3, 0.2]])
    prediction = np.array([[0.1, 0.2], [9.0, 9.0], [0.9, 0.5], [0.2, 0.1]])
    rows = [0, 2, 3]
    expected = [textbook_ccc(truth[rows, c], prediction[rows, c]) for c in (0, 1)]
    assert ccc_per_target(truth, prediction) == pytest.approx(expected, abs=1e-13)
    assert rmse_per_target(truth, prediction)[0] == pytest.approx(0.1)


def test_swapping_valence_and_arousal_changes_the_score() -> None:
    rng = np.random.default_rng(1)
    truth = rng.uniform(-1, 1, (100, 2))
    prediction = truth + rng.normal(0, 0.1, (100, 2))
    assert (ccc_per_target(truth, prediction[:, ::-1]) < 0.5).all()


@pytest.mark.parametrize("measure", [ccc, rmse])
@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        ([0.0, 1.0, 0.5], [0.0, np.nan, 0.2], "the first is 1"),
        ([0.0, 1.0], [0.0, np.inf], "the first is 1"),
        ([np.nan, np.nan], [0.0, 0.0], "no labelled frame"),
        ([0.0, 1.0], [0.0], "must match"),
    ],
)
def test_misuse_is_refused(
    measure: object, truth: list[float], prediction: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        measure(np.array(truth), np.array(prediction))  # type: ignore[operator]


def test_merged_parts_equal_the_whole(frames: tuple[np.ndarray, np.ndarray]) -> None:
    truth, stack = frames
    parts = [
        Moments.of(truth[a:b], stack[a:b]) for a, b in [(0, 1), (1, 40), (40, 40), (40, 411), (411, 500)]
    ]
    merged = merge_all(parts)
    columns = np.column_stack([truth, stack])
    assert merged.count == 500
    np.testing.assert_allclose(merged.mean, columns.mean(axis=0), atol=1e-14)
    np.testing.assert_allclose(merged.covariance, np.cov(columns.T, bias=True), atol=1e-14)


def test_merging_survives_a_huge_offset() -> None:
    truth = np.random.default_rng(2).uniform(-1, 1, 10_000)
    far = truth + 1e8  # the sum of squares would lose every digit of the variance
    parts = [Moments.of(far[i : i + 100], far[i : i + 100, None]) for i in range(0, 10_000, 100)]
    assert merge_all(parts).covariance[0, 0] == pytest.approx(far.var(), rel=1e-9)


def test_a_fused_score_equals_scoring_the_fused_frames(frames: tuple[np.ndarray, np.ndarray]) -> None:
    truth, stack = frames
    moments = Moments.of(truth, stack)
    for weights in np.random.default_rng(5).dirichlet([1, 1, 1], 20):
        assert moments.fused(weights).ccc() == pytest.approx(textbook_ccc(truth, stack @ weights), abs=1e-12)


def test_moments_refuse_what_they_cannot_say(frames: tuple[np.ndarray, np.ndarray]) -> None:
    moments = Moments.of(*frames)
    with pytest.raises(ValueError, match="have 3"):
        moments.ccc()
    with pytest.raises(ValueError, match="for 3 models"):
        moments.fused(np.ones(2))
    with pytest.raises(ValueError, match="3 and 1 models"):
        moments.merge(moments.fused(np.ones(3)))
