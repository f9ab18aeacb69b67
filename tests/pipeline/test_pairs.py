"""A corpus as the organisers send it, with generated people: each subject gets its own face, each row its value."""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.core.artefacts import read_arrays, read_json, write_arrays
from tests.pipeline.conftest import portrait

RATE_HZ = 25
LONG_S = 3.2
LABELS = "6th ABAW Annotations/VA_Estimation_Challenge"
LIST = "test_set/names_of_videos_in_each_test_set/Valence_Arousal_Estimation_Challenge_test_set_release.txt"
FORM = "test_set/prediction_files_format/CVPR_6th_ABAW_VA_test_set_sample.txt"
PX = 256

Where = Callable[[float], float | None]
"""The left edge of a person at a time; None: not there."""


def scene(hue: int, people: Mapping[str, Where]) -> Callable[[float], np.ndarray]:
    """People before a grey wall, the second one mirrored, mouths opening in turn."""

    def draw(time_s: float) -> np.ndarray:
        picture = np.full((PX, 2 * PX, 3), 90, np.uint8)
        for number, where in enumerate(people.values()):
            if (x := where(time_s)) is not None:
                opening = max(0.0, np.sin(2 * np.pi * time_s * (1 + number)))
                picture[:, int(x) : int(x) + PX] = portrait(float(opening), hue, mirrored=bool(number))
        return picture

    return draw


def at(x: float, begin_s: float = 0.0) -> Where:
    return lambda time_s: x if time_s >= begin_s else None


def labels(path: Path, rows: int, unlabelled: range = range(0)) -> None:
    """A smooth walk; -5 in the rows that nobody labelled."""
    path.parent.mkdir(parents=True, exist_ok=True)
    walk = [f"{np.sin(k / 9):.3f},{np.cos(k / 13):.3f}" for k in range(rows)]
    lines = ["-5,-5" if k in unlabelled else line for k, line in enumerate(walk)]
    path.write_text("valence,arousal\n" + "\n".join(lines) + "\n")


FRAMES = round(LONG_S * RATE_HZ)
MIDDLE = FRAMES // 2
# file -> who is in it, from left to right
SCENES: dict[str, Mapping[str, Where]] = {
    "10-60-1280x720": {"main": at(0), "right": at(PX, 1.6)},
    "24-30-1280x720": {"main": at(PX / 2)},
    "video59": {"main": lambda time_s: PX / 2 + 30 if time_s < 1.6 else 0.0, "right": at(PX, 1.6)},
    "video86_1": {"main": at(PX / 2)},
    "video86_2": {"main": at(PX / 2)},
    "video54": {"main": at(PX / 3)},
    "video58": {"main": at(PX / 2)},
    "video2": {"left": at(0), "right": at(PX)},
}
TRAIN = {"10-60-1280x720": range(0), "10-60-1280x720_right": range(MIDDLE), "24-30-1280x720": range(0)}
VALIDATION = {
    **{"video59": range(0), "video59_right": range(MIDDLE), "video54": range(0), "video58": range(0)},
    **{"video86_1": range(0), "video86_2": range(0)},
}
TEST = {"video2_left": FRAMES + 1, "video2": FRAMES - 2}
# subject -> the share of the width at which its face is, before and after the other one comes
PLACES = {
    **{"10-60-1280x720": (0.25, 0.25), "10-60-1280x720_right": (None, 0.75)},
    **{"video59": (0.56, 0.25), "video59_right": (None, 0.75)},
    **{"video2": (0.75, 0.75), "video2_left": (0.25, 0.25), "24-30-1280x720": (0.5, 0.5)},
}


