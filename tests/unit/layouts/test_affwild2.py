"""Which video, labels and split belong together, and what is said about the rest."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.core.corpus import Subject
from stages.core.errors import ValaroError
from stages.core.notes import Note
from stages.core.params import IndexParams
from stages.core.suffixes import VIDEO_SUFFIXES, VIDEO_SUFFIXES_OF
from stages.layouts.affwild2 import list_corpus
from stages.layouts.listing import Found
from stages.media.source import FORMATS

Lay = Callable[..., tuple[list[Found], list[Note]]]
LABELS = "valence,arousal\n0,0\n"


def settings_of(corpus: Path, **changes: object) -> IndexParams:
    """A corpus in which everything is looked for."""
    values = {
        "corpus": str(corpus),
        "videos": ".",
        "annotations": ".",
        "lists": ".",
        "test_list": "auto",
        "group_parts": True,
        "on_bad_input": "warn",
        "count_frames": "packets",
        "max_label_surplus": 0.01,
        "max_label_surplus_frames": 5,
    }
    return IndexParams.model_validate(values | changes)


def discover(root: Path, **changes: object) -> tuple[list[Found], list[Note]]:
    """Subjects and notes of videos/ and annotations/ below a folder."""
    listing = list_corpus(
        settings_of(root, **{"videos": "videos", "annotations": "annotations"} | changes), None
    )
    return listing.found, listing.notes


@pytest.fixture
def lay(tmp_path: Path) -> Lay:
    """Lay out a corpus of empty files and discover it."""

    def build(
        videos: list[str],
        train: list[str] | None = None,
        validation: list[str] | None = None,
        test: str | bytes | None = None,
    ) -> tuple[list[Found], list[Note]]:
        for folder, names, suffix in (
            ("videos", videos, ""),
            ("annotations/Train_Set", train or [], ".txt"),
            ("annotations/Validation_Set", validation or [], ".txt"),
        ):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            for name in names:
                path = tmp_path / folder / f"{name}{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(LABELS if suffix else path.name)
        if test is not None:
            (tmp_path / "test.txt").write_bytes(test if isinstance(test, bytes) else test.encode())
        return discover(tmp_path, test_list=None if test is None else "test.txt")

    return build


def told(notes: list[Note]) -> list[tuple[str, str, bool]]:
    """Subject, first words of the problem, quarantined."""
    return [(note.subject, " ".join(note.problem.split()[:3]), note.quarantined) for note in notes]


def test_a_corpus_as_the_organisers_ship_it(lay: Lay, tmp_path: Path) -> None:
    found, notes = lay(
        ["batch1/6-30-1920x1080.mp4", "batch1/107.avi", "batch2/deep/21-24.MP4", "batch2/video5.mp4"],
        train=["6-30-1920x1080_left", "6-30-1920x1080_right"],
        validation=["21-24"],
        test="\ufeffvideo5\r\n\r\n107\r\n",
    )
    assert [one.subject for one in found] == [
        Subject("107", "107", None, "test"),
        Subject("21-24", "21-24", None, "validation"),
        Subject("6-30-1920x1080_left", "6-30-1920x1080", "left", "train"),
        Subject("6-30-1920x1080_right", "6-30-1920x1080", "right", "train"),
        Subject("video5", "video5", None, "test"),
    ]
    assert [one.video_file.relative_to(tmp_path / "videos").as_posix() for one in found] == [
        *("batch1/107.avi", "batch2/deep/21-24.MP4", *["batch1/6-30-1920x1080.mp4"] * 2, "batch2/video5.mp4")
    ]
    assert [one.label_file and one.label_file.parent.name for one in found] == [
        *(None, "Validation_Set", "Train_Set", "Train_Set", None)
    ]
    assert notes == []


@pytest.mark.parametrize(
    ("videos", "subject", "side"),
    [
        (["a.mp4"], "a", None),
        (["a.mp4"], "a_left", "left"),
        (["a.mp4"], "a_right", "right"),
        (["a.mp4", "a_left.mp4"], "a_left", "left"),  # a video of its own
        (["a_left.mp4"], "a_left", "left"),
        (["left_right.mp4"], "left_right_right", "right"),
        (["a b.mp4"], "a b", None),
        (['it\'s "quoted", twice.mkv'], 'it\'s "quoted", twice', None),
        (["v1.2.final.mp4"], "v1.2.final", None),
        (["v1.2.mp4"], "v1.2_left", "left"),
        (["Zoë 大.webm"], "Zoë 大", None),
        (["[a]*?.mp4"], "[a]*?", None),
        (["-rf.mp4"], "-rf", None),
    ],
)
def test_names(lay: Lay, videos: list[str], subject: str, side: str | None) -> None:
    found, _ = lay(videos, train=[subject])
    (one,) = found
    assert (one.subject.name, one.subject.side) == (subject, side)
    own = f"{subject}.mp4" in videos or side is None
    assert one.subject.video == (subject if own else subject.rpartition("_")[0])
    assert one.subject.has_own_video == (own and side is not None)
    assert one.subject.recording == (subject if side is None else subject.rpartition("_")[0])


def test_siblings_and_parts_come_from_all_names(lay: Lay) -> None:
    found, _ = lay(
        ["video2.mp4", "video86_1.mp4", "video86_2.mp4"],
        train=["video2", "video2_left"],
        validation=["video86_1", "video86_2"],
    )
    assert {one.subject.name: (one.subject.recording, one.subject.leaves_out) for one in found} == {
        "video2": ("video2", ("video2_left",)),
        "video2_left": ("video2", ()),
        "video86_1": ("video86", ()),
        "video86_2": ("video86", ()),
    }


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_are_spelt_one_way(lay: Lay, form: str) -> None:
    video, label = (unicodedata.normalize(f, "Zoë") for f in (form, "NFC" if form == "NFD" else "NFD"))
    (one,), notes = lay([f"{video}.mp4"], train=[label])
    assert one.subject == Subject("Zo\u00eb", "Zo\u00eb", None, "train")
    assert notes == [note for note in notes if note.subject == "Validation_Set"]


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ({"videos": ["a.mp4", "b.mp4"]}, [("b", "neither labelled nor", False)]),
        ({"videos": ["a.mp4"], "train": ["a", "lost"]}, [("lost", "no video named", True)]),
        ({"videos": ["a.mp4"], "test": "v\n"}, [("v", "'v' is in", True)]),
        ({"videos": ["a.mp4"], "test": "lost\n"}, [("lost", "no video named", True)]),
        ({"videos": ["a.mp4"], "validation": ["v", "a"]}, [("a", "'a' is in", True)]),
        ({"videos": ["a.mp4"], "test": "a\n"}, [("a", "'a' is in", True)]),
        (
            {"videos": ["a.mp4", "x/b.mp4", "y/b.avi"], "train": ["a", "b", "b_left"]},
            [
                ("b", "2 videos are", True),
                ("b", "its video's name", True),
                ("b_left", "its video's name", True),
            ],
        ),
        ({"videos": ["a.mp4"], "test": "../a\n"}, [("../a", "'../a' can't be", True)]),
        ({"videos": ["a.mp4"], "test": ".hidden\n"}, [(".hidden", "'.hidden' can't be", True)]),
        ({"videos": ["a.mp4", ".hidden.mp4", ".trash/t.mp4", "notes.txt", "a.mp4.part"]}, []),
    ],
)
def test_what_does_not_fit_is_noted(
    lay: Lay, layout: dict[str, list[str]], expected: list[tuple[str, str, bool]]
) -> None:
    complete = {"train": ["a"], "validation": ["v"]} | layout | {"videos": [*layout["videos"], "v.mp4"]}
    found, notes = lay(**complete)
    assert {"a", "v"} <= {one.subject.name for one in found}
    assert sorted(told(notes)) == sorted(expected)
    assert all(note.file and note.remedy for note in notes)


def test_an_empty_split_is_noted(lay: Lay) -> None:
    _, notes = lay(["a.mp4"], train=["a"])
    assert told(notes) == [("Validation_Set", "no label files", False)]


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        ("videos", r"videos: no such folder of videos\. Set index\.corpus and index\.videos"),
        ("annotations", r"no such folder of annotations\. Set index\.corpus and index\.annotations"),
        ("annotations/Train_Set", r"no label files \(valence,arousal per frame\) .* or set index\.corpus"),
        ("test.txt", r"no such list of test subjects\. Set index\.test_list, or make it null"),
    ],
)
def test_a_missing_part_names_the_parameter(tmp_path: Path, missing: str, says: str) -> None:
    for folder in ("videos", "annotations/Train_Set"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "annotations/Train_Set/a.txt").write_text(LABELS)
    (tmp_path / "test.txt").write_text("")
    (tmp_path / missing).rename(tmp_path / "elsewhere")
    with pytest.raises(ValaroError, match=says):
        discover(tmp_path, test_list="test.txt")


def test_nothing_that_fits_together_stops_the_work(lay: Lay) -> None:
    with pytest.raises(ValaroError, match=r"none of its \d+ names has a video.*Check index\.corpus"):
        lay(["a.mp4"], train=["b"])


def test_a_test_list_in_another_encoding_is_named(lay: Lay) -> None:
    with pytest.raises(ValaroError, match=r"test\.txt: byte 2 is not UTF-8"):
        lay(["a.mp4"], train=["a"], test="Zoë\n".encode("latin-1"))


HARMFUL = {
    "=HYPERLINK(x)": "a formula",
    "+1": "a formula",
    "@SUM(1)": "a formula",
    "-2+3|cmd": "a formula",
    "two\nlines": "can't be printed",
    "red\x1b[31m": "can't be printed",
}


@pytest.mark.parametrize(
    ("split", "name"),
    # a list has one name a line
    [*(("train", name) for name in HARMFUL), *(("test", name) for name in HARMFUL if "\n" not in name)],
)
def test_a_name_that_could_do_harm_is_set_aside(lay: Lay, split: str, name: str) -> None:
    found, notes = lay(
        ["a.mp4", f"{name}.mp4"], train=["a", *([name] if split == "train" else [])], test=name
    )
    assert [one.subject.name for one in found] == ["a"]
    assert any(HARMFUL[name] in note.problem and note.quarantined for note in notes)
    assert all(part.isprintable() for note in notes for part in (note.subject, note.file, note.problem))


def test_a_name_that_is_no_text_is_set_aside(lay: Lay, tmp_path: Path) -> None:
    """A file name of another encoding: Python shows its bytes as halves of surrogate pairs."""
    lay(["a.mp4"], train=["a"])
    for folder, suffix in (("videos", ".mp4"), ("annotations/Train_Set", ".txt")):
        (tmp_path / folder / f"b\udcff{suffix}").touch()
    found, notes = discover(tmp_path, test_list=None)
    assert [one.subject.name for one in found] == ["a"]
    for note in notes:
        str(note).encode()


def test_every_format_that_is_opened_has_its_endings() -> None:
    sound_only = {"wav", "w64", "mp3", "aac", "ac3", "flac", "aiff", "amr", "au", "caf"}
    raw = {"m4v"}  # MPEG-4 without a container; files of that ending are MP4
    assert set(VIDEO_SUFFIXES_OF) == set(FORMATS.split(",")) - sound_only - raw


@pytest.mark.parametrize("suffix", sorted(VIDEO_SUFFIXES))
def test_every_ending_counts(lay: Lay, suffix: str) -> None:
    (one,), _ = lay([f"12-x{suffix.upper()}"], train=["12-x"])
    assert one.video_file.suffix == suffix.upper()


def test_labels_in_capitals_count(lay: Lay, tmp_path: Path) -> None:
    lay(["a.mp4", "b.mp4"], train=["a"])
    (tmp_path / "annotations/Train_Set/b.TXT").write_text(LABELS)
    found, _ = discover(tmp_path, test_list=None)
    assert [one.subject.name for one in found] == ["a", "b"]


def test_a_file_of_another_ending_is_named(lay: Lay) -> None:
    _, notes = lay(["a.mp4", "lost.m4a"], train=["a", "lost_left"])
    (note,) = [note for note in notes if note.quarantined]
    assert note.problem.endswith("; lost.m4a doesn't have the suffix of a video")


def test_copies_in_several_folders_count_once(lay: Lay, tmp_path: Path) -> None:
    names = [f"v{k}" for k in range(7)]
    lay([f"{folder}/{name}.mp4" for folder in ("AUSet", "ExpressionSet", "VASet") for name in names], names)
    found, notes = discover(tmp_path, test_list=None)
    assert [one.subject.name for one in found] == names
    assert {one.video_file.parent.name for one in found} == {"AUSet"}
    (note,) = [note for note in notes if note.subject == "copies"]
    assert note.problem.startswith("7 videos (v0, v1, v2, v3, v4 ...) are in several folders")
    (tmp_path / "videos/VASet/v3.mp4").write_text("another encoding")
    found, notes = discover(tmp_path, test_list=None)
    assert [one.subject.name for one in found] == [name for name in names if name != "v3"]
    assert [note.subject for note in notes if note.quarantined] == ["v3", "v3"]


def test_links_to_folders_are_followed_once(lay: Lay, tmp_path: Path) -> None:
    lay(["v.mp4"], train=["v"])
    (tmp_path / "annotations/Train_Set/a.txt").write_text(LABELS)
    disk = tmp_path / "disk"
    disk.mkdir()
    (disk / "a.mp4").touch()
    (tmp_path / "videos/batch1").symlink_to(disk)
    (disk / "loop").symlink_to(tmp_path / "videos")
    (one, _), notes = discover(tmp_path, test_list=None)
    assert one.video_file == tmp_path / "videos/batch1/a.mp4"
    assert [note.subject for note in notes] == ["Validation_Set"]


def test_a_link_that_leads_to_itself_hides_no_other_file(lay: Lay, tmp_path: Path) -> None:
    lay(["v.mp4"], train=["v"])
    (tmp_path / "videos/itself").symlink_to("itself")
    (tmp_path / "videos/gone").symlink_to("nowhere")
    found, _ = discover(tmp_path, test_list=None)
    assert [one.subject.name for one in found] == ["v"]
