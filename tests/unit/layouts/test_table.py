"""A corpus described by a CSV: what is found, what is said about lines that can't be used, and the index of it."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from stages.core.artefacts import read_arrays, read_json
from stages.core.corpus import Subject, Workspace
from stages.core.errors import BadInput, ValaroError
from stages.core.layouts import LAYOUTS
from stages.core.params import IndexParams, Params, load_params
from stages.engine.stage import Stage
from stages.index import run
from stages.layouts.listing import Listing
from stages.layouts.readers import READERS, list_corpus

HEAD = "video,label_file,split,person\n"
FRAMES, RATE_HZ = 20, 10
Read = Callable[..., Listing]


@pytest.fixture
def params(repository: Path) -> Params:
    return load_params(repository / "profiles" / "sample.yaml")


def settings_of(params: Params, corpus: Path, **changes: object) -> IndexParams:
    plain = {
        "corpus": str(corpus),
        "layout": "table",
        "table": "corpus.csv",
        "videos": ".",
        "annotations": ".",
        "lists": ".",
        "test_list": None,
    }
    return IndexParams.model_validate(params.index.model_dump() | plain | changes)


@pytest.fixture
def read(tmp_path: Path, params: Params) -> Read:
    """Lay out empty files and a table, and read it."""

    def build(
        lines: str, *, head: str = HEAD, files: str = "a.mp4 duo.mp4 a.txt b.txt", **changes: object
    ) -> Listing:
        for name in files.split():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(b"")
        (tmp_path / "corpus.csv").write_text(head + lines, encoding="utf-8")
        return list_corpus(settings_of(params, tmp_path, **changes), None)

    return build


def test_every_layout_has_a_reader() -> None:
    assert set(READERS) == set(LAYOUTS)


def test_people_videos_and_splits(read: Read, tmp_path: Path) -> None:
    listing = read(
        "a.mp4,a.txt,train,\nduo.mp4,c.txt,Validation,Left\nduo.mp4,b.txt,validation,right\n",
        files="a.mp4 duo.mp4 a.txt b.txt c.txt",
    )
    assert [one.subject for one in listing.found] == [
        Subject("a", "a", None, "train"),
        Subject("duo_left", "duo", "left", "validation", "duo"),
        Subject("duo_right", "duo", "right", "validation", "duo"),
    ]
    assert [one.label_file for one in listing.found] == [tmp_path / f"{n}.txt" for n in ("a", "c", "b")]
    assert (listing.notes, listing.annotations) == ([], 3)
    assert "1 train, 2 validation, 0 test" in listing.summary[0]


def test_a_word_beside_a_side_is_the_other_person(read: Read) -> None:
    listing = read("duo.mp4,a.txt,train,ben\nduo.mp4,b.txt,train,left\n")
    assert {one.subject.name: one.subject.leaves_out for one in listing.found} == {
        "duo_ben": ("duo_left",),
        "duo_left": (),
    }


def test_videos_of_a_participant_are_one_recording(read: Read) -> None:
    """Anna is in a and duo, Ben in duo and b; c is nobody's, d has a participant of its own."""
    lines = "a.mp4,1.txt,train,,anna\nduo.mp4,2.txt,train,left,anna\nduo.mp4,3.txt,train,right,ben\n"
    lines += "b.mp4,4.txt,train,,ben\nc.mp4,5.txt,train,,\nd.mp4,6.txt,validation,,a\n"
    files = "a.mp4 b.mp4 c.mp4 d.mp4 duo.mp4 1.txt 2.txt 3.txt 4.txt 5.txt 6.txt"
    listing = read(lines, head="video,label_file,split,person,participant\n", files=files)
    assert {one.subject.name: one.subject.recording for one in listing.found} == {
        **dict.fromkeys(("a", "duo_left", "duo_right", "b"), "a"),
        "c": "c",
        "d": "d",
    }
    assert listing.notes == []
    changed = lines.replace("b.mp4,4.txt,train", "b.mp4,4.txt,validation")
    (note,) = read(changed, head="video,label_file,split,person,participant\n", files=files).notes
    assert (
        note.problem == "one recording is in several splits: train (a, duo_left, duo_right), validation (b)"
    )