@pytest.fixture(scope="module")
def sent(code: Any, film: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A repository in which what the organisers sent is indexed, decoded, and its faces are found."""
    folder = tmp_path_factory.mktemp("pairs") / "project"
    code.run("cp", "-a", str(code.folder), str(folder))
    repository = type(code)(folder, code.environment)
    corpus = folder / "sent"
    for number, (name, people) in enumerate(SCENES.items()):
        place = corpus / f"videos/batch{number % 2 + 1}/{name}.mp4"
        place.parent.mkdir(parents=True, exist_ok=True)
        times_s = np.arange(FRAMES) / RATE_HZ
        film(f"{name}.mp4", times_s=times_s, draw=scene(10 + 20 * number, people)).rename(place)
    for split, subjects in (("Train_Set", TRAIN), ("Validation_Set", VALIDATION)):
        for name, unlabelled in subjects.items():
            labels(corpus / LABELS / split / f"{name}.txt", FRAMES + 1, unlabelled)
    for path, lines in (
        (LIST, [*TEST]),
        (FORM, ["image_location,valence,arousal", *(f"{row},0,0" for row in rows_wanted()), ""]),
    ):
        (corpus / path).parent.mkdir(parents=True, exist_ok=True)
        (corpus / path).write_text("\n".join(lines) + "\n")
    anywhere = {"videos": ".", "annotations": ".", "lists": ".", "test_list": "auto"}
    repository.set({"index": {"corpus": "sent"} | anywhere, "submission": {"sample_file": "auto"}})
    repository.output = "".join(repository.stage(name) for name in ("index", "decode", "faces"))
    return repository


def rows_wanted() -> list[str]:
    return [f"{name}/{k:05d}.jpg" for name, rows in TEST.items() for k in range(1, rows + 1)]


@pytest.mark.slow
def test_what_was_found_is_said(sent: Any) -> None:
    assert "index: 3 / 6 / 2 annotations, 8 videos (6th ABAW)" in sent.output
    subjects = {each["name"]: each for each in read_json(sent / "data/index/corpus.json")["subjects"]}
    assert {each["recording"] for name, each in subjects.items() if "86" in name} == {"video86"}
    assert subjects["video2"]["leaves_out"] == ["video2_left"]


@pytest.mark.slow
@pytest.mark.parametrize("subject", PLACES)
def test_every_subject_has_its_own_face(sent: Any, subject: str) -> None:
    track = read_arrays(sent / f"data/faces/{subject}.h5", "box_xyxy", "time_s")
    middle = (track["box_xyxy"][:, 0] + track["box_xyxy"][:, 2]) / 2 / (2 * PX)
    for half, wanted in zip((track["time_s"] < 1.5, track["time_s"] > 1.7), PLACES[subject], strict=True):
        seen = middle[half][~np.isnan(middle[half])]
        if wanted is None:
            assert not len(seen), "not there yet"
        else:
            assert len(seen) >= 1
            np.testing.assert_allclose(seen, wanted, atol=0.12)


@pytest.mark.slow
def test_no_two_subjects_of_a_video_share_a_face(sent: Any) -> None:
    for pair in (("video2", "video2_left"), ("video59", "video59_right")):
        one, other = (read_arrays(sent / f"data/faces/{name}.h5", "box_xyxy")["box_xyxy"] for name in pair)
        assert not (np.abs(one - other) < 1).all(axis=1).any()


@pytest.mark.slow
def test_the_submission_has_the_organisers_rows(sent: Any) -> None:
    """Of traces that rise by a hundredth a frame."""
    for name in TEST:
        time_s = read_arrays(sent / f"data/index/{name}.h5", "time_s")["time_s"]
        trace = np.repeat(np.arange(len(time_s), dtype=np.float32)[:, None] / 100, 2, axis=1)
        write_arrays(sent / f"data/traces/dynamic/{name}.h5", {"valence_arousal": trace, "time_s": time_s})
    sent.set({"submission": {"system": "dynamic"}})
    sent.stage("submission")
    with (sent / "data/submission/submission.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["image_location", "valence", "arousal"]
    assert [row[0] for row in rows] == rows_wanted()
    values = [round(100 * float(row[1])) for row in rows]
    assert values == [*range(FRAMES), FRAMES - 1, *range(FRAMES - 2)], "a surplus row repeats the last frame"
