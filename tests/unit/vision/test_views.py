"""What a model is shown: the right picture at every step, and a person's box that follows from the face's."""

import numpy as np
import pytest

from stages.vision.views import face_squares, person_boxes, view_of

NOTHING = [np.nan] * 4


@pytest.fixture
def track():
    """Five steps: no face yet, a face, the same, missing, another place."""
    boxes = [NOTHING, [40, 50, 56, 70], [41, 50, 57, 70], NOTHING, [60, 50, 76, 90]]
    detected = np.array([False, True, True, False, True])
    return {
        "box_xyxy": np.array(boxes, np.float32),
        "detected": detected,
        "crop_index": np.cumsum(detected) - 1,
    }


def test_faces_are_the_crops(track):
    view = view_of("face", track)
    assert view.picture.tolist() == [-1, 0, 1, 1, 2]
    assert view.box_xyxy is None


def test_frames_are_always_their_own(track):
    view = view_of("frame", track)
    assert view.picture.tolist() == [0, 1, 2, 3, 4]
    assert view.box_xyxy is None


def test_a_person_is_held_where_the_face_is_missing(track):
    view = view_of("person", track)
    assert view.picture.tolist() == [-1, 1, 2, 2, 4]
    assert view.box_xyxy[3].tolist() == view.box_xyxy[2].tolist() == [-1, 40, 99, 140]
    assert view.box_xyxy[1].tolist() == [-2, 40, 98, 140]


def test_a_square_holds_the_face_with_a_margin_and_is_held_where_the_face_is_missing(track):
    view = view_of("square", track)
    assert view.picture.tolist() == [-1, 1, 2, 2, 4]
    assert view.antialias
    assert view.box_xyxy[3].tolist() == view.box_xyxy[2].tolist()
    left, top, right, bottom = face_squares(track["box_xyxy"])[[1, 2, 4]].T
    assert right - left == pytest.approx(bottom - top)
    assert (right - left)[0] == pytest.approx(1.1 * (16 * 20) ** 0.5, rel=1e-5), "a tenth more, by area"
    boxes = track["box_xyxy"][[1, 2, 4]].T
    assert left + right == pytest.approx(boxes[0] + boxes[2])
    assert bottom == pytest.approx(boxes[3]), "the chin"


def test_nobody_ever_seen_is_black_throughout():
    track = {
        "box_xyxy": np.full((3, 4), np.nan),
        "detected": np.zeros(3, bool),
        "crop_index": np.full(3, -1),
    }
    assert view_of("person", track).picture.tolist() == [-1, -1, -1]
    assert view_of("square", track).picture.tolist() == [-1, -1, -1]


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_a_persons_box_is_square_scales_with_the_face_and_reaches_the_hips(scale):
    """The hips are half way up a person, the face from brow to chin is a tenth of the height (Vitruvius)."""
    person_px, crown, face_height = 180 * scale, 10 * scale, 18 * scale
    brow = crown + 0.06 * person_px
    (box,) = person_boxes(np.array([[100.0, brow, 100 + 0.8 * face_height, brow + face_height]]))
    left, top, right, bottom = box
    assert right - left == pytest.approx(bottom - top)
    assert (left + right) / 2 == pytest.approx(100 + 0.4 * face_height)
    assert top == pytest.approx(brow - 0.5 * face_height)
    assert abs(top - crown) < 0.03 * person_px, "the head is whole"
    hips = crown + 0.5 * person_px
    assert bottom == pytest.approx(hips, abs=0.06 * person_px)
