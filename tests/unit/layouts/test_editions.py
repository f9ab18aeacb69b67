"""What the organisers of the 2nd to 10th edition sent is found without renaming, wherever it lies."""

from pathlib import Path

import pytest

from stages.core.errors import BadInput, ValaroError
from stages.core.params import IndexParams
from stages.layouts.affwild2 import list_corpus
from stages.layouts.editions import edition_of
from stages.layouts.listing import Listing
from stages.layouts.search import PICTURES_SEEN, files_below
from stages.layouts.texts import rows_expected

LABELS = "valence,arousal\n0,0\n"
FORM = "image_location,valence,arousal\nt/00001.jpg,0.5,-0.5\nt/00002.jpg,0.5,-0.5\n"
RELEASE = "Valence_Arousal_Estimation_Challenge_test_set_release.txt"
FORMS, LISTS = "test_set/prediction_files_format", "test_set/names_of_videos_in_each_test_set"

# edition -> where the labels, the test list and the sample submission lie
EDITIONS = {
    2: ("annotations/VA_Set", "test_set_VA_Challenge.txt", None),
    3: ("Third ABAW Annotations/VA_Estimation_Challenge", f"test/{RELEASE}", None),
    5: (
        "5th_ABAW_Annotations/VA_Estimation_Challenge",
        f"names_of_videos_in_each_test_set/{RELEASE}",
        "test_set_examples/CVPR_5th_ABAW_VA_test_set_example.txt",
    ),
    6: (
        "6th ABAW Annotations/VA_Estimation_Challenge",
        f"{LISTS}/{RELEASE}",
        f"{FORMS}/CVPR_6th_ABAW_VA_test_set_sample.txt",
    ),
    8: ("8th ABAW Annotations/VA_Estimation_Challenge", RELEASE, "CVPR_8th_ABAW_VA_test_set_sample.txt"),
    9: ("ABAW Annotations/VA_Estimation_Challenge", RELEASE, "ICCV_9th_ABAW_VA_test_set_sample.txt"),
    10: ("10th ABAW Annotations/VA_Estimation_Challenge", RELEASE, "ABAW_VA_test_set_sample.txt"),
}


def settings_of(corpus: Path, **changes: object) -> IndexParams:
    values: dict[str, object] = {
        **{"corpus": str(corpus), "videos": ".", "annotations": ".", "lists": ".", "test_list": "auto"},
        **{"group_parts": True, "on_bad_input": "warn", "count_frames": "packets"},
        **{"max_label_surplus": 0.01, "max_label_surplus_frames": 5},
    }
    return IndexParams.model_validate(values | changes)


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def lay(corpus: Path, edition: int) -> None:
    """An edition's files beside those of the other tasks, crops, and what an archive of macOS leaves."""
    labels, names, form = EDITIONS[edition]
    for name, split in (("a", "Train_Set"), ("v", "Validation_Set")):
        put(corpus / labels / split / f"{name}.txt", LABELS)
        put(corpus / f"batch1/{name}.mp4", name)
    put(corpus / "batch2/t.avi", "t")
    put(corpus / names, "t\n")
    if form:
        put(corpus / form, FORM)
    others = {"AU_Detection_Challenge": "AU1,AU2\n0,1\n", "EXPR_Recognition_Challenge": "Neutral,Anger\n0\n"}
    for task, head in others.items():
        put((corpus / labels).parent / task / "Train_Set/a.txt", head)
        put(corpus / f"{LISTS}/{task}_test_set_release.txt", "other\n")
    put(corpus / f"{FORMS}/CVPR_6th_ABAW_Expr_test_set_sample.txt", "image_location,Neutral\nx/00001.jpg,0\n")
    put(corpus / "__MACOSX/._a.avi", "x")
    for k in range(3):
        put(corpus / f"cropped_aligned/a/{k:05d}.jpg", "")


def taken(corpus: Path, sample_file: str | None = "auto", **changes: object) -> Listing:
    return list_corpus(settings_of(corpus, **changes), sample_file)


@pytest.mark.parametrize("edition", EDITIONS)
def test_an_edition_is_found_as_it_was_sent(tmp_path: Path, edition: int) -> None:
    lay(tmp_path, edition)
    listing = taken(tmp_path)
    assert {one.subject.name: one.subject.split for one in listing.found} == {
        "a": "train",
        "t": "test",
        "v": "validation",
    }
    labels, names, form = EDITIONS[edition]
    assert listing.sample_rows == ({"t": 2} if form else {})
    assert [one.rows_expected for one in listing.found] == [None, 2 if form else None, None]
    assert [str(one.label_file.relative_to(tmp_path)) for one in listing.found if one.label_file] == [
        f"{labels}/Train_Set/a.txt",
        f"{labels}/Validation_Set/v.txt",
    ]
    told = "".join(listing.summary)
    assert told.startswith("1 / 1 / 1 annotations, 3 videos")
    assert f"test list: {names}; sample submission: {form or 'none'}" in told
    assert listing.notes == []


