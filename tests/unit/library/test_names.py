"""Every recording has a name of its own, which stays the same from run to run."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from stages.core.artefacts import write_json
from stages.core.errors import ValaroError
from stages.exports.whose import Whose, recording_of, source_of, summary_in, whose
from valaro.recordings.names import names_for

NAMES: dict[str, dict[str, str]] = {
    "names of their own": {"a.mp4": "a", "b/c.mp4": "c", "a.b.mp4": "a.b", "d": "d"},
    "dots": {"...mp4": "...mp4", "..mp4": "..mp4"},
    "a folder each": {"s/P01/cam.mp4": "P01_cam", "s/P02/cam.avi": "P02_cam", "s/P02/screen.mp4": "screen"},
    "a folder above": {"P1/video/cam.mp4": "P1_video_cam", "P2/video/cam.mp4": "P2_video_cam"},
    "equally many folders": {
        "P1/day1/cam.mp4": "P1_day1_cam",
        "P1/day2/cam.mp4": "P1_day2_cam",
        "P2/day1/cam.mp4": "P2_day1_cam",
    },
    "of different depth": {"s/cam.mp4": "s_cam", "s/P1/cam.mp4": "P1_cam"},
    "capitals": {"x/Cam.mp4": "x_Cam", "y/cam.mp4": "y_cam"},
    "accents": {"x/Zoe\u0308.mp4": "x_Zoe\u0308", "y/Zo\u00eb.mp4": "y_Zo\u00eb"},
    "sound beside video": {"x/talk.mp4": "talk_mp4", "x/talk.wav": "talk_wav"},
    "and in several folders": {"x/t.mp4": "x_t_mp4", "x/t.wav": "x_t_wav", "y/t.mp4": "y_t_mp4"},
    "a_b beside a/b": {"r/a/b.mp4": "r_a_b", "r/c/b.mp4": "r_c_b", "r/a_b.mp4": "a_b"},
    "x_a_b beside x/a/b": {
        "r/x/a/b.mp4": "r_x_a_b",
        "r/z/a/b.mp4": "r_z_a_b",
        "r/x/a_b.mp4": "x_a_b",
        "r/y/a_b.mp4": "y_a_b",
    },
    "cells of a table": {"x/=a.mp4": "x_=a", "y/'=a.mp4": "y_'=a"},
    "files beside the folders": {"x/traces.csv.mp4": "x_traces.csv", "x/traces.mp4": "traces"},
    "up and down": {"s/P02/../P01/cam.mp4": "P01_cam", "s/P02/cam.mp4": "P02_cam"},
}


@pytest.mark.parametrize("case", NAMES)
def test_the_folders_that_tell_them_apart_are_in_the_name(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recordings, expected = [Path(name) for name in NAMES[case]], list(NAMES[case].values())
    assert named(recordings, tmp_path) == expected
    assert named([path.absolute() for path in recordings], tmp_path) == expected
    assert named(recordings[::-1], tmp_path / "none yet") == expected[::-1]


@pytest.mark.parametrize(
    "names", [["a.mp4", "A.mp4"], ["Zoe\u0308.mp4", "Zo\u00eb.mp4"], ["a\n.mp4", "a\\n.mp4"]]
)
def test_names_that_nothing_tells_apart_are_refused(names: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValaroError, match="would have the same name"):
        names_for([tmp_path / name for name in names])


def test_no_name_leaves_the_folder(tmp_path: Path) -> None:
    for odd in ("../../cam.mp4", "/cam.mp4", "/..cam.mp4", "./cam.mp4", "....mp4"):
        found = names_for([Path(odd), tmp_path / "x/cam.mp4", tmp_path / "x/....mp4"])
        assert all("/" not in name and name.strip(".") for name in found.values())


def named(recordings: Sequence[Path], out: Path) -> list[str]:
    """Their names in the folder of results, in their order."""
    found = names_for(recordings, out)
    assert list(found) == [*recordings]
    return list(found.values())


def record(*paths: Path) -> None:
    """A file each, of other content."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(path) + bytes(200_000))


def predict(recordings: Sequence[Path], out: Path) -> list[str]:
    """Leave results, as `valaro predict` does, and return their names."""
    out.mkdir(exist_ok=True)
    names = named(recordings, out)
    for recording, name in zip(recordings, names, strict=True):
        leave(out / name, recording)
    return names


def leave(folder: Path, recording: Path, **more: object) -> None:
    """The summary of a recording in its folder of results."""
    folder.mkdir(exist_ok=True)
    known = {"versions": {"valaro": "1"}, "file": "cam.mp4", "source": source_of(recording, folder)}
    write_json(folder / f"{folder.name}.json", known | more)


@pytest.fixture
def cams(tmp_path: Path) -> list[Path]:
    """The same file name for three participants."""
    paths = [tmp_path / f"s/P0{k}/cam.mp4" for k in (1, 2, 3)]
    record(*paths)
    return paths