def test_labels_of_two_people_in_one_file_are_noted(read: Read) -> None:
    listing = read("duo.mp4,a.txt,train,left\na.mp4,b.txt,train,\nduo.mp4,a.txt,train,right\n")
    (note,) = listing.notes
    assert (note.subject, note.problem) == ("duo_right", "line 2 has the same label_file")
    assert note.file.endswith("corpus.csv:4")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"annotations": "v", "lists": "v"},
            r"corpus\.csv: in none of .*index\.annotations and index\.lists to `\.`",
        ),
        ({"annotations": "l", "lists": "v"}, r"corpus\.csv: in none of"),
        (
            {"annotations": "annotations"},
            r"annotations: no such folder of annotations\. Set .*index\.annotations; `\.`",
        ),
    ],
)
def test_what_dvc_does_not_watch_is_refused(read: Read, changes: dict[str, str], said: str) -> None:
    lay = {"lines": "v/a.mp4,l/a.txt,train,\n", "files": "v/a.mp4 l/a.txt"}
    with pytest.raises(ValaroError, match=said):
        read(**lay, **{"videos": "v"} | changes)
    assert len(read(**lay, **{"videos": "v", "annotations": "l"}).found) == 1


def test_a_table_of_another_make(read: Read) -> None:
    """A byte order mark, semicolons, other columns, blank lines, no column of persons."""
    listing = read(
        "2;train;a.txt;a.mp4\r\n;;;\r\n3;test;;duo.mp4\r\n", head="\ufeffage;Split;label_file;VIDEO\r\n"
    )
    assert [(one.subject.name, one.subject.split) for one in listing.found] == [
        ("a", "train"),
        ("duo", "test"),
    ]
    assert listing.found[1].label_file is None


def test_files_of_one_name_are_told_apart_by_their_folders(read: Read) -> None:
    listing = read(
        "p1/talk.mp4,a.txt,train,\np2/talk.mp4,b.txt,train,anna\n",
        files="p1/talk.mp4 p2/talk.mp4 a.txt b.txt",
    )
    assert [one.subject.name for one in listing.found] == ["p1-talk", "p2-talk_anna"]
    assert {one.subject.video for one in listing.found} == {"p1-talk", "p2-talk"}


@pytest.mark.parametrize("other", ["p/duo.avi", "p-duo.mp4"])
def test_two_videos_never_share_a_name(read: Read, other: str) -> None:
    """Their people have names of their own, so that one would be looked for in the other's video."""
    lines = f"p/duo.mp4,a.txt,train,left\nq/duo.mp4,b.txt,train,\n{other},c.txt,train,right\n"
    listing = read(lines, files=f"p/duo.mp4 q/duo.mp4 {other} a.txt b.txt c.txt")
    assert [one.subject.name for one in listing.found] == ["p-duo_left", "q-duo"]
    (note,) = listing.notes
    assert note.quarantined
    assert note.problem == f"the name of {other} would be that of p/duo.mp4: 'p-duo'"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("a.mp4,a.txt,dev,", "split is 'dev', must be one of train, validation, test"),
        ("b.mp4,a.txt,train,", "video 'b.mp4' isn't a file"),
        (",a.txt,train,", "video is empty"),
        ("a.txt,a.txt,train,", "doesn't have the suffix of a video"),
        ("a.mp4,,train,", "no label_file, and the split is train"),
        ("a.mp4,c.txt,train,", "label_file 'c.txt' isn't a file"),
        ("../a.mp4,a.txt,train,", "is outside the table's folder"),
        ("/etc/a.mp4,a.txt,train,", "is outside the table's folder"),
        ("a.mp4,..\\a.txt,train,", "is outside the table's folder"),
        ("a.mp4,a.txt,train,=cmd/x", "can't be a file name"),
        ("duo.mp4,a.txt,train,", "'duo' is in line 2 too"),
        ("duo.mp4,a.txt,train,anna", "two people of one video without a side"),
    ],
)
def test_a_line_that_cannot_be_used_is_noted_and_the_others_go_on(
    read: Read, line: str, problem: str
) -> None:
    listing = read(f"duo.mp4,b.txt,train,\n{line}\n")
    assert [one.subject.name for one in listing.found] == ["duo"]
    (note,) = listing.notes
    assert problem in note.problem
    assert note.file.endswith("corpus.csv:3")
    assert note.quarantined


