"""An interval that follows the difficulty: coverage on new recordings, in each third, and its width."""

import numpy as np
import pytest

from stages.core.folds import assign_folds
from stages.core.params import IntervalParams
from stages.evaluation.adaptive import Band, CrossFitted, fit_spread, measure, width_at

SETTINGS = IntervalParams(
    coverage=0.9,
    trees=40,
    depth=2,
    rate=0.1,
    min_leaf=40,
    rows=4000,
    landmarks=10,
    seed=0,
)


def fit_band(features: np.ndarray, errors: np.ndarray, groups: np.ndarray, settings: IntervalParams) -> Band:
    """Calibrated over four folds of recordings."""
    return CrossFitted(features, errors, groups, assign_folds(groups, 4, 0), settings).band()


def recordings(count: int, seed: int, frames: int = 120) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors whose spread follows the first feature, slowly within a recording; the second says nothing."""
    rng = np.random.default_rng(seed)
    features, errors, groups = [], [], []
    for k in range(count):
        hard = np.clip(rng.uniform(0, 1) + 0.3 * np.sin(np.linspace(0, rng.uniform(3, 12), frames)), 0, 1.3)
        spread = 0.05 + 0.6 * hard**2
        level = rng.normal(0, 0.3)
        errors.append(spread * (level + rng.normal(0, 1, frames)) / 2)
        features.append(np.column_stack([hard, rng.normal(size=frames)]))
        groups.append(np.full(frames, f"{seed}-{k}"))
    return np.concatenate(features), np.concatenate(errors), np.concatenate(groups)


@pytest.fixture(scope="module")
def band() -> Band:
    return fit_band(*recordings(30, 0), SETTINGS)


def test_it_holds_nine_tenths_of_new_recordings_and_of_each_third(band: Band) -> None:
    features, errors, _ = recordings(60, 1)
    found = measure(band.errors(features), errors)
    assert found.coverage == pytest.approx(0.9, abs=0.03)
    assert found.by_third == pytest.approx([0.9] * 3, abs=0.05)


def test_it_is_narrower_than_a_constant_one_at_equal_coverage(band: Band) -> None:
    features, errors, _ = recordings(60, 1)
    low, high = np.quantile(recordings(30, 0)[1], [0.05, 0.95])
    constant = np.tile([low, high], (len(errors), 1))
    assert width_at(band.errors(features), errors, 0.9) < 0.85 * width_at(constant, errors, 0.9)


def test_a_constant_one_fails_the_hard_frames() -> None:
    """The oracle of the third's test: it can fail."""
    features, errors, _ = recordings(60, 1)
    hard = features[:, 0] > np.quantile(features[:, 0], 2 / 3)
    low, high = np.quantile(errors, [0.05, 0.95])
    assert ((errors >= low) & (errors <= high))[hard].mean() < 0.82


def test_errors_of_one_recording_calibrate_no_interval_of_its_own() -> None:
    """Frames of a recording share a level: by frames instead of recordings the interval would be too narrow."""
    rng = np.random.default_rng(3)

    def levels(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        level = np.repeat(rng.normal(0, 0.3, count), 50)
        tells = np.repeat(rng.normal(size=(count, 8)), 50, axis=0)  # tells recordings apart, and nothing else
        return tells, level + rng.normal(0, 0.01, len(level)), np.repeat(np.arange(count), 50)

    seen, new = levels(14), levels(200)
    by_heart = SETTINGS.model_copy(update={"trees": 50, "min_leaf": 5, "depth": 4})
    by_recording = fit_band(*seen, by_heart)
    by_frame = fit_band(*seen[:2], np.arange(len(seen[1])) % 50, by_heart)
    covered = [measure(found.errors(new[0]), new[1]).coverage for found in (by_recording, by_frame)]
    assert covered[0] > covered[1] + 0.1, covered
    assert covered[0] > 0.8


def test_widths_that_tell_nothing_are_calibrated_as_one() -> None:
    """Features of pure noise: easy thirds that would end up wider than hard ones are merged."""
    features, errors, groups = recordings(8, 0)
    noise = np.random.default_rng(1).normal(size=features.shape)
    band = fit_band(noise, errors, groups, SETTINGS)
    half = np.diff(band.spread.predict(noise))[:, 0] / 2
    third = np.searchsorted(band.edges, 2 * half)
    widths = [np.median(half[third == k]) * band.factors[k] for k in range(3)]
    assert widths == sorted(widths)
    alike = fit_band(np.zeros_like(features), errors, groups, SETTINGS)
    held = measure(alike.errors(np.zeros_like(features)), errors)
    assert held.coverage == pytest.approx(0.9, abs=0.05)


def test_it_comes_back_from_plain_arrays(band: Band) -> None:
    features = recordings(3, 4)[0]
    again = Band.from_arrays(band.to_arrays("valence"), "valence")
    np.testing.assert_array_equal(again.errors(features), band.errors(features))


def test_strange_features_do_not_turn_it_inside_out(band: Band) -> None:
    bounds = band.errors(np.array([[-1e6, 0.0], [1e6, 0.0]]))
    assert (bounds[:, 1] > bounds[:, 0]).all()
    assert np.diff(bounds[1])[0] > np.diff(bounds[0])[0]
    assert np.isfinite(bounds).all()


def test_one_fold_calibrates_nothing() -> None:
    features, errors, groups = recordings(2, 0)
    fitted = CrossFitted(features, errors, groups, assign_folds(groups, 2, 0), SETTINGS)
    assert isinstance(fitted.band(), Band)
    with pytest.raises(ValueError, match="folds"):
        fitted.band(without=0)


def test_the_band_of_the_others_has_not_seen_a_fold() -> None:
    """Whatever the errors of one fold are, the band of the others is the same, and not that of all."""
    features, errors, groups = recordings(6, 0)
    fold = assign_folds(groups, 3, 0)
    changed = np.where(fold == 1, 3 * errors + 1, errors)
    bands = [CrossFitted(features, each, groups, fold, SETTINGS) for each in (errors, changed)]
    others = [each.band(without=1).errors(features) for each in bands]
    np.testing.assert_array_equal(*others)
    assert np.abs(bands[1].band().errors(features) - others[1]).max() > 0.1


def test_clean_recordings_count_beside_degraded_ones() -> None:
    """Degraded rows err much more, and the other way; where the errors of clean ones lie is found all the same."""
    rows, errors, _ = recordings(12, 0)
    kinds = np.where(np.arange(len(errors)) % 3, "degraded", "clean")
    clean = kinds == "clean"
    mixed = np.where(clean, errors / 4 + 0.4 * np.sign(rows[:, 1]), 4 * errors - 2 * np.sign(rows[:, 1]))
    errors = mixed

    def narrower(by_kind: bool) -> float:
        found = fit_spread(
            rows, mixed, 0.9, SETTINGS.model_copy(update={"trees": 20}), kinds if by_kind else None
        )
        constant = np.tile([-1.0, 1.0], (int(clean.sum()), 1))
        width, reference = (
            width_at(each, errors[clean], 0.9) for each in (found.predict(rows[clean]), constant)
        )
        return 1 - width / reference

    assert narrower(by_kind=True) > narrower(by_kind=False) + 0.1