def test_a_result_keeps_its_name_whatever_is_given_with_it(cams: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert [predict([one], out) for one in cams[:2]] == [["cam"], ["P02_cam"]]
    assert predict(cams, out) == ["cam", "P02_cam", "P03_cam"]
    assert predict(cams[1:], out) == ["P02_cam", "P03_cam"]
    assert predict([cams[2]], out) == ["P03_cam"]


def test_a_new_recording_gets_the_name_that_it_has_among_all(cams: list[Path], tmp_path: Path) -> None:
    predict(cams[:2], tmp_path / "out")
    assert predict(cams, tmp_path / "out") == ["P01_cam", "P02_cam", "P03_cam"]


def test_a_new_recording_alone_is_named_as_its_equals_are(cams: list[Path], tmp_path: Path) -> None:
    predict(cams[:2], tmp_path / "out")
    my_talk, talk = (tmp_path / f"s/P01/{name}.mp4" for name in ("my_talk", "talk"))
    record(my_talk, talk)
    assert predict(cams[2:], tmp_path / "out") == ["P03_cam"]
    assert [predict([one], tmp_path / "out") for one in (my_talk, talk)] == [["my_talk"], ["talk"]]


def test_results_of_another_study_with_the_same_names_are_not_taken(cams: list[Path], tmp_path: Path) -> None:
    predict(cams, tmp_path / "out")
    others = [tmp_path / f"t/P0{k}/cam.mp4" for k in (1, 2, 4)]
    record(*others)
    assert predict(others, tmp_path / "out") == ["t_P01_cam", "t_P02_cam", "P04_cam"]


def test_results_are_recognised_after_a_move_and_from_elsewhere(
    cams: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    predict(cams, out)
    (tmp_path / "s").rename(tmp_path / "moved")
    moved = [tmp_path / "moved" / one.parent.name / one.name for one in cams]
    assert named(moved, out) == ["P01_cam", "P02_cam", "P03_cam"]
    monkeypatch.chdir(moved[1].parent)
    assert named([Path("cam.mp4")], Path("../../out")) == ["P02_cam"]
    (tmp_path / "both").mkdir()
    for folder in ("moved", "out"):
        (tmp_path / folder).rename(tmp_path / "both" / folder)
    assert named([Path("cam.mp4")], tmp_path / "both/out") == ["P02_cam"]


def test_a_copy_of_a_recording_is_another_one(cams: list[Path], tmp_path: Path) -> None:
    """The bytes are equal, but both are there."""
    predict(cams[:1], tmp_path / "out")
    shutil.copy(cams[0], cams[1])
    assert predict(cams[1:2], tmp_path / "out") == ["P02_cam"]


def test_what_is_no_file_is_not_read(cams: list[Path], tmp_path: Path) -> None:
    """A pipe would wait for its writer."""
    predict(cams[:1], tmp_path / "out")
    for one in cams[:2]:
        one.unlink()
        os.mkfifo(one)
        assert whose(tmp_path / "out/cam", one) is Whose.UNKNOWN


def test_capitals_and_people_take_a_name_too(cams: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for folder, name in (("Cam", "Cam"), ("cam-person-2", "cam")):
        leave(out / folder, cams[0])
        assert named([cams[1]], out) == ["P02_cam"]
        assert named([cams[0]], out) == [name]
        shutil.rmtree(out / folder)


def test_links_to_one_file_are_recordings_of_their_own(cams: list[Path], tmp_path: Path) -> None:
    """As data management tools make them of equal files."""
    for one in cams[1:]:
        one.unlink()
        one.symlink_to(cams[0])
    for _run in range(2):
        assert predict(cams, tmp_path / "out") == ["P01_cam", "P02_cam", "P03_cam"]


def _append(_folder: Path, video: Path) -> None:
    with video.open("ab") as file:
        file.write(b"more")


def _change_the_end(_folder: Path, video: Path) -> None:
    video.write_bytes(video.read_bytes()[:-1] + b"!")


def _say(folder: Path, **source: str) -> None:
    summary = summary_in(folder)
    assert summary is not None
    summary["source"] |= source
    write_json(folder / "cam.json", summary)


GONE, OTHERS = "../../gone.mp4", "../../s/P02/cam.mp4"
STATES = {
    "this": (lambda folder, video: None, Whose.THIS),
    "longer": (_append, Whose.CHANGED),
    "changed": (_change_the_end, Whose.CHANGED),
    "moved": (lambda folder, video: _say(folder, path=GONE), Whose.THIS),
    "moved and changed": (lambda folder, video: _say(folder, path=GONE, digest="0"), Whose.OTHER),
    "another": (lambda folder, video: _say(folder, path=OTHERS), Whose.OTHER),
    "hostile": (lambda folder, video: _say(folder, path="%00", digest="0"), Whose.OTHER),
    "damaged": (lambda folder, video: (folder / "cam.json").write_bytes(b"\xff{"), Whose.UNKNOWN),
    "deep": (lambda folder, video: (folder / "cam.json").write_text("[" * 100_000), Whose.UNKNOWN),
    "of another program": (lambda folder, video: write_json(folder / "cam.json", {}), Whose.UNKNOWN),
    "of an earlier version": (
        lambda folder, video: leave(folder, video, source=None, file=str(video)),
        Whose.THIS,
    ),
    "of that, another": (
        lambda folder, video: leave(folder, video, source=None, file=str(folder)),
        Whose.OTHER,
    ),
    "of that, from elsewhere": (lambda folder, video: leave(folder, video, source=None), Whose.UNKNOWN),
    "of that, without a file": (
        lambda folder, video: leave(folder, video, source=None, file=None),
        Whose.UNKNOWN,
    ),
}


@pytest.mark.parametrize("state", STATES)
def test_whose_results_a_folder_holds(
    state: str, cams: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    predict(cams[:1], tmp_path / "out")
    happen, expected = STATES[state]
    happen(tmp_path / "out/cam", cams[0])
    assert whose(tmp_path / "out/cam", cams[0]) is expected


def test_the_way_to_a_recording_survives_any_name(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"100% caf\xe9 #1/?.mp4")
    record(odd)
    leave(tmp_path / "a", odd)
    summary = summary_in(tmp_path / "a")
    assert summary is not None
    assert recording_of(tmp_path / "a", summary) == odd
    assert summary["source"]["path"].isascii()
