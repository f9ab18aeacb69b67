"""Temporal models are scored on all labelled native frames of the validation recordings."""

from pathlib import Path

import numpy as np
import pytest

from stages.core.artefacts import write_arrays
from stages.core.measures import ccc
from stages.training.scorer import RecordingScorer

FRAMES = np.arange(21) / 20
STEPS = np.array([0.0, 0.5, 1.0])


@pytest.fixture
def index(tmp_path: Path) -> dict[str, Path]:
    files = {}
    for k, name in enumerate("ab"):
        labels = np.stack([np.sin(FRAMES * 6 + k), FRAMES**2], axis=1).astype(np.float32)
        labels[5 * k : 5 * k + 3] = np.nan
        files[name] = tmp_path / f"{name}.h5"
        write_arrays(files[name], {"valence_arousal": labels, "time_s": FRAMES})
    return files


def predicted(model: float, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A line through all steps, another slope for each recording."""
    line = STEPS * (model if name == "a" else -model)
    return np.stack([line, line], axis=1).astype(np.float32), STEPS


def test_frames_of_all_recordings_count_together_and_those_of_the_other_folds(index: dict[str, Path]) -> None:
    scores = RecordingScorer(predicted, index, 0.0, {"a": 0, "b": 1})(0.8)
    labels = [np.sin(FRAMES * 6), np.sin(FRAMES * 6 + 1)]
    seen = [np.delete(np.arange(21), range(3)), np.delete(np.arange(21), range(5, 8))]
    lines = [FRAMES * 0.8, FRAMES * -0.8]
    both = ccc(
        np.concatenate([labels[k][seen[k]] for k in (0, 1)]),
        np.concatenate([lines[k][seen[k]] for k in (0, 1)]),
    )
    assert scores["valence_ccc"] == pytest.approx(both, abs=1e-6)
    assert scores["valence_ccc_without_fold_0"] == pytest.approx(
        ccc(labels[1][seen[1]], lines[1][seen[1]]), abs=1e-6
    )
    assert scores["mean_ccc"] == pytest.approx((scores["valence_ccc"] + scores["arousal_ccc"]) / 2)


def test_labels_are_read_once(index: dict[str, Path]) -> None:
    score = RecordingScorer(predicted, index, 0.0, {})
    first = score(0.5)
    for file in index.values():
        file.unlink()
    assert score(0.5) == first
