"""The table and the summary of a recording, and the folder they go to."""

import fcntl
import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stages.core.corpus import is_sample
from stages.core.errors import ValaroError
from stages.core.params import load_params
from stages.core.times import nearest
from stages.exports.tables import write_csv
from valaro.recordings import batch
from valaro.recordings.batch import HIDDEN, LOCK, Files, Named, Outcome, Task, Written, private_folder
from valaro.recordings.chain import Findings
from valaro.recordings.outputs import SureOfNoFrame, trace_of
from valaro.recordings.trained import find_trained


def findings(time_s: list[float], detected: list[bool], speaking: list[bool]) -> Findings:
    """A trace whose valence is the frame's number / 10 and whose arousal is its negative."""
    grid_s = np.arange(len(detected)) / 5
    values = np.arange(len(time_s)) / 10
    return Findings(
        time_s=np.array(time_s),
        valence_arousal=np.column_stack([values, -values]).astype(np.float32),
        grid_time_s=grid_s,
        detected=np.array(detected),
        speaking=np.array(speaking),
        box_xyxy=np.zeros((len(detected), 4), np.float32),
        face_score=np.ones(len(detected), np.float32),
        faces_in_frame=np.ones(len(detected), np.int32),
        facts={"duration_s": time_s[-1] + 0.04},
        notes=[],
        every_frame=np.column_stack([values, -values]).astype(np.float32),
    )


def test_nearest_by_brute_force() -> None:
    rng = np.random.default_rng(0)
    grid_s, time_s = np.arange(9) / 5, rng.uniform(-0.5, 2.5, 200)
    expected = np.abs(time_s[:, None] - grid_s).argmin(axis=1)
    assert np.array_equal(nearest(grid_s, time_s), expected)


@pytest.mark.parametrize(
    ("grid_s", "time_s", "k"), [([0.0], 7.0, 0), ([0.0, 0.2], 0.1, 0), ([0.0, 0.2], 0.11, 1)]
)
def test_nearest_at_the_edges(grid_s: list[float], time_s: float, k: int) -> None:
    assert nearest(np.array(grid_s), np.array([time_s])).tolist() == [k]


def test_the_table_carries_flags_from_the_grid_to_the_frames(tmp_path: Path) -> None:
    found = findings([0.0, 0.04, 0.12, 0.3, 0.4], [True, False, True], [False, True, False])
    write_csv(tmp_path / "t.csv", trace_of("t", Path("t.mp4"), found, "", {}))
    assert (tmp_path / "t.csv").read_text() == (
        "frame,time_s,valence,arousal,detected,speaking\n"
        "0,0.000000,0.000000,-0.000000,1,0\n"
        "1,0.040000,0.100000,-0.100000,1,0\n"
        "2,0.120000,0.200000,-0.200000,0,1\n"
        "3,0.300000,0.300000,-0.300000,0,1\n"
        "4,0.400000,0.400000,-0.400000,1,0\n"
    )


@pytest.mark.parametrize(
    ("corpus", "sample"),
    [("data/sample/corpus", True), ("/home/x/valaro/data/sample/corpus", True), ("data/affwild2", False),
     ("data/sampled", False), ("sample/data", False), ("sample", False)],
)  # fmt: skip
def test_the_sample_corpus_is_known_by_its_place(corpus: str, sample: bool) -> None:
    assert is_sample(corpus) is sample


