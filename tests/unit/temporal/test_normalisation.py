"""Fitted on many recordings or on one, from a stream, finite for constants."""

from collections.abc import Iterator

import numpy as np
import pytest

from stages.temporal.normalisation import KINDS, Normaliser


@pytest.fixture
def recordings() -> list[np.ndarray]:
    """Recordings of different lengths; dimension 3 is constant."""
    rng = np.random.default_rng(0)
    made = [
        np.tanh(rng.normal(rng.normal(), 0.5, (steps, 6))).astype(np.float32) for steps in (1, 40, 7, 300)
    ]
    for each in made:
        each[:, 3] = 0.1
    return made


def expected(kind: str, fitted_on: np.ndarray, x: np.ndarray) -> np.ndarray:
    fitted_on, x = fitted_on.astype(np.float64), x.astype(np.float64)
    if kind == "none":
        return x
    low = fitted_on.min(axis=0) if "minmax" in kind else fitted_on.mean(axis=0)
    spread = np.ptp(fitted_on, axis=0) if "minmax" in kind else fitted_on.std(axis=0)
    spread[3] = 1
    return (x - low) / spread


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_its_formula(kind: str, recordings: list[np.ndarray]) -> None:
    normaliser = Normaliser.fit(kind, recordings)
    x = recordings[1]
    pool = x if kind.startswith("per_video") else np.concatenate(recordings)
    scaled = normaliser.apply(x)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, expected(kind, pool, x), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_it_survives_being_saved(kind: str, recordings: list[np.ndarray]) -> None:
    normaliser = Normaliser.fit(kind, recordings)
    again = Normaliser.from_arrays(normaliser.to_arrays())
    np.testing.assert_array_equal(again.apply(recordings[3]), normaliser.apply(recordings[3]))


def test_the_training_set_is_streamed_once(recordings: list[np.ndarray]) -> None:
    def stream() -> Iterator[np.ndarray]:
        yield from recordings

    once = Normaliser.fit("standard", stream())
    np.testing.assert_array_equal(once.scale, Normaliser.fit("standard", recordings).scale)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "none"])
def test_constants_stay_finite(kind: str) -> None:
    still = np.full((10, 4), 0.3, np.float32)
    assert np.abs(Normaliser.fit(kind, [still, still]).apply(still)).max() < 1e-6
    jittered = still + np.float32(3e-8) * np.arange(10, dtype=np.float32)[:, None]
    assert np.abs(Normaliser.fit(kind, [jittered]).apply(jittered)).max() < 1e-5


def test_small_features_are_not_mistaken_for_constants() -> None:
    tiny = np.random.default_rng(0).uniform(0, 1e-9, (50, 3))
    assert np.ptp(Normaliser.fit("minmax", [tiny]).apply(tiny), axis=0) == pytest.approx(1.0)


def test_misuse_is_refused(recordings: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match="must be one of none, minmax"):
        Normaliser.fit("z", recordings)
    with pytest.raises(ValueError, match="no sequence"):
        Normaliser.fit("minmax", [])
    with pytest.raises(ValueError, match="finite"):
        Normaliser.fit("standard", [np.full((3, 6), np.nan)])
    with pytest.raises(ValueError, match="5 dimensions, fitted on 6"):
        Normaliser.fit("standard", recordings).apply(np.zeros((3, 5)))


def test_an_empty_recording_stays_empty(recordings: list[np.ndarray]) -> None:
    for kind in KINDS:
        assert Normaliser.fit(kind, recordings).apply(np.empty((0, 6), np.float32)).shape == (0, 6)


@pytest.mark.parametrize("kind", ["per_video_minmax", "per_video_standard"])
def test_steps_that_are_not_known_leave_no_trace_in_a_videos_statistics(kind: str) -> None:
    rng = np.random.default_rng(5)
    video, known = rng.normal(size=(40, 3)), np.arange(40) % 4 != 0
    alone = Normaliser.fit(kind, []).apply(video[known])
    video[~known] = 99.0
    np.testing.assert_array_equal(Normaliser.fit(kind, []).apply(video, known)[known], alone)
