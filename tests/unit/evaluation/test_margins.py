"""Margins: the middle of the errors that other videos show, and the file that they travel in."""

from pathlib import Path

import numpy as np
import pytest

from stages.core.arrays import Floats
from stages.core.artefacts import write_arrays, write_json
from stages.core.corpus import Subject, Workspace
from stages.core.errors import ValaroError
from stages.evaluation.margins import Margin, margin_of_all, margins_of, read_margin, to_json

MARGIN = Margin((-0.125, 0.25), (-0.5, 0.5), 6)


def corpus(root: Path, errors: dict[str, Floats]) -> tuple[Workspace, list[Subject]]:
    """Subjects named `video` or `video_side` whose trace is 0 and whose truth is the error."""
    workspace, subjects = Workspace(root), []
    for name, error in errors.items():
        truth = np.column_stack([error, -2 * error]).astype(np.float32)
        write_arrays(workspace.artefact("index", name), {"valence_arousal": truth})
        write_arrays(workspace.artefact("traces/x", name), {"valence_arousal": np.zeros_like(truth)})
        subjects.append(Subject(name, name.split("_")[0], None, "validation"))
    return workspace, subjects


def test_a_margin_is_the_middle_nine_tenths_of_the_other_videos_errors(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    errors = {
        name: rng.normal(shift, 0.1, 4000) for name, shift in [("a_left", 0), ("a_right", 0.1), ("b", 0)]
    }
    errors["b"][::2] = np.nan
    workspace, subjects = corpus(tmp_path, errors)
    found = margins_of(workspace, subjects, "traces/x")
    both = np.concatenate([errors["a_left"], errors["a_right"]])
    assert found["b"].valence == pytest.approx(np.quantile(both, [0.05, 0.95]), abs=0.002)
    assert found["b"].arousal == pytest.approx(np.quantile(-2 * both, [0.05, 0.95]), abs=0.003)
    assert found["a"].valence == pytest.approx(np.nanquantile(errors["b"], [0.05, 0.95]), abs=0.002)
    assert {video: margin.videos for video, margin in found.items()} == {"a": 1, "b": 1}


def test_a_video_alone_has_no_margin(tmp_path: Path) -> None:
    workspace, subjects = corpus(tmp_path, {"a": np.zeros(5), "b": np.full(5, np.nan)})
    assert margins_of(workspace, subjects, "traces/x") == {}


def test_the_margin_of_a_new_video_is_that_of_all_errors(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    errors = {
        name: rng.normal(shift, 0.1, 3000) for name, shift in [("a_left", 0), ("a_right", 0.3), ("b", -0.2)]
    }
    workspace, subjects = corpus(tmp_path, errors)
    found, pooled = margin_of_all(workspace, subjects, "traces/x"), np.concatenate([*errors.values()])
    assert found
    assert found.valence == pytest.approx(np.quantile(pooled, [0.05, 0.95]), abs=0.002)
    assert found.arousal == pytest.approx(np.quantile(-2 * pooled, [0.05, 0.95])[[0, 1]], abs=0.003)
    assert found.videos == 2, "two people of one video are no two videos"


def test_without_labels_there_is_no_margin(tmp_path: Path) -> None:
    workspace, subjects = corpus(tmp_path, {"a": np.full(5, np.nan)})
    assert margin_of_all(workspace, subjects, "traces/x") is None
    assert margin_of_all(workspace, subjects, "traces/of nobody") is None


def test_a_margin_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "margins.json"
    assert read_margin(path, "audio") is None, "a folder from before there were margins"
    write_json(path, to_json({"audio": MARGIN, "kelm": None}))
    assert read_margin(path, "audio") == MARGIN
    assert read_margin(path, "kelm") is None


@pytest.mark.parametrize(
    "change",
    [
        {"valence": [0.3, -0.3]},
        {"arousal": [-3, 0]},
        {"valence": [0.1]},
        {"videos": 0},
        {"valence": [float(2**60), "x"]},
    ],
    ids=str,
)
def test_a_margin_that_can_not_be_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "margins.json"
    write_json(path, {"coverage": 0.9, "systems": {"audio": MARGIN._asdict() | change}})
    with pytest.raises(ValaroError, match=r"margins\.json: no margins .* Remove it"):
        read_margin(path, "audio")


@pytest.mark.parametrize("text", ["", "[]", '{"systems": []}', '{"coverage": 0.5, "systems": {}}', "\xff"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "margins.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ValaroError, match="no margins"):
        read_margin(path, "audio")
