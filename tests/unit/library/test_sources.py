"""Files, folders and patterns become a list of recordings."""

from pathlib import Path

import pytest

from stages.core.errors import BadInput, ValaroError
from stages.core.suffixes import VIDEO_SUFFIXES
from valaro.sources import is_many, missing, recordings_in, require_distinct
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


@pytest.mark.parametrize("source", ["deeper/none", "*.xyz"])
def test_a_place_without_recordings_is_refused(source: str, clips: Path) -> None:
    (clips / "deeper/none").mkdir()
    with pytest.raises(BadInput, match=r"\.mp4"):
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


def test_all_names_that_would_share_a_folder_are_said_at_once(tmp_path: Path) -> None:
    named = [tmp_path / name for name in ("a.mp4", "b.mp4", "a.wav", "c.mp4", "b.jpg")]
    with pytest.raises(ValaroError) as refused:
        require_distinct(named, tmp_path / "out")
    assert all(str(tmp_path / name) in str(refused.value) for name in ("a.mp4", "a.wav", "b.mp4", "b.jpg"))
    assert "c.mp4" not in str(refused.value)


def test_of_hundreds_that_would_share_a_folder_a_few_are_said(tmp_path: Path) -> None:
    """A folder per session, each with a cam.mp4, and a pattern over all."""
    with pytest.raises(ValaroError, match=r"s4.cam\.mp4 and 295 more would share the folder") as refused:
        require_distinct([tmp_path / f"s{k}/cam.mp4" for k in range(300)], tmp_path / "out")
    assert len(str(refused.value)) < 2000


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
