"""Subjects, videos and places survive the way through the index file."""

from pathlib import Path

import numpy as np
import pytest

from stages.core.artefacts import read_json, write_arrays
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.errors import ValaroError

SUBJECTS = [
    Subject("12-24-1920x1080", "12-24-1920x1080", None, "validation"),
    Subject("6-30-1920x1080_left", "6-30-1920x1080", "left", "train"),
    Subject("6-30-1920x1080_right", "6-30-1920x1080", "right", "train"),
    Subject("video2", "video2", None, "test", "video2", ("video2_left",)),
    Subject("video86_2", "video86_2", None, "test", "video86"),
    Subject('Zoë’s "v1.2" take', 'Zoë’s "v1.2" take', None, "test"),
]
VIDEOS = {subject.video: f"corpus/videos/{subject.video}.mp4" for subject in SUBJECTS}
CORPUS = Corpus(SUBJECTS, VIDEOS)


def test_the_index_file_keeps_everything(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.write_corpus(CORPUS, facts={"frames": 12})
    assert workspace.corpus() == CORPUS
    assert read_json(workspace.corpus_file)["facts"] == {"frames": 12}


def test_without_an_index_the_command_to_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValaroError, match=r"corpus\.json is missing\. Run `dvc repro index`"):
        Workspace(tmp_path).corpus()


def test_subjects_by_split_and_by_video() -> None:
    assert [subject.name for subject in CORPUS.of("train", "test")] == [s.name for s in SUBJECTS[1:]]
    assert CORPUS.of() == []
    assert CORPUS.in_video("6-30-1920x1080") == SUBJECTS[1:3]
    assert CORPUS.in_video("6-30-1920x1080_left") == []


def test_a_video_is_a_recording_of_its_own_unless_it_is_a_part() -> None:
    assert [subject.recording for subject in SUBJECTS[2:5]] == ["6-30-1920x1080", "video2", "video86"]


def test_a_sibling_left_out_keeps_its_side_even_when_set_aside() -> None:
    assert CORPUS.sides_left_out(SUBJECTS[3]) == {"video2_left": "left"}
    assert CORPUS.sides_left_out(SUBJECTS[0]) == {}


def test_labelled_spans(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    labelled, time_s = np.array([0, 1, 1, 0, 0, 1], bool), np.array([0, 0.1, 0.2, 0.4, 0.5, 0.7])
    write_arrays(workspace.artefact("index", "a"), {"labelled": labelled, "time_s": time_s})
    assert workspace.labelled_spans_s("a").tolist() == [[0.1, 0.2], [0.7, 0.7]]
    write_arrays(workspace.artefact("index", "b"), {"labelled": ~labelled | labelled, "time_s": time_s})
    assert workspace.labelled_spans_s("b").tolist() == [[0, 0.7]]
    write_arrays(workspace.artefact("index", "c"), {"labelled": labelled & False, "time_s": time_s})
    assert workspace.labelled_spans_s("c").shape == workspace.labelled_spans_s("none").shape == (0, 2)


@pytest.mark.parametrize(
    ("call", "path"),
    [
        (lambda w: w.artefact("faces", "a.b"), "data/faces/a.b.h5"),
        (lambda w: w.artefact("decode", "a.b", ".flac"), "data/decode/a.b.flac"),
        (lambda w: w.artefact("traces/kelm", "a"), "data/traces/kelm/a.h5"),
        (lambda w: w.folder(), "data"),
        (lambda w: w.folder("fused", "rf"), "data/fused/rf"),
        (lambda w: w.model("static.safetensors"), "models/static.safetensors"),
        (lambda w: w.metrics("kelm.json"), "metrics/kelm.json"),
    ],
)
def test_places(call, path: str) -> None:  # type: ignore[no-untyped-def]
    assert call(Workspace()).as_posix() == path
    assert call(Workspace(Path("/private"))).as_posix() == f"/private/{path}"


def test_having_asks_every_stage_for_a_file(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for stage, subject in (("faces", SUBJECTS[0]), ("faces", SUBJECTS[1]), ("mouth", SUBJECTS[1])):
        path = workspace.artefact(stage, subject.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    assert workspace.having(SUBJECTS, "faces") == SUBJECTS[:2]
    assert workspace.having(SUBJECTS, "faces", "mouth") == SUBJECTS[1:2]
    assert workspace.having(SUBJECTS) == SUBJECTS