def test_a_process_that_dies_takes_no_other_recording_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several jobs, when memory runs out say."""

    def deadly(_task: Task, video: Named) -> list[Outcome]:
        if video.name == "deadly":
            os.kill(os.getpid(), signal.SIGKILL)
        return [Outcome(video.file)]

    monkeypatch.setattr(batch, "predict_one", deadly)
    task = Task(tmp_path, None, None, print)  # type: ignore[arg-type]
    videos = [tmp_path / f"{name}.mp4" for name in ("a", "deadly", "b", "c", "d")]
    named = [Named(video, video.stem) for video in videos]
    found = {one.video: one.error for one in batch.predict_all(task, named, jobs=2)}
    assert found.keys() == set(videos)
    assert [video.stem for video, error in found.items() if error] == ["deadly"]
    assert "its process was killed twice (exit status SIGKILL(-9))" in str(found[videos[1]])


def test_folders_of_people_who_are_not_found_again_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run for everyone finds one person, where an earlier one found three; a recording is called alike."""
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    scratch.mkdir()
    for name, person in (("a-person-1", "1"), ("a-person-2", "2"), ("a-person-3", "3"), ("a-person-9", None)):
        (out / name).mkdir(parents=True)
        summary = {"versions": {"valaro": "0.1.0"}, "person": person}
        (out / name / f"{name}.json").write_text(json.dumps(summary))
    video = tmp_path / "a.mp4"
    video.touch()
    monkeypatch.setattr(batch, "kind_of", lambda _: "video")
    monkeypatch.setattr(batch, "for_kind", lambda *_: None)
    monkeypatch.setattr(batch, "analyse", lambda *_, **__: ["somebody"])
    written = Written(tmp_path / "written", out / "a-person-1", None)  # type: ignore[arg-type]
    written.folder.mkdir()
    monkeypatch.setattr(batch, "_write", lambda *_: written)
    task = Task(scratch, None, Files(out, ("csv",), force=True), lambda *_: None, "all")  # type: ignore[arg-type]
    [outcome] = batch.predict_one(task, Named(video, "a"))
    assert outcome.error is None
    assert sorted(folder.name for folder in out.iterdir()) == ["a-person-1", "a-person-9"]


def test_a_person_of_whom_nothing_is_sure_takes_nobody_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `--abstain`, of everyone in a recording."""
    out, video = tmp_path / "out", tmp_path / "a.mp4"
    (tmp_path / "scratch").mkdir()
    out.mkdir()
    video.touch()
    found = [SimpleNamespace(person=str(k)) for k in (1, 2, 3)]

    def write(_task: Task, _files: Files, _named: Named, _workspace: Any, one: Any, _trained: Any) -> Written:
        if one.person in unsure:
            raise SureOfNoFrame("no interval is as narrow")
        folder = tmp_path / f"written {one.person}"
        folder.mkdir()
        return Written(folder, out / f"a-person-{one.person}", None)  # type: ignore[arg-type]

    monkeypatch.setattr(batch, "kind_of", lambda _: "video")
    monkeypatch.setattr(batch, "for_kind", lambda *_: None)
    monkeypatch.setattr(batch, "analyse", lambda *_, **__: found)
    monkeypatch.setattr(batch, "_write", write)
    files = Files(out, ("csv",), force=True, abstain=0.2)
    task = Task(tmp_path / "scratch", None, files, lambda *_: None, "all")  # type: ignore[arg-type]
    unsure = {"1"}
    outcomes = batch.predict_one(task, Named(video, "a"))
    assert sorted(folder.name for folder in out.iterdir()) == ["a-person-2", "a-person-3"]
    assert [one.more for one in outcomes] == [True, True, False]
    [said] = [str(one.error) for one in outcomes if one.error]
    assert "a.mp4: person 1: no interval is as narrow" in said
    unsure = {"1", "2", "3"}
    [alone] = batch.predict_one(task, Named(video, "a"))
    assert "no interval is as narrow" in str(alone.error)


def test_a_private_folder_goes_when_the_block_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), private_folder(tmp_path / "out") as folder:
        (folder / "data").mkdir()
        raise KeyboardInterrupt
    assert not any((tmp_path / "out").iterdir())


def test_the_private_folder_of_a_run_that_lives_is_left_alone(tmp_path: Path) -> None:
    alive, dead, other = (tmp_path / f"{HIDDEN}{name}" for name in ("alive", "dead", "nolock"))
    for folder in (alive, dead, other):
        folder.mkdir()
    (dead / LOCK).touch()
    with (alive / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with private_folder(tmp_path):
            assert alive.is_dir()
            assert other.is_dir()
            assert not dead.exists()


def test_no_folder_of_models_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ValaroError, match="make repro"):
        find_trained(tmp_path / "models")


def test_an_exported_folder_without_its_parameters_names_them(tmp_path: Path) -> None:
    """The message named a file in the folder above."""
    (tmp_path / "ours" / "models").mkdir(parents=True)
    with pytest.raises(ValaroError, match=r"ours/params\.yaml"):
        find_trained(tmp_path / "ours")


def test_the_least_score_follows_the_detector(repository: Path) -> None:
    from stages.core.detectors import DETECTORS

    for profile in (repository / "profiles").glob("*.yaml"):
        faces = load_params(profile).faces
        assert DETECTORS[faces.detector].least_score == faces.min_score