@pytest.mark.parametrize(("edition", "word"), [(6, "6th"), (8, "8th"), (9, "9th"), (10, "10th")])
def test_what_is_missing_of_the_edition_is_said(tmp_path: Path, edition: int, word: str) -> None:
    lay(tmp_path, edition)
    first, second, _ = taken(tmp_path).summary
    assert first == f"1 / 1 / 1 annotations, 3 videos ({word} ABAW)"
    assert second == (
        f"the {word} ABAW has 356 / 76 / 162 of 578 videos; missing: 355 train annotations, "
        "75 validation annotations, 161 test annotations, 575 videos"
    )


def test_the_newest_of_several_editions_is_taken_and_the_others_named(tmp_path: Path) -> None:
    lay(tmp_path, 6)
    lay(tmp_path, 10)
    listing = taken(tmp_path)
    assert "(10th ABAW)" in listing.summary[0]
    assert "6th ABAW Annotations" in "".join(note.problem for note in listing.notes)
    chosen = taken(tmp_path, annotations="6th ABAW Annotations")
    assert "(6th ABAW)" in chosen.summary[0]


@pytest.mark.parametrize(
    ("path", "edition"),
    [
        ("6th ABAW Annotations/VA", 6),
        ("Third_ABAW_Annotations", 3),
        ("CVPR_5th_ABAW_VA_test_set_example.txt", 5),
        ("10thABAW", 10),
        ("annotations/VA_Set", None),
        ("16th ABAW", 16),
    ],
)
def test_numbers_of_editions(path: str, edition: int | None) -> None:
    assert edition_of(Path("unnumbered"), Path(path)) == edition


def test_the_sample_submission_stands_in_for_a_missing_list(tmp_path: Path) -> None:
    lay(tmp_path, 8)
    (tmp_path / RELEASE).unlink()
    listing = taken(tmp_path)
    assert [one.subject.name for one in listing.found] == ["a", "t", "v"]
    assert "test list: none" in listing.summary[-1]


def test_a_list_and_a_sample_of_different_editions_are_noted(tmp_path: Path) -> None:
    lay(tmp_path, 8)
    put(tmp_path / RELEASE, "t\na2\n")
    problems = [note.problem for note in taken(tmp_path).notes if not note.quarantined]
    assert problems == [f"1 subject (a2) is in {RELEASE} only"]


@pytest.mark.parametrize(
    ("changes", "sample", "says"),
    [
        ({"test_list": "no.txt"}, None, r"no\.txt: no such list of test subjects\. Set index\.test_list"),
        ({}, "no.txt", r"no\.txt: no such sample submission\. Set submission\.sample_file, or make it null"),
        ({"lists": "none"}, None, r"none: no such folder of lists\. Set index\.corpus and index\.lists"),
    ],
)
def test_what_a_parameter_names_must_be_there(
    tmp_path: Path, changes: dict[str, object], sample: str | None, says: str
) -> None:
    lay(tmp_path, 6)
    with pytest.raises(ValaroError, match=says):
        taken(tmp_path, sample, **changes)


def test_labels_of_other_tasks_only_are_named(tmp_path: Path) -> None:
    lay(tmp_path, 6)
    for path in (tmp_path / "6th ABAW Annotations/VA_Estimation_Challenge").rglob("*.txt"):
        path.unlink()
    with pytest.raises(
        ValaroError, match=r"AU_Detection_Challenge, .*EXPR_Recognition_Challenge belong to other"
    ):
        taken(tmp_path)


def test_crops_cost_nothing(tmp_path: Path) -> None:
    """No folder of pictures is read to its end, whatever it is called."""
    lay(tmp_path, 6)
    for k in range(PICTURES_SEEN + 50):
        put(tmp_path / f"faces of 2024/a/{k:05d}.png", "")
    (tmp_path / "faces of 2024/a/zz.mp4").touch()
    (tmp_path / "cropped_aligned/hidden.mp4").touch()
    videos = [path.name for path in files_below(tmp_path).videos]
    assert "hidden.mp4" not in videos
    assert videos.count("zz.mp4") <= 1  # the order of a folder is the file system's


@pytest.mark.parametrize(
    "content",
    [
        "image_location,valence,arousal\nt/00001.jpg,0,0\nt/00002.jpg,0,0\n\n",
        "image_location, valence, arousal\r\nt/00001.jpg, 0.5, 0\r\nt/00002.jpg, 0, 0\r\n\r\n\r\n",
        "t/00001.jpg , 0,0\nt/00002.jpg,0,0\n , ,\n",
    ],
)
def test_a_sample_file_may_have_blanks(tmp_path: Path, content: str) -> None:
    put(tmp_path / "sample.txt", content)
    assert rows_expected(tmp_path / "sample.txt") == {"t": 2}


def test_a_blank_line_within_a_sample_file_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "sample.txt", "t/00001.jpg,0,0\n\nt/00002.jpg,0,0\n")
    with pytest.raises(BadInput, match=r"line 2 is blank\. Remove it"):
        rows_expected(tmp_path / "sample.txt")
