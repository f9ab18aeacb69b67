"""Recordings in several splits, and videos that are there twice, are noted in every layout and by the doctor."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stages.core.notes import Note
from stages.core.params import IndexParams, Params, load_params
from stages.layouts.readers import list_corpus
from valaro.commands.corpus_check import check_corpus

Lay = Callable[..., tuple[Params, list[Note]]]


@pytest.fixture
def lay(tmp_path: Path, repository: Path) -> Lay:
    """Lay out a corpus of files with some content; its parameters and notes."""

    def build(
        videos: dict[str, str], train: str, validation: str, **changes: object
    ) -> tuple[Params, list[Note]]:
        (tmp_path / "videos").mkdir()
        for name, content in videos.items():
            (tmp_path / "videos" / name).write_text(content)
        for split, names in (("Train", train), ("Validation", validation)):
            for name in names.split():
                path = tmp_path / "annotations" / f"{split}_Set" / f"{name}.txt"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("valence,arousal\n0,0\n")
        params = load_params(repository / "profiles" / "sample.yaml")
        plain = {"corpus": str(tmp_path), "test_list": None}
        index = IndexParams.model_validate(params.index.model_dump() | plain | changes)
        submission = params.submission.model_copy(update={"sample_file": None})
        changed = params.model_copy(update={"index": index, "submission": submission})
        return changed, list_corpus(index, None).notes

    return build


def test_a_recording_in_two_splits_is_noted(lay: Lay) -> None:
    params, notes = lay(
        {"duo.mp4": "d", "v1_1.mp4": "v", "v1_2.mp4": "vv"}, "duo_left v1_1", "duo_right v1_2"
    )
    assert [(note.subject, note.problem.partition(": ")[2], note.quarantined) for note in notes] == [
        ("duo", "train (duo_left), validation (duo_right)", False),
        ("v1", "train (v1_1), validation (v1_2)", False),
    ]
    said = [remark.words for remark in check_corpus(params) if "several splits" in remark.words]
    (words,) = said
    assert words.startswith("recordings in several splits, or there twice: 2; the first: ")


def test_parts_that_are_not_grouped_are_no_recording(lay: Lay) -> None:
    _, notes = lay({"v1_1.mp4": "v", "v1_2.mp4": "vv"}, "v1_1", "v1_2", group_parts=False)
    assert notes == []


def test_a_video_under_two_names_is_noted(lay: Lay) -> None:
    videos = {"a.mp4": "abc", "b.mp4": "xyz", "c.mp4": "abc", "duo.mp4": "1234", "duo_left.mp4": "1234"}
    _, notes = lay(videos, "a b duo duo_left", "c")
    (note,) = notes
    assert (note.subject, Path(note.file).name) == ("a", "a.mp4")
    assert note.problem.endswith("c.mp4")
