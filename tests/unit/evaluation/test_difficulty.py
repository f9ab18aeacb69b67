"""Features of difficulty by hand, and a recording that gets harder where it must."""

from pathlib import Path

import numpy as np
import pytest

from stages.core.artefacts import write_arrays, write_tensors
from stages.core.errors import ValaroError
from stages.evaluation.adaptive import Band, Spread
from stages.evaluation.boosting import Boosted
from stages.evaluation.difficulty import FEATURES, Seen, View, choose_landmarks, features_of, look
from stages.evaluation.sureness import Interval, on_frames, read_interval
from stages.fusion.forest import Forest

STEPS, FPS_HZ = 40, 5.0
TIME_S = np.arange(STEPS) / FPS_HZ
LOST = slice(10, 20)


@pytest.fixture
def seen(tmp_path: Path) -> Seen:
    """A face of 50 px that is lost from 2 to 4 s; embeddings familiar until 6 s; two systems, apart from 3 s on."""
    detected = np.ones(STEPS, bool)
    detected[LOST] = False
    box = np.where(detected[:, None], [10.0, 20.0, 60.0, 70.0], np.nan).astype(np.float32)
    score = np.where(detected, 0.8, 0).astype(np.float32)
    write_arrays(tmp_path / "f.h5", {"time_s": TIME_S, "detected": detected, "score": score, "box_xyxy": box})
    write_arrays(tmp_path / "s.h5", {"time_s": TIME_S, "speaking": TIME_S < 4})
    embedding = np.zeros((STEPS, 8), np.float32)
    embedding[30:] = 1.0  # a quarter of them
    still = np.where(np.arange(STEPS)[:, None] % 2, [0.5, 0.0], [0.1, 0.0]).astype(np.float32)
    said = {"valence_arousal": still, "mirrored_valence_arousal": still - np.float32([0.05, 0.0])}
    write_arrays(tmp_path / "e.h5", {"embedding": embedding, **said})
    native_s = np.arange(STEPS * 5) / 25
    for name, values in (("a", np.full(len(native_s), 0.2)), ("b", np.where(native_s < 3, 0.2, 0.6))):
        trace = np.column_stack([values, -values]).astype(np.float32)
        write_arrays(tmp_path / f"{name}.h5", {"valence_arousal": trace, "time_s": native_s})
    paths = {name: tmp_path / f"{name}.h5" for name in "fseab"}
    return Seen(paths["f"], paths["s"], paths["e"], paths["a"], {"b": paths["b"]})


def column(features: np.ndarray, name: str, target: int = 0) -> np.ndarray:
    return np.asarray(features[:, target, FEATURES.index(name)])


@pytest.mark.parametrize("known", [True, False])
def test_a_view_comes_back_from_plain_arrays(seen: Seen, known: bool) -> None:
    view = look(seen.faces, seen.speech, seen.embeddings if known else None, np.zeros((6, 8), np.float32))
    again = View.from_arrays(view.to_arrays())
    trace = np.random.default_rng(0).normal(size=(STEPS, 2))
    np.testing.assert_array_equal(again.around(trace), view.around(trace))


def test_features_by_hand(seen: Seen) -> None:
    features, time_s = features_of(seen, np.zeros((6, 8), np.float32))
    np.testing.assert_array_equal(time_s, TIME_S)
    assert features.shape == (STEPS, 2, len(FEATURES))
    assert np.isfinite(features).all()
    assert column(features, "detector_score")[[5, 15]].tolist() == pytest.approx([0.8, 0.0])
    np.testing.assert_allclose(column(features, "face_height_log_px"), np.log(50), rtol=1e-6)
    assert column(features, "missing_share")[[0, 15, 39]].tolist() == pytest.approx([0, 10 / 11, 0])
    assert column(features, "unseen_s")[[5, 10, 14, 19]].tolist() == pytest.approx([0, 0.2, 1.0, 0.2])
    assert column(features, "speaking_share")[[0, 39]].tolist() == pytest.approx([1, 0])
    assert column(features, "embedding_distance")[[0, 39]].tolist() == pytest.approx(
        [0, np.sqrt(8)], rel=1e-5
    )
    assert column(features, "embedding_change")[10] == 0
    assert column(features, "embedding_change")[30] > 0
    assert column(features, "value", 1)[3] == pytest.approx(-0.2)
    assert column(features, "size_of_value", 1)[3] == pytest.approx(0.2)
    assert column(features, "disagreement")[[0, 39]].tolist() == pytest.approx([0, 0.2])
    assert column(features, "still_difference")[[4, 5]].tolist() == pytest.approx([-0.1, 0.3], abs=1e-6)
    assert column(features, "size_of_still_difference")[[4, 5]].tolist() == pytest.approx(
        [0.1, 0.3], abs=1e-6
    )
    assert column(features, "still_deviation")[20] == pytest.approx(0.2, abs=0.02)
    assert column(features, "still_difference", 1)[4] == pytest.approx(0.2, abs=1e-6)
    np.testing.assert_allclose(column(features, "mirrored_difference"), -0.05, atol=1e-6)
    np.testing.assert_allclose(column(features, "mirrored_difference", 1), 0, atol=1e-6)


