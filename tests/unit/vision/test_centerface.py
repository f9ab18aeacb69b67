"""CenterFace: finds the public-domain portrait wherever it is; BlazeFace where it finds nothing; turned faces."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from stages.core.arrays import Floats
from stages.core.weights import PRETRAINED, find_weights
from stages.vision.centerface import (
    HEAT,
    LANDMARKS,
    OFFSET,
    SIZE,
    CenterFace,
    CenterFaceOrBlazeFace,
    faces_of_maps,
)
from stages.vision.detection import Detections

PORTRAIT = astronaut()
FACE_XYXY = (175, 60, 275, 185)
"""By eye: hair line to chin, temple to temple."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return find_weights("centerface", tmp_path_factory.mktemp("none") / PRETRAINED)


@pytest.fixture(scope="module")
def detector(weights: Path) -> CenterFace:
    return CenterFace(weights)


def test_it_finds_the_portrait_near_far_and_mirrored_and_nothing_in_black(detector: CenterFace) -> None:
    far = np.full((900, 1600, 3), 90, np.uint8)
    far[400:656, 1200:1456] = cv2.resize(PORTRAIT, (256, 256), interpolation=cv2.INTER_AREA)
    images = [PORTRAIT, np.ascontiguousarray(PORTRAIT[:, ::-1]), far, np.zeros((90, 160, 3), np.uint8)]
    found = detector.detect(images)
    assert [len(faces) for faces in found] == [1, 1, 1, 0]
    np.testing.assert_allclose(found[0].box_xyxy[0], FACE_XYXY, atol=8)
    np.testing.assert_allclose(found[1].box_xyxy[0, [2, 0]], 512 - np.array(FACE_XYXY)[[0, 2]], atol=8)
    np.testing.assert_allclose(found[2].box_xyxy[0], np.array(FACE_XYXY) / 2 + [1200, 400] * 2, atol=6)
    assert (found[0].score > 0.85).all() and (found[2].score > 0.5).all()


def test_its_landmarks_are_the_eyes_the_nose_and_the_mouth(detector: CenterFace) -> None:
    (faces,) = detector.detect([PORTRAIT])
    assert faces.landmarks_xy is not None
    (eye, other, nose, mouth, end) = faces.landmarks_xy[0]
    assert eye[0] < nose[0] < other[0] and mouth[0] < nose[0] < end[0], "left ones first"
    assert max(eye[1], other[1]) < nose[1] < min(mouth[1], end[1])
    assert faces.turned[0] < 0.3


def test_the_same_image_gives_the_same_bytes(detector: CenterFace, weights: Path) -> None:
    first, *others = detector.detect([PORTRAIT, PORTRAIT[:, ::-1], PORTRAIT])
    again = CenterFace(weights).detect([PORTRAIT])[0]
    for faces in (others[-1], again):
        assert faces.box_xyxy.tobytes() == first.box_xyxy.tobytes()
        assert faces.score.tobytes() == first.score.tobytes()


def test_where_it_finds_nothing_blazeface_is_asked(weights: Path) -> None:
    upside_down = np.ascontiguousarray(PORTRAIT[20:240, 110:330][::-1])  # CenterFace was shown upright faces
    both = CenterFaceOrBlazeFace(weights)
    found = both.detect([PORTRAIT, upside_down])
    assert found[0].landmarks_xy is not None, "CenterFace's"
    alone = both.first.detect([upside_down])[0], both.second.detect([upside_down])[0]
    assert len(alone[0]) == 0
    assert found[1].box_xyxy.tolist() == alone[1].box_xyxy.tolist()
    assert len(alone[1]) == 1 and alone[1].score[0] > 0.6
    assert found[1].score.tolist() == [0.5], "doubtful, however sure BlazeFace is"


def _maps(*faces: tuple[int, int, float]) -> dict[str, Floats]:
    """Faces at (row, column) of 20 x 30 cells with a heat; all 8 cells high, 4 wide, mid-cell, looking ahead."""
    maps = {name: np.zeros((count, 20, 30)) for name, count in ((HEAT, 1), (SIZE, 2), (OFFSET, 2))}
    maps[SIZE][:] = np.log([8.0, 4.0])[:, None, None]
    maps[LANDMARKS] = np.zeros((10, 20, 30))
    points = [(0.4, 0.25), (0.4, 0.75), (0.6, 0.5), (0.8, 0.3), (0.8, 0.7)]
    maps[LANDMARKS][:] = np.ravel(points)[:, None, None]
    for row, column, heat in faces:
        maps[HEAT][0, row, column] = heat
    return maps


def test_maps_to_faces_by_hand() -> None:
    found = faces_of_maps(_maps((10, 12, 0.9), (10, 13, 0.7), (10, 22, 0.6), (4, 4, 0.4)), 0.5, 0.4)
    assert found.score.tolist() == pytest.approx([0.9, 0.6]), "one overlaps, one is too cold"
    assert found.box_xyxy[0].tolist() == pytest.approx([42, 26, 58, 58])
    assert found.landmarks_xy is not None
    np.testing.assert_allclose(found.landmarks_xy[0, :3], [[46, 38.8], [54, 38.8], [50, 45.2]], rtol=1e-6)
    assert found.turned.tolist() == pytest.approx([0, 0], abs=1e-6)
    assert len(faces_of_maps(_maps(), 0.5, 0.4)) == 0


def test_how_far_a_face_is_turned_by_hand() -> None:
    ahead, aside = [[0, 0], [10, 0], [5, 6], [2, 12], [8, 12]], [[0, 0], [4, 0], [10, 6], [1, 12], [4, 12]]
    tilted = [[0, 0], [0, 10], [-6, 5], [-12, 2], [-12, 8]]
    points = np.array([ahead, aside, tilted], np.float32)
    faces = Detections(np.zeros((3, 4), np.float32), np.ones(3, np.float32), points)
    assert faces.turned.tolist() == pytest.approx([0, 2, 1.2]), "ahead, aside, lying"
    assert np.isnan(Detections(faces.box_xyxy, faces.score).turned).all(), "without landmarks"


@pytest.mark.parametrize("settings", [{"threshold": 0.0}, {"threshold": 1.0}, {"overlap": 0.0}])
def test_wrong_settings_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="wanted"):
        CenterFace(Path("any"), **settings)
