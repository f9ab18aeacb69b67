"""The submission has the organisers' rows, in their order, and says where nothing was predicted."""

import csv
from pathlib import Path

import numpy as np
import pytest

from stages.core.artefacts import read_json, write_arrays, write_json
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.errors import ValaroError
from stages.core.params import SubmissionParams
from stages.engine.stage import Stage
from stages.submission import folder_of, run

NAMES = ["a", 'quoted "b", twice', "Zoë 大"]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Three test subjects of three frames, fused; and a system that knows only the first."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    workspace = Workspace()
    subjects = [Subject(name, name, None, "test") for name in NAMES] + [Subject("v", "v", None, "validation")]
    workspace.write_corpus(Corpus(subjects, {}))
    write_json(workspace.metrics("evaluate.json"), {"best": "dwf_dynamic_audio"})
    for k, name in enumerate(NAMES):
        trace = np.array([[k, -k], [k + 1, 0.5], [0.25, k]], np.float32) / 4
        write_arrays(workspace.artefact("fused/dwf_dynamic_audio", name), {"valence_arousal": trace})
        write_arrays(workspace.artefact("index", name), {"row": np.arange(3)})
    write_arrays(workspace.artefact("traces/kelm", "a"), {"valence_arousal": np.full((3, 2), -0.125)})
    return workspace


def submit(
    workspace: Workspace, system: str = "best", sample: dict[str, int] | None = None
) -> list[list[str]]:
    """Run the stage; the rows of its CSV."""
    rows = [*(sample or {}).items()]
    workspace.write_corpus(workspace.corpus(), sample_rows=rows)
    settings = SubmissionParams(system=system, refit="none", sample_file=None)
    with Stage("submission", workspace.folder("submission")) as stage:
        run(stage, workspace, settings)
    with Path("data/submission/submission.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_every_frame_of_every_test_subject(workspace: Workspace) -> None:
    header, *rows = submit(workspace)
    assert header == ["image_location", "valence", "arousal"]
    assert [row[0] for row in rows] == [f"{name}/{k:05d}.jpg" for name in NAMES for k in (1, 2, 3)]
    assert rows[3][1:] == ["0.250000", "-0.250000"]
    assert read_json(Path("data/submission/notes.json")) == []


def test_plain_names_are_written_plainly(workspace: Workspace) -> None:
    submit(workspace)
    lines = Path("data/submission/submission.csv").read_bytes().split(b"\n")
    assert lines[:2] == [b"image_location,valence,arousal", b"a/00001.jpg,0.000000,0.000000"]


def test_the_organisers_rows_in_their_order(workspace: Workspace) -> None:
    """Surplus rows repeat the last frame; frames they don't ask for are left out."""
    expected = [f"{NAMES[2]}/{k:05d}.jpg" for k in (1, 2, 3, 4, 5)] + ["a/00001.jpg"]
    _, *rows = submit(workspace, sample={NAMES[2]: 5, "a": 1})
    assert [row[0] for row in rows] == expected
    assert rows[2][1:] == rows[3][1:] == rows[4][1:] == ["0.062500", "0.500000"]


def test_a_subject_without_a_prediction_is_zero_and_noted(workspace: Workspace) -> None:
    _, *rows = submit(workspace, "kelm", {"a": 2, "b": 2})
    assert [row[1:] for row in rows] == [["-0.125000", "-0.125000"]] * 2 + [["0.000000", "0.000000"]] * 2
    (note,) = read_json(Path("data/submission/notes.json"))
    assert note["subject"] == "b"
    assert "0, 0" in note["problem"]


def test_without_a_sample_it_has_a_row_for_every_frame_all_the_same(workspace: Workspace) -> None:
    _, *rows = submit(workspace, "kelm")
    assert [row[0] for row in rows] == [f"{name}/{k:05d}.jpg" for name in NAMES for k in (1, 2, 3)]
    assert {tuple(row[1:]) for row in rows[3:]} == {("0.000000", "0.000000")}


def test_systems_by_name(workspace: Workspace) -> None:
    assert folder_of("best", workspace) == "fused/dwf_dynamic_audio"
    assert folder_of("rf_dynamic_audio_kelm", workspace) == "fused/rf_dynamic_audio_kelm"
    assert folder_of("audio", workspace) == "traces/audio"
    with pytest.raises(ValaroError, match=r"'oracle' is none of best, dwf_dynamic_audio.*, kelm"):
        folder_of("oracle", workspace)


def test_rows_that_count_dropped_frames_repeat_the_frame_before(workspace: Workspace) -> None:
    write_arrays(workspace.artefact("index", "a"), {"row": np.array([0, 2, 3])})
    _, *rows = submit(workspace, sample={"a": 5})
    assert [float(row[1]) for row in rows] == [0, 0, 0.25, 0.0625, 0.0625]
