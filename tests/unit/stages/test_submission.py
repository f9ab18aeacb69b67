"""The submission has the organisers' rows, in their order, and says where nothing was predicted."""

import csv
from pathlib import Path

import numpy as np
import pytest

from stages.core.artefacts import read_json, write_arrays, write_json
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.errors import BadInput, ValaroError
from stages.core.params import SubmissionParams
from stages.engine.stage import Stage
from stages.submission import HEADER, folder_of, rows_expected, run

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
    write_arrays(workspace.artefact("traces/kelm", "a"), {"valence_arousal": np.full((3, 2), -0.125)})
    return workspace


def submit(workspace: Workspace, system: str = "best", sample: list[str] | None = None) -> list[list[str]]:
    """Run the stage; the rows of its CSV."""
    if sample is not None:
        with Path("sample.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([HEADER, *([line, "-5", "-5"] for line in sample)])
    settings = SubmissionParams(system=system, sample_file="sample.csv" if sample is not None else None)
    with Stage("submission", workspace.folder("submission")) as stage:
        run(stage, workspace, settings, Path())
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
    _, *rows = submit(workspace, sample=expected)
    assert [row[0] for row in rows] == expected
    assert rows[2][1:] == rows[3][1:] == rows[4][1:] == ["0.062500", "0.500000"]


def test_a_subject_without_a_prediction_is_zero_and_noted(workspace: Workspace) -> None:
    _, *rows = submit(workspace, "kelm", [f"{name}/{k:05d}.jpg" for name in ("a", "b") for k in (1, 2)])
    assert [row[1:] for row in rows] == [["-0.125000", "-0.125000"]] * 2 + [["0.000000", "0.000000"]] * 2
    (note,) = read_json(Path("data/submission/notes.json"))
    assert note["subject"] == "b"
    assert "0, 0" in note["problem"]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["a/00001.jpg", "a/00003.jpg"], r"line 3: \['a/00003.jpg'\] isn't frame 2"),
        (["a/1.jpg"], "isn't frame 1"),
        (["/00001.jpg"], "isn't frame 1"),
        (["00001.jpg"], "isn't frame 1"),
        ([""], "isn't frame 1"),
    ],
)
def test_a_sample_file_of_another_form_is_refused(workspace: Workspace, lines: list[str], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        submit(workspace, sample=lines)


def test_a_sample_file_may_lack_its_header_or_lie_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "sample.csv").write_text("\ufeffa/00001.jpg,-5,-5\r\na/00002.jpg,-5,-5\r\n", encoding="utf-8")
    assert rows_expected(tmp_path / "sample.csv") == {"a": 2}
    with pytest.raises(BadInput, match=r"no such file\. Set submission\.sample_file, or make it null"):
        rows_expected(tmp_path / "nowhere.csv")


def test_systems_by_name(workspace: Workspace) -> None:
    assert folder_of("best", workspace) == "fused/dwf_dynamic_audio"
    assert folder_of("rf_dynamic_audio_kelm", workspace) == "fused/rf_dynamic_audio_kelm"
    assert folder_of("audio", workspace) == "traces/audio"
    with pytest.raises(ValaroError, match=r"'oracle' is none of best, dwf_dynamic_audio.*, kelm"):
        folder_of("oracle", workspace)


@pytest.mark.parametrize("content", [b"a/00001.jpg,\x80", b'"' + b"x" * 200_000])
def test_a_sample_file_that_is_no_csv_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "sample.txt"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"sample\.txt: not a CSV in UTF-8"):
        rows_expected(path)
