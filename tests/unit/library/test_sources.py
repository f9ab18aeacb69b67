"""Files, folders and patterns become a list of recordings."""

from pathlib import Path

import pytest

from stages.core.errors import BadInput
from stages.core.suffixes import VIDEO_SUFFIXES
from valaro.recordings.kinds import kind_of
from valaro.sources import is_many, missing, recordings_in
from valaro.suggestions import unknown


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A folder of recordings, and of what is none."""
    folder = tmp_path / "clips"
    (folder / "deeper").mkdir(parents=True)
    (folder / "folder.mp4").mkdir()
    for name in ("b.MP4", "a.mov", "c.wav", "d.png", "notes.txt", ".hidden.mp4", "deeper/e.mp4"):
        (folder / name).touch()
    return folder


CASES = {
    "a folder": (["."], ["a.mov", "b.MP4", "c.wav", "d.png"]),
    "a pattern": (["*.m*"], ["a.mov"]),
    "a pattern of folders": (["**/*.mp4"], ["deeper/e.mp4"]),
    "files keep their order": (["c.wav", "a.mov"], ["c.wav", "a.mov"]),
    "each once": (["b.MP4", ".", "b.MP4"], ["b.MP4", "a.mov", "c.wav", "d.png"]),
    "a file may have any ending, and may be missing": (["notes.txt", "none.mp4"], ["notes.txt", "none.mp4"]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_the_sources_name(case: str, clips: Path) -> None:
    sources, expected = CASES[case]
    found = recordings_in([clips / source for source in sources])
    assert found == [clips / name for name in expected]


@pytest.mark.parametrize(("source", "said"), [("deeper/none", "--recursive"), ("*.xyz", "matches no")])
def test_a_place_without_recordings_is_refused(source: str, said: str, clips: Path) -> None:
    (clips / "deeper/none").mkdir()
    with pytest.raises(BadInput, match=rf"{said}.*\.mp4"):
        recordings_in([clips / source])


def leave_results(folder: Path) -> list[Path]:
    """What a run with film, plot and page leaves of a recording, and a file that it doesn't."""
    folder.mkdir(parents=True)
    (folder / f"{folder.name}.json").write_text('{"versions": {"valaro": "0.1.0"}}')
    files = [folder / f"{folder.name}{ending}" for ending in (".mp4", ".playable.mp4", ".png", ".csv")]
    for file in (*files, folder / "other.mp4"):
        file.touch()
    return files


def test_films_and_plots_of_earlier_runs_are_no_recordings(
    clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = leave_results(clips / "a-person-1")
    found = recordings_in([clips / "**/*"], results := [])
    names = ["a-person-1/other.mp4", "a.mov", "b.MP4", "c.wav", "d.png", "deeper/e.mp4"]
    assert found == [clips / name for name in names]
    assert results == written[:3]
    assert recordings_in([written[0]], results := []) == [written[0]]  # a file that is named is meant
    assert not results
    monkeypatch.chdir(written[0].parent)
    assert recordings_in(["*.mp4"]) == [Path("other.mp4")]
    Path("other.mp4").unlink()
    with pytest.raises(BadInput, match="only results of earlier runs"):
        recordings_in(["*.mp4"])


def test_a_recording_beside_a_file_of_its_own_is_one(tmp_path: Path) -> None:
    (tmp_path / "s1").mkdir()
    (tmp_path / "s1/s1.mp4").touch()
    (tmp_path / "s1/s1.json").write_text('{"versions": ["of somebody else"]}')
    assert recordings_in([tmp_path / "**/*.mp4"]) == [tmp_path / "s1/s1.mp4"]


def test_a_file_whose_name_looks_like_a_pattern_is_itself(tmp_path: Path) -> None:
    odd = tmp_path / "take [1]*.mp4"
    odd.touch()
    assert not is_many(odd)
    assert recordings_in([odd]) == [odd]


def test_folders_below_are_searched_on_demand_hidden_ones_never_and_each_once(clips: Path) -> None:
    (clips / ".cache").mkdir()
    (clips / ".cache/f.mp4").touch()
    (clips / "deeper/up").symlink_to("..")
    (clips / "link").symlink_to("deeper")
    (clips / "nowhere.mp4").symlink_to("none.mp4")
    found = recordings_in([clips], recursive=True)
    assert found == recordings_in([clips / "*"], recursive=True)
    assert found == [clips / name for name in ("a.mov", "b.MP4", "c.wav", "d.png", "deeper/e.mp4")]
    assert recordings_in([clips]) == [path for path in found if path.parent == clips]


def test_one_file_in_several_spellings_is_one_recording(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clips)
    (clips / "link").symlink_to("deeper")
    spelt = ["a.mov", "deeper/../a.mov", clips / "a.mov", "link/e.mp4", "deeper/e.mp4"]
    assert [one.absolute() for one in recordings_in(spelt)] == [clips / "a.mov", clips / "deeper/e.mp4"]


def test_results_of_earlier_runs_are_no_recordings_of_a_study(clips: Path) -> None:
    """The shell names them where its pattern matches them; a recording may lie in a folder of its own name."""
    film, mine = leave_results(clips / "traces/a")[0], clips / "talk/talk.mp4"
    mine.parent.mkdir()
    mine.touch()
    results: list[Path] = []
    found = recordings_in([clips], results, recursive=True)
    assert {mine, film.with_name("other.mp4")} < {*found}
    assert {path.name for path in results} == {"a.mp4", "a.png", "a.playable.mp4"}
    film.with_name("other.mp4").unlink()
    for place in (film, film.parent, clips / "traces"):
        found = recordings_in([place, mine], results := [])
        assert (found, bool(results)) == ([mine], True), "a rerun that matches the results, too"
    for place in (film.parent, clips / "traces"):
        with pytest.raises(BadInput, match="only results of earlier runs"):
            recordings_in([place])
    with pytest.raises(BadInput, match="matches no recording"):
        recordings_in([clips / "traces/*"])


def test_a_name_that_no_file_system_takes_is_a_file_that_is_missing(tmp_path: Path) -> None:
    long = tmp_path / f"{'q' * 300}.mp4"
    assert missing(recordings_in([long])) == [long]


def test_every_video_of_a_corpus_counts_in_a_folder_too(tmp_path: Path) -> None:
    for suffix in VIDEO_SUFFIXES:
        (tmp_path / f"clip{suffix}").touch()
    assert len(recordings_in([tmp_path])) == len(VIDEO_SUFFIXES)


@pytest.mark.parametrize(
    ("name", "said"),
    [("dynamc", "Did you mean dynamic?"), ("AUDIO", "Did you mean audio?"), ("zzz", "is no system. Systems")],
)
def test_what_may_have_been_meant(name: str, said: str) -> None:
    assert said in unknown("system", name, ["audio", "dynamic"])


def test_pictures_as_browsers_save_them_count(tmp_path: Path) -> None:
    (tmp_path / "portrait.JFIF").touch()
    assert recordings_in([tmp_path]) == [tmp_path / "portrait.JFIF"]
    assert kind_of(tmp_path / "portrait.JFIF") == "picture"