def test_what_is_known_of_the_whole_recording_is_the_same_at_every_step(seen: Seen) -> None:
    features, time_s = features_of(seen, np.zeros((6, 8), np.float32))
    trace = np.where(time_s < 3, 0.2, 0.2)
    np.testing.assert_allclose(column(features, "recording_distance"), np.sqrt(8) / 4, rtol=1e-5)
    np.testing.assert_allclose(column(features, "recording_spread"), np.sqrt(8 * 0.25 * 0.75), rtol=1e-5)
    np.testing.assert_allclose(column(features, "recording_value"), trace.mean(), atol=1e-6)
    np.testing.assert_allclose(column(features, "recording_deviation"), 0, atol=1e-6)
    still = column(features, "still_difference")
    np.testing.assert_allclose(column(features, "recording_still_difference"), still.mean(), atol=1e-6)


def test_without_sound_embeddings_or_other_systems_the_rest_is_known(seen: Seen) -> None:
    bare = Seen(seen.faces, None, None, seen.trace, {})
    features, _ = features_of(bare, np.zeros((6, 8), np.float32))
    silent = ("speaking_share", "embedding_distance", "embedding_change", "disagreement", "still_difference")
    silent += ("recording_distance", "recording_spread", "recording_still_difference", "mirrored_difference")
    for name in silent:
        assert not column(features, name).any()


def test_a_face_that_is_never_found_gives_numbers(seen: Seen, tmp_path: Path) -> None:
    none = {"detected": np.zeros(STEPS, bool), "score": np.zeros(STEPS), "time_s": TIME_S}
    write_arrays(tmp_path / "none.h5", none | {"box_xyxy": np.full((STEPS, 4), np.nan)})
    features, _ = features_of(Seen(tmp_path / "none.h5", None, None, seen.trace, {}), np.zeros((0, 8)))
    assert np.isfinite(features).all()
    assert (column(features, "unseen_s") == 5).all()


def band(name: str) -> Band:
    """0.2 wide, and 0.6 where one feature is above a half: one tree of one split."""
    split = np.array([FEATURES.index(name), 0, 0], np.int16)

    def stump(start: float, step: float) -> Boosted:
        left, right = (np.array([child, -1, -1], np.int32) for child in (1, 2))
        threshold, value = (np.array(each, np.float32) for each in ([0.5, 0, 0], [0, 0, step]))
        return Boosted(start, 1.0, Forest(np.array([0, 3]), left, right, split, threshold, value))

    spread = Spread(stump(0.0, 0.0), stump(np.log(0.1), np.log(3.0)), 1.0)
    return Band(spread, np.array([0.3, 0.5]), np.ones(3))


def test_an_interval_is_wide_where_the_face_is_lost_and_comes_back_from_disk(
    seen: Seen, tmp_path: Path
) -> None:
    arrays = band("missing_share").to_arrays("valence") | band("missing_share").to_arrays("arousal")
    config = {"features": list(FEATURES), "others": ["b"], "coverage": 0.9, "recordings": 7}
    write_tensors(tmp_path / "intervals/dynamic.safetensors", arrays, **config)
    assert read_interval(tmp_path / "intervals", "dynamic") is None, "without what distances are measured to"
    write_tensors(tmp_path / "intervals/landmarks.safetensors", {"landmarks": np.zeros((6, 8), np.float32)})
    found = read_interval(tmp_path / "intervals", "dynamic")
    assert isinstance(found, Interval)
    assert (found.others, found.coverage, found.recordings) == (("b",), 0.9, 7)
    low_high = found.around(seen)
    assert low_high.shape == (STEPS * 5, 2, 2)
    width = np.diff(low_high, axis=2)[:, :, 0]
    assert width[75] == pytest.approx([0.6] * 2, abs=1e-3)
    assert width[-1] == pytest.approx([0.2] * 2, abs=1e-3)
    write_tensors(tmp_path / "intervals/dynamic.safetensors", arrays, **(config | {"features": ["other"]}))
    with pytest.raises(ValaroError, match="other features"):
        read_interval(tmp_path / "intervals", "dynamic")


def test_the_trace_lies_inside_and_the_range_is_kept() -> None:
    errors = np.tile([[[0.1, 0.3], [-3.0, -0.1]]], (2, 1, 1))
    found = on_frames(errors, np.array([0.0, 1.0]), np.zeros((3, 2)), np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(found[:, 0], [[0.0, 0.3]] * 3, rtol=1e-6)
    np.testing.assert_allclose(found[:, 1], [[-1.0, 0.0]] * 3, rtol=1e-6)


def test_landmarks_are_drawn_by_the_seed() -> None:
    rows = np.arange(100.0)[:, None]
    first, again, other = (choose_landmarks(rows, 10, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(choose_landmarks(rows, 1000, 0)) == 100
