"""Whose face every subject of the look-alike corpus gets, from its videos and labels to the boxes."""

import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stages import decode, faces, index
from stages.core.artefacts import read_arrays
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.params import load_params
from stages.engine.stage import do_unit
from stages.layouts.listing import Found
from stages.vision.search import search_video

REPOSITORY = Path(__file__).resolve().parents[2]
PAIRS = {
    "10-60-1280x720": ("10-60-1280x720", "10-60-1280x720_right"),
    "video59": ("video59", "video59_right"),
    "video2": ("video2", "video2_left"),
    "46-30-484x360": ("46-30-484x360_left", "46-30-484x360_right"),
    "video10_1": ("video10_1_left", "video10_1_right"),
}


@pytest.fixture(scope="module")
def boxes(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, np.ndarray]]:
    """(T,) of each subject: the middle of its face as a share of the picture's width, NaN without."""
    root = tmp_path_factory.mktemp("lookalike")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["lookalike.py", str(root / "corpus")])
        runpy.run_path(str(shared / "affwild2" / "lookalike.py"))
    params, workspace = load_params(REPOSITORY / "profiles" / "sample.yaml"), Workspace(root)
    labels = {path.stem: path for path in (root / "corpus").rglob("*_Set/*.txt")}
    found = []
    for video, names in PAIRS.items():
        for name in names:
            side = name.rpartition("_")[2] if name != video else None
            others = tuple(other for other in names if other != name) if side is None else ()
            subject = Subject(name, video, side, "train", leaves_out=others)  # type: ignore[arg-type]
            file = next((root / "corpus").rglob(f"{video}.mp4"))
            found.append(Found(subject, file, labels.get(name)))
    corpus = Corpus([one.subject for one in found], {one.subject.video: str(one.video_file) for one in found})
    detection = params.faces.detection()
    for work, units, settings in (
        (
            index.index_subject,
            lambda: [index.unit_of(one, workspace, params.decode) for one in found],
            params.index,
        ),
        (decode.decode_video, lambda: decode.units(workspace, corpus), params.decode),
        (search_video, lambda: faces.search_units(workspace, corpus, params.faces), detection),
        (faces.find_faces, lambda: faces.units(workspace, corpus), params.faces),
    ):
        for unit in units():
            do_unit(work, unit, settings)
    places = {}
    for one in found:
        box = read_arrays(workspace.artefact("faces", one.subject.name), "box_xyxy")["box_xyxy"]
        places[one.subject.name] = (box[:, 0] + box[:, 2]) / 2 / 480
    yield places
    os.environ.pop("VALARO_DEVICE", None)


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
