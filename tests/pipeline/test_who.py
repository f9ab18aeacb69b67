"""The look-alike corpus, laid out and named as the organisers' is, through `dvc repro` to the submission.

Which face every subject got, what was said before anything ran, and which rows were written.
"""

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.core.artefacts import read_arrays, read_json

PAIRS = {
    "10-60-1280x720": ("10-60-1280x720", "10-60-1280x720_right"),
    "video59": ("video59", "video59_right"),
    "video2": ("video2", "video2_left"),
    "46-30-484x360": ("46-30-484x360_left", "46-30-484x360_right"),
    "video10_1": ("video10_1_left", "video10_1_right"),
}
PATIENCE_S = 3000
"""For `dvc repro`, on a busy machine: all tests of this file take 130 s of processor time."""
pytestmark = pytest.mark.timeout(PATIENCE_S + 600)
WINDOW_S = 4
WIDTH_PX = 480
FOUND = "15 / 8 / 7 annotations, 25 videos (6th ABAW)"
FORM = "test_set/prediction_files_format/CVPR_6th_ABAW_VA_test_set_sample.txt"
SETTINGS: dict[str, Any] = {
    "index": {"videos": ".", "annotations": ".", "lists": ".", "test_list": "auto"},
    "submission": {"sample_file": "auto"},
    # Its people are photographs, which never speak: any flicker of the mesh will do.
    "speech": {"min_mouth_motion": 0.0, "min_run_s": 2.0}
    | {"window_s": WINDOW_S, "hop_s": WINDOW_S, "inference_hop_s": WINDOW_S},
    # Faces are followed at the sample's five steps a second; what comes after them only has to end.
    "decode": {"audio_rate_hz": 8000},
    "dynamic": {"window_s": WINDOW_S},
    "kelm": {"window_s": WINDOW_S},
    "cross_attention": {"window_s": WINDOW_S},
    "fuse": {"rows_hz": 1, "draws": 50},
    "intervals": {"rows": 100, "landmarks": 50},
}


@pytest.fixture(scope="module")
def lookalike(code: Any, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Everything has run; what doctor, plan and dvc said is in `said`."""
    folder = tmp_path_factory.mktemp("lookalike") / "project"
    code.run("cp", "-a", str(code.folder), str(folder))
    made = type(code)(folder, code.environment)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["lookalike.py", str(folder / "corpus")])
        runpy.run_path(str(shared / "affwild2" / "lookalike.py"))
    made.set(SETTINGS)
    made.said = {"doctor": made.run("valaro", "doctor"), "plan": made.run("valaro", "plan")}
    made.said["repro"] = made.run("dvc", "repro", patience_s=PATIENCE_S)
    return made


@pytest.fixture(scope="module")
def boxes(lookalike: Any) -> dict[str, np.ndarray]:
    """(T,) of each subject: the middle of its face as a share of the picture's width, NaN without."""
    places = {}
    for file in sorted((lookalike / "data/faces").glob("*.h5")):
        box = read_arrays(file, "box_xyxy")["box_xyxy"]
        places[file.stem] = (box[:, 0] + box[:, 2]) / 2 / WIDTH_PX
    return places


@pytest.mark.slow
def test_what_was_found_is_said_before_anything_runs(lookalike: Any) -> None:
    assert FOUND in lookalike.said["doctor"]
    assert "missing: 341 train annotations" in lookalike.said["doctor"]
    assert f"sample submission: {FORM}" in lookalike.said["doctor"]
    assert "25 videos" in lookalike.said["plan"]
    assert f"index: {FOUND}" in lookalike.said["repro"]
    notes = [note["problem"] for note in read_json(lookalike / "data/index/notes.json")]
    assert "all 303 labels are 0, 0" in notes
    assert "SET ASIDE" not in lookalike.said["repro"]


@pytest.mark.slow
def test_the_submission_has_the_samples_rows(lookalike: Any) -> None:
    ours, form = (
        [line.split(",")[0] for line in (lookalike / path).read_text().splitlines()]
        for path in ("data/submission/submission.csv", f"corpus/{FORM}")
    )
    assert ours == form
    assert read_json(lookalike / "data/submission/notes.json") == []


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_two_subjects_never_get_the_same_face(boxes: dict[str, np.ndarray], pair: tuple[str, str]) -> None:
    one, other = (boxes[name] for name in pair)
    both = np.isfinite(one) & np.isfinite(other)
    assert both.sum() > 5
    assert np.abs(one - other)[both].min() > 0.2


@pytest.mark.slow
def test_every_subject_gets_its_own_face(boxes: dict[str, np.ndarray]) -> None:
    def at(name: str, place: float, tolerance: float = 0.1) -> bool:
        seen = boxes[name][np.isfinite(boxes[name])]
        return len(seen) > 10 and bool(np.all(np.abs(seen - place) < tolerance))

    assert at("10-60-1280x720", 0.28)
    assert at("10-60-1280x720_right", 0.76)
    assert at("video59_right", 0.76)
    assert at("video2", 0.74)
    assert at("video2_left", 0.26)
    assert at("46-30-484x360_left", 0.26)
    assert at("46-30-484x360_right", 0.74)
    assert at("video10_1_left", 0.26)
    assert at("video10_1_right", 0.74)
    main = boxes["video59"]
    assert np.nanmax(main) < 0.65, "never the second person, at 0.76"
    assert np.isfinite(main[:45]).mean() > 0.9
    assert np.isfinite(main[-40:]).mean() > 0.7


@pytest.mark.slow
def test_every_subject_has_a_face_most_of_the_time(boxes: dict[str, np.ndarray]) -> None:
    """But for the second person, who comes late or now and then."""
    seen = {name: np.isfinite(place).mean() for name, place in boxes.items()}
    late = {"10-60-1280x720_right", "video59_right"}
    assert len(seen) == 30
    assert {name for name, share in seen.items() if share < 0.8} <= late
    alone = boxes.keys() - {name for pair in PAIRS.values() for name in pair}
    assert all(np.nanmax(np.abs(boxes[name] - 0.5)) < 0.1 for name in alone)
