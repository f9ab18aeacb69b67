"""Real footage in Aff-Wild2's layout, with made-up labels, goes through the whole pipeline."""

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.core.artefacts import read_arrays, read_facts, read_json
from stages.media.container import probe

# file below media/clips -> split, and its subjects (name, side)
CLIPS: dict[str, tuple[str, list[str]]] = {
    "01_grid_male_bbaf2n.mpg": ("Train", ["01_grid_male_bbaf2n"]),
    "20_clearervoice_two_speakers_overlap.avi": (
        "Train",
        ["20_clearervoice_two_speakers_overlap_left", "20_clearervoice_two_speakers_overlap_right"],
    ),
    "16_pyfeat_noface_music.mp4": ("Train", ["16_pyfeat_noface_music"]),
    "02_grid_female_lbbc2a.mpg": ("Validation", ["02_grid_female_lbbc2a"]),
    "12_videoretalking_vfr.mp4": ("Validation", ["12_videoretalking_vfr"]),
    "22_carphone_qcif_noaudio.mp4": ("Validation", ["22_carphone_qcif_noaudio"]),
    "14_pyfeat_face_then_noface_vfr.mov": ("test", ["14_pyfeat_face_then_noface_vfr"]),
    "odd/rotated90_3frames.mov": ("test", ["rotated90_3frames"]),
}
FOLDERS = {"Train": "train", "Validation": "validation", "test": "test"}
SUBJECTS = {subject: clip for clip, (_, subjects) in CLIPS.items() for subject in subjects}
SILENT = {"22_carphone_qcif_noaudio", "rotated90_3frames"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def real(code: Any, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The corpus of real clips, all stages done."""
    folder = tmp_path_factory.mktemp("real") / "repository"
    repository = type(code)(folder, code.environment)
    shutil.copytree(code.folder, folder, symlinks=True)
    (folder / "corpus/annotations").mkdir(parents=True)
    for clip, (split, subjects) in CLIPS.items():
        path = shared / "media" / "clips" / clip
        repository.lay(path, split, subjects, rows=probe(path).frame_count)
    repository.set({"compute": {"jobs": 2}})
    repository.output = repository.dvc("repro")
    return repository


def test_all_stages_run_without_a_failure(real: Any) -> None:
    assert "Traceback" not in real.output
    assert {s["name"]: s["split"] for s in read_json(real / "data/index/corpus.json")["subjects"]} == {
        subject: FOLDERS[CLIPS[clip][0]] for subject, clip in SUBJECTS.items()
    }
    assert read_json(real / "metrics/evaluate.json")["best"]


@pytest.mark.parametrize("subject", SUBJECTS)
def test_native_frames_keep_their_times_and_labels(real: Any, shared: Path, subject: str) -> None:
    facts = probe(shared / "media" / "clips" / SUBJECTS[subject], count="decoding")
    index = read_arrays(real / f"data/index/{subject}.h5")
    assert len(index["time_s"]) == pytest.approx(facts.frame_count, abs=3)  # edit lists hide some packets
    common = min(len(index["time_s"]), facts.frame_count)
    np.testing.assert_allclose(index["time_s"][:common], facts.time_s[:common], atol=2e-3)
    if CLIPS[SUBJECTS[subject]][0] != "test":
        assert index["labelled"].mean() > 0.95


@pytest.mark.parametrize("clip", CLIPS)
def test_grid_frames_are_the_nearest_native_ones(real: Any, clip: str) -> None:
    decoded = read_arrays(real / f"data/decode/{Path(clip).stem}.h5", "time_s", "frame_time_s")
    native_s = read_arrays(real / f"data/index/{CLIPS[clip][1][0]}.h5", "time_s")["time_s"]
    nearest_s = np.abs(native_s[None, :] - decoded["time_s"][:, None]).min(axis=1)
    distance_s = np.abs(decoded["frame_time_s"] - decoded["time_s"])
    np.testing.assert_allclose(distance_s, nearest_s, atol=2e-3)


def test_people_of_a_pair_stay_on_their_sides(real: Any) -> None:
    boxes = {
        side: read_arrays(real / f"data/faces/20_clearervoice_two_speakers_overlap_{side}.h5")
        for side in ("left", "right")
    }
    both = boxes["left"]["detected"] & boxes["right"]["detected"]
    assert both.mean() > 0.8
    left, right = (boxes[side]["box_xyxy"][both][:, 0::2].mean(axis=1) for side in ("left", "right"))
    assert (left < right).all()


def test_what_is_odd_is_noted(real: Any) -> None:
    notes = read_json(real / "metrics/notes.json")
    assert {note["subject"] for note in notes if note["problem"] == "no audio stream"} == SILENT
    assert {note["subject"] for note in notes if note["problem"].startswith("no face")} == {
        "rotated90_3frames"
    }
    assert not any(note["quarantined"] for note in notes)


def test_faces_are_found_where_there_are_some(real: Any) -> None:
    detected = {
        name: read_arrays(real / f"data/faces/{name}.h5", "detected")["detected"] for name in SUBJECTS
    }
    share = {name: found.mean() for name, found in detected.items()}
    assert share["16_pyfeat_noface_music"] < 0.2, "a cartoon rabbit may pass for one"
    assert 0.2 < share["14_pyfeat_face_then_noface_vfr"] < 0.7, "after 2.4 s there is nobody"
    for name in ("01_grid_male_bbaf2n", "02_grid_female_lbbc2a", "12_videoretalking_vfr"):
        assert share[name] > 0.9, name


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_system_speaks_for_every_frame(real: Any, subject: str) -> None:
    native_s = read_arrays(real / f"data/index/{subject}.h5", "time_s")["time_s"]
    for system in ("dynamic", "kelm", "audio"):
        path = real / f"data/traces/{system}/{subject}.h5"
        assert path.is_file() == (system != "audio" or subject not in SILENT)
        if path.is_file():
            trace = read_arrays(path)
            np.testing.assert_array_equal(trace["time_s"], native_s)
            assert trace["valence_arousal"].shape == (len(native_s), 2)
            assert (np.abs(trace["valence_arousal"]) <= 1).all()


def test_the_submission_has_a_line_for_every_test_frame(real: Any) -> None:
    with (real / "data/submission/submission.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["image_location", "valence", "arousal"]
    frames = {name: read_facts(real / f"data/index/{name}.h5")["frames"] for name, clip in SUBJECTS.items()
              if CLIPS[clip][0] == "test"}  # fmt: skip
    expected = [f"{name}/{k:05d}.jpg" for name in frames for k in range(1, frames[name] + 1)]
    assert sorted(row[0] for row in rows) == sorted(expected)
    assert all(-1 <= float(value) <= 1 for row in rows for value in row[1:])
