"""The stage faces on real clips: crops come from the frames of one decode, however they travel."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages import faces
from stages.core.artefacts import read_arrays, read_facts
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.params import Params, load_params
from stages.decode import decode_video
from stages.decode import units as decode_units
from stages.engine.units import do_unit
from stages.media import frames
from stages.media.frames import decode_grid
from stages.media.jpeg import encode_jpeg, unpack_jpeg
from stages.vision.crops import crop_face
from stages.vision.detection import Detections
from stages.vision.search import search_video

ONE = "media/clips/01_grid_male_bbaf2n.mpg"
TWO = "media/clips/20_clearervoice_two_speakers_overlap.avi"
PAIR = [Subject("v_left", "v", "left", "test"), Subject("v_right", "v", "right", "test")]
BOX_SHARE, CROP_LEVELS = 0.05, 6.0
"""By which a face found in JPEGs of quality 95 differs: the edges of its box, as a share of the face's width, and
its crop of 255 levels on average."""


@pytest.fixture
def params(repository: Path) -> Params:
    return load_params(repository / "profiles" / "sample.yaml")


@pytest.fixture
def seen(tmp_path: Path, shared: Path, params: Params) -> Callable[..., Workspace]:
    """A clip after decode and faces."""

    def see(
        clip: str, name: str = "a", *, keep: bool = False, subjects: Any = PAIR, forget: bool = False
    ) -> Workspace:
        workspace = Workspace(tmp_path / name)
        corpus = Corpus(list(subjects), {"v": str(shared / clip)})
        settings = params.decode.model_copy(update={"keep_frames": keep})
        do_unit(decode_video, decode_units(workspace, corpus)[0], settings)
        (search,) = faces.search_units(workspace, corpus, params.faces)
        do_unit(search_video, replace(search, unkeyed={}) if forget else search, params.faces.detection())
        (follow,) = faces.units(workspace, corpus)
        assert Path(follow.unkeyed["crops"]).is_file() != forget
        do_unit(faces.find_faces, follow, params.faces)
        assert not Path(follow.unkeyed["crops"]).exists(), "fetched"
        return workspace

    return see


def test_crops_that_were_left_are_those_cut_later(seen: Any) -> None:
    left, cut = seen(TWO), seen(TWO, "b", forget=True)
    for subject in PAIR:
        one, other = (each.artefact("faces", subject.name).read_bytes() for each in (left, cut))
        assert one == other
        assert read_arrays(left.artefact("faces", subject.name))["detected"].mean() > 0.8


def test_crops_are_cut_from_the_frames_themselves(seen: Any, shared: Path, params: Params) -> None:
    subject = Subject("v", "v", None, "test")
    found = read_arrays(seen(ONE, subjects=[subject]).artefact("faces", "v"))
    images = [frame.image for frame in decode_grid(shared / ONE, 5)]
    steps = np.flatnonzero(found["detected"])
    assert len(steps) > 10
    for number, k in enumerate(steps):
        crop = encode_jpeg(crop_face(images[k], found["box_xyxy"][k], params.faces.pad_px), 95)
        assert found["jpeg"][slice(*found["jpeg_offset"][number : number + 2])].tobytes() == crop


def test_frames_kept_as_jpeg_give_nearly_the_same_faces(seen: Any) -> None:
    films, kept = seen(TWO), seen(TWO, "b", keep=True)
    for subject in PAIR:
        one, other = (read_arrays(each.artefact("faces", subject.name)) for each in (films, kept))
        both = one["detected"] & other["detected"]
        assert (one["detected"] == other["detected"]).mean() > 0.95
        width_px = np.ptp(one["box_xyxy"][both][:, ::2], axis=1)
        off_px = np.abs(one["box_xyxy"][both] - other["box_xyxy"][both]).max(axis=1)
        assert (off_px / width_px).max() < BOX_SHARE
        for k in np.flatnonzero(both)[::10]:
            crops = [
                unpack_jpeg(each["jpeg"], each["jpeg_offset"], each["crop_index"][k]) for each in (one, other)
            ]
            height, width = np.minimum(crops[0].shape, crops[1].shape)[:2]
            off = np.abs(crops[0][:height, :width].astype(int) - crops[1][:height, :width])
            assert off.mean() < CROP_LEVELS


@pytest.mark.parametrize(("forget", "decodes"), [(False, 1), (True, 2)])
def test_a_video_is_decoded_once_for_all_its_subjects(
    seen: Any, monkeypatch: pytest.MonkeyPatch, forget: bool, decodes: int
) -> None:
    begun = []
    decode = frames.GridDecoding._decode
    monkeypatch.setattr(frames.GridDecoding, "_decode", lambda self: begun.append(self.path) or decode(self))
    seen(TWO, forget=forget)
    assert len(begun) == decodes, "searched, and only where the crops are gone cut in one more pass"


def test_what_the_frames_showed_is_written(seen: Any, shared: Path) -> None:
    workspace = seen(ONE, subjects=[Subject("v", "v", None, "test")])
    found = read_arrays(workspace.artefact(faces.FOUND, "v"))
    expected = list(decode_grid(shared / ONE, 5))
    np.testing.assert_array_equal(found["frame_time_s"], [frame.frame_time_s for frame in expected])
    facts = read_facts(workspace.artefact(faces.FOUND, "v"))
    assert (facts["height"], facts["width"]) == expected[0].image.shape[:2]


def test_crops_of_another_margin_are_not_taken(seen: Any, params: Params, shared: Path) -> None:
    """What an older run left, killed between search and choice."""
    workspace = seen(ONE, subjects=[Subject("v", "v", None, "test")])
    corpus = Corpus([Subject("v", "v", None, "test")], {"v": str(shared / ONE)})
    wider = params.faces.model_copy(update={"pad_px": 40})
    (search,) = faces.search_units(workspace, corpus, params.faces)
    do_unit(search_video, search, params.faces.detection())
    before = read_arrays(workspace.artefact("faces", "v"))
    (follow,) = faces.units(workspace, corpus)
    do_unit(faces.find_faces, follow, wider)
    after = read_arrays(workspace.artefact("faces", "v"))
    sizes = [unpack_jpeg(each["jpeg"], each["jpeg_offset"], 0).shape for each in (before, after)]
    assert sizes[1][0] >= sizes[0][0] + 30


@pytest.mark.parametrize("keep", [False, True])
def test_whoever_decodes_the_pictures_says_what_is_odd_about_them(
    tmp_path: Path, shared: Path, params: Params, keep: bool
) -> None:
    workspace = Workspace(tmp_path)
    corpus = Corpus([Subject("v", "v", None, "test")], {"v": str(shared / "cases/size_changes.webm")})
    settings = params.decode.model_copy(update={"keep_frames": keep})
    said = do_unit(decode_video, decode_units(workspace, corpus)[0], settings)
    (search,) = faces.search_units(workspace, corpus, params.faces)
    found = do_unit(search_video, search, params.faces.detection())
    stages = [any("the picture changes" in note.problem for note in notes) for notes in (said, found)]
    assert stages == [keep, not keep]


def test_how_far_the_face_is_turned_goes_along_with_its_track(
    seen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CenterFace and RetinaFace give landmarks; here every face gets such that name its place."""

    def turned(self: Detections) -> Any:
        return np.round(self.box_xyxy[:, 0]).astype(np.float32)

    monkeypatch.setattr(Detections, "turned", property(turned))
    workspace = seen(TWO)
    for path in sorted(workspace.folder("faces").glob("*.h5")):
        track = read_arrays(path)
        np.testing.assert_array_equal(track["turned"], np.round(track["box_xyxy"][:, 0]))
        assert track["detected"].any()
        assert read_facts(path).items() >= {"unsure_score": 0.4, "sure_score": 0.75}.items()