def test_videos_outside_the_folder_that_is_watched_are_refused(read: Read) -> None:
    listing = read("v/a.mp4,a.txt,train,\nb.mp4,a.txt,train,\n", files="v/a.mp4 b.mp4 a.txt", videos="v")
    assert [one.subject.name for one in listing.found] == ["a"]
    assert "outside index.videos (v)" in listing.notes[0].problem


def test_the_rows_of_the_sample_submission_are_those_of_the_test_subjects(
    params: Params, tmp_path: Path
) -> None:
    for name in ("a.mp4", "é.mp4", "a.txt"):
        (tmp_path / name).touch()
    lines = "video,label_file,split,person\na.mp4,a.txt,train,\né.mp4,,test,\n"
    (tmp_path / "corpus.csv").write_text(lines, encoding="utf-8")
    decomposed = "e\u0301"  # as archives from macOS spell it
    rows = f"image_location,valence,arousal\n{decomposed}/00001.jpg,0,0\n{decomposed}/00002.jpg,0,0\n"
    (tmp_path / "sample.csv").write_text(rows, encoding="utf-8")
    listing = list_corpus(settings_of(params, tmp_path), "sample.csv")
    assert [one.rows_expected for one in listing.found] == [None, 2]
    assert listing.sample_rows == {"é": 2}


@pytest.mark.parametrize(
    ("head", "said"),
    [("video,label\n", "no column label_file, split"), ("", "no column video, label_file, split")],
)
def test_what_is_no_table_is_named(read: Read, head: str, said: str) -> None:
    with pytest.raises(BadInput, match=rf"corpus\.csv: line 1 has {said}.*Write a CSV with the columns"):
        read("", head=head)


def test_a_missing_table_and_one_without_use(read: Read, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"other\.csv: no such table\. Set index\.corpus and index\.table"):
        read("", table="other.csv")
    with pytest.raises(ValaroError, match=r"no line of it can be used.*'b\.mp4' isn't a file"):
        read("b.mp4,a.txt,train,\n")
    (tmp_path / "corpus.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="not UTF-8 text"):
        list_corpus(settings_of(load_params(Path("params.yaml")), tmp_path), None)


def film(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=RATE_HZ, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for k in range(FRAMES):
            image = np.full((64, 64, 3), 9 * k, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))


def test_the_stage_indexes_a_corpus_of_a_table(
    tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    corpus, rng = tmp_path / "mine", np.random.default_rng(0)
    lines, labels = [], {}
    for name, split in (("t1", "train"), ("t2", "train"), ("v1", "validation"), ("v2", "validation"), ("v3", "validation")):  # fmt: skip
        film(corpus / "talks" / f"{name}.mp4")
        labels[name] = rng.uniform(-1, 1, (FRAMES, 2)).round(4)
        (corpus / "labels").mkdir(exist_ok=True)
        np.savetxt(corpus / "labels" / f"{name}.txt", labels[name], fmt="%.4f", delimiter=",",
                   header="valence,arousal", comments="")  # fmt: skip
        lines.append(f"talks/{name}.mp4,labels/{name}.txt,{split},\n")
    film(corpus / "talks" / "new.mp4")
    (corpus / "corpus.csv").write_text(
        HEAD + "".join(lines) + "talks/new.mp4,,test,\ntalks/gone.mp4,,test,\n"
    )
    workspace = Workspace(tmp_path)
    changed = params.model_copy(
        update={
            "index": settings_of(params, corpus, videos="talks"),
            "submission": params.submission.model_copy(update={"sample_file": None}),
        }
    )
    with Stage("index", workspace.folder("index")) as stage:
        run(stage, workspace, changed)
    splits = {each.name: each.split for each in workspace.corpus().subjects}
    assert splits == {"t1": "train", "t2": "train", "v1": "validation", "v2": "validation", "v3": "validation", "new": "test"}  # fmt: skip
    for name, expected in labels.items():
        found = read_arrays(workspace.artefact("index", name))
        np.testing.assert_allclose(found["valence_arousal"], expected, atol=1e-6)
        np.testing.assert_allclose(found["time_s"], np.arange(FRAMES) / RATE_HZ, atol=1e-6)
    assert not read_arrays(workspace.artefact("index", "new"))["labelled"].any()
    notes = read_json(tmp_path / "data/index/notes.json")
    assert [note["file"].rpartition("/")[2] for note in notes if note["quarantined"]] == ["corpus.csv:8"]
