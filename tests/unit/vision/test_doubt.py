"""The interval of a static model: wide where faces are small, unsure or unseen, and true where calibrated."""

from pathlib import Path

import numpy as np
import pytest

from stages.core.artefacts import read_arrays, write_arrays, write_tensors
from stages.core.corpus import Subject, Workspace
from stages.corpora.table import EMOTIONS
from stages.engine.units import do_unit
from stages.predict import predict_static, static_units
from stages.vision.doubt import Doubt, Seen, features_of, fit_doubt, read_doubt, vote_moments

CLASSES = len(EMOTIONS)
PLAIN = {"coefficients": [[0.1, 0.1, 0.2, 0.3]] * 2, "factor": [1.0, 1.0]}


@pytest.fixture
def doubt() -> Doubt:
    """Logits are the first eight numbers of the embedding."""
    return Doubt(
        np.array(PLAIN["coefficients"]), np.ones(2), np.eye(CLASSES, 256, dtype=np.float32), np.zeros(CLASSES)
    )


def width(
    doubt: Doubt,
    *,
    side_px: float = 200.0,
    score: float = 0.95,
    turned: float = 0.1,
    logits: dict[str, float],
) -> float:
    embedding = np.zeros((1, 256), np.float32)
    for name, value in logits.items():
        embedding[0, EMOTIONS.index(name)] = value
    said, _ = vote_moments(embedding[:, :CLASSES])
    box = np.array([[10.0, 10.0, 10 + side_px / 2, 10 + side_px * 2]])
    seen = Seen(box, np.array([score]), np.array([turned]), doubtful=(0.25, 0.75))
    return float(doubt.half_width(embedding, said, seen).mean())


def test_what_makes_a_face_doubtful_widens_the_interval(doubt: Doubt) -> None:
    sure = {"happiness": 9.0}
    plain = width(doubt, logits=sure)
    assert width(doubt, side_px=61, logits=sure) == plain, "large enough"
    assert width(doubt, side_px=50, logits=sure) == pytest.approx(plain + 0.1 * np.log2(60 / 50), abs=1e-3)
    assert width(doubt, side_px=30, logits=sure) == pytest.approx(0.25, abs=1e-3), "by rule"
    assert width(doubt, side_px=15, logits=sure) == pytest.approx(0.5, abs=1e-3)
    assert width(doubt, logits={"happiness": 9.0, "anger": 9.0}) > plain + 0.05, "joy or anger"
    assert width(doubt, score=0.5, logits=sure) == pytest.approx(plain * 2, abs=1e-3)
    assert width(doubt, turned=0.4, logits=sure) == width(doubt, turned=np.nan, logits=sure) == plain
    assert width(doubt, turned=0.8, logits=sure) == pytest.approx(2 * plain, abs=1e-3)
    assert width(doubt, turned=2.0, score=0.5, logits=sure) == pytest.approx(3 * plain, abs=1e-3), "a profile"
    unseen = width(doubt, side_px=np.nan, score=np.nan, logits=sure)
    assert unseen > 2 * plain


def test_two_outputs_that_disagree_widen_it(doubt: Doubt) -> None:
    embedding, box = np.zeros((2, 256), np.float32), np.full((2, 4), [0.0, 0, 90, 90])
    embedding[:, EMOTIONS.index("happiness")] = 9
    said = np.array([[0.81, 0.51], [-0.19, 0.51]])
    half = doubt.half_width(embedding, said, Seen(box, np.ones(2), np.zeros(2), (0.4, 0.75)))
    assert half[1, 0] - half[0, 0] == pytest.approx(0.3, abs=0.01)
    assert half[1, 1] == pytest.approx(half[0, 1], abs=1e-6)


def test_moments_of_votes_by_hand() -> None:
    """Happiness and sadness, half and half; contempt, which has no place, counts for nothing."""
    logits = np.full((1, CLASSES), -50.0)
    logits[0, [EMOTIONS.index(name) for name in ("happiness", "sadness", "other")]] = [0, 0, 3]
    mean, spread = vote_moments(logits)
    assert mean[0] == pytest.approx([(0.81 - 0.63) / 2, (0.51 - 0.27) / 2])
    assert spread[0] == pytest.approx([(0.81 + 0.63) / 2, (0.51 + 0.27) / 2])


def test_the_calibrated_interval_holds_nine_tenths_of_new_errors() -> None:
    rng = np.random.default_rng(0)
    logits, said = rng.normal(0, 2, (2000, CLASSES)), rng.uniform(-0.5, 0.5, (2000, 2))
    features = features_of(logits, said, rng.uniform(0, 2, 2000))
    error = np.abs(rng.normal(0, 1, (2000, 2))) * (0.05 + 0.1 * features[:, :, 0] + 0.2 * features[:, :, 2])
    seen, held_out = np.arange(2000) < 1000, np.arange(1000) < 500
    coefficients, factor = fit_doubt(features[seen], error[seen], held_out)
    fitted = Doubt(coefficients, factor, np.empty((CLASSES, 0)), np.empty(CLASSES))
    inside = error[~seen] <= fitted.from_features(features[~seen])
    assert inside.mean(axis=0) == pytest.approx([0.9, 0.9], abs=0.03)
    small = features[~seen][:, 0, 0] > 1
    assert inside[small].mean() == pytest.approx(0.9, abs=0.04), "small faces too"


@pytest.mark.parametrize("with_doubt", [True, False])
def test_the_system_static_is_the_models_own_say_with_its_interval(tmp_path: Path, with_doubt: bool) -> None:
    workspace, rng = Workspace(tmp_path), np.random.default_rng(0)
    said = np.array([[0.3, -0.2], [1.4, 0.1]], np.float32)
    arrays = {"embedding": rng.uniform(-1, 1, (2, 256)), "valence_arousal": said, "time_s": [0.0, 0.2]}
    write_arrays(workspace.artefact("embeddings", "v"), {k: np.asarray(a) for k, a in arrays.items()})
    faces = {name: np.array([value, np.nan], np.float32) for name, value in (("score", 0.9), ("turned", 0.1))}
    boxes = {"box_xyxy": np.array([[0, 0, 90, 90], [np.nan] * 4], np.float32)}
    write_arrays(workspace.artefact("faces", "v"), boxes | faces, unsure_score=0.4, sure_score=0.75)
    emotion = {
        "head.emotion.weight": np.zeros((CLASSES, 256), np.float16),
        "head.emotion.bias": np.zeros(CLASSES, np.float16),
    }
    header = {"doubt": PLAIN} if with_doubt else {"architecture": "any"}
    write_tensors(workspace.model("static/small.safetensors"), emotion, **header)
    (unit,) = static_units(workspace, workspace, [Subject("v", "v", None, "test")], "small")
    do_unit(predict_static, unit, None)
    found = read_arrays(unit.writes["predictions"])
    assert found["valence_arousal"] == pytest.approx(np.clip(said, -1, 1))
    assert ("half_width" in found) == with_doubt
    if with_doubt:
        assert (found["half_width"][1] > found["half_width"][0]).all(), "a face that isn't seen"


def test_a_model_without_an_interval_has_none(tmp_path: Path) -> None:
    write_tensors(tmp_path / "m.safetensors", {"a": np.zeros(1)}, architecture="any")
    assert read_doubt(tmp_path / "m.safetensors") is None
