"""Faces of every size: one box per face, close up and far away; ordinary boxes stay as they are."""

from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from stages.core.arrays import Floats, Image
from stages.vision.detection import Detections
from stages.vision.retinaface import RetinaFace
from stages.vision.scales import merged, search_at_scales


def _faces(*rows: Sequence[float]) -> Detections:
    """Rows of left, top, right, bottom, score."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Detections(table[:, :4], table[:, 4])


def _iou(a: Floats, b: Floats) -> float:
    sides = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    return float(sides.prod() / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - sides.prod()))


@pytest.mark.parametrize(
    ("faces", "close", "left"),
    [
        (_faces((0, 0, 50, 60, 0.9), (100, 0, 150, 60, 0.8)), [], [(0, 0.9), (100, 0.8)]),
        (
            _faces((10, 10, 300, 400, 0.99), (20, 200, 280, 700, 0.98)),
            [_faces((0, 0, 600, 700, 0.95))],
            [(0, 0.95)],
        ),
        (_faces((900, 0, 950, 60, 0.9)), [_faces((0, 0, 600, 700, 0.95))], [(0, 0.95), (900, 0.9)]),
        (_faces(), [_faces((0, 0, 600, 700, 0.95)), _faces((9, 9, 610, 700, 0.99))], [(9, 0.99)]),
        (_faces((40, 50, 140, 180, 0.99), (0, 0, 300, 400, 0.9)), [], [(0, 0.9)]),  # a nose in a face
        (
            _faces((40, 50, 60, 80, 0.99), (0, 0, 100, 120, 0.9)),
            [],
            [(40, 0.99), (0, 0.9)],
        ),  # too small for parts
    ],
)
def test_parts_of_a_close_face_give_way_to_it(
    faces: Detections, close: list[Detections], left: list[tuple[float, float]]
) -> None:
    found = merged(faces, close)
    assert [(box[0], score) for box, score in zip(found.box_xyxy, found.score, strict=True)] == [
        (pytest.approx(x), pytest.approx(score)) for x, score in left
    ]


def test_a_frame_is_searched_again_only_where_its_size_or_emptiness_asks_for_it() -> None:
    asked: list[list[tuple[int, ...]]] = []

    def search(images: Sequence[Image]) -> list[Detections]:
        asked.append([image.shape[:2] for image in images])
        return [_faces((0, 0, 20, 20, 0.9)) if image.shape[0] != 200 else _faces() for image in images]

    images = [np.zeros((*size, 3), np.uint8) for size in ((360, 640), (720, 1280), (200, 300))]
    found = search_at_scales(search, images)
    assert asked == [[(360, 640), (720, 1280), (200, 300)], [(180, 320)], [(400, 600)]]
    assert [len(faces) for faces in found] == [1, 1, 1]
    np.testing.assert_allclose(found[2].box_xyxy, [[0, 0, 10, 10]])  # in pixels of the frame


@pytest.fixture(scope="module")
def detector(shared: Path) -> RetinaFace:
    return RetinaFace(shared / "weights" / "mobilenet0.25_Final.pth")


@pytest.fixture(scope="module")
def portrait(shared: Path) -> Image:
    return cv2.cvtColor(cv2.imread(str(shared / "media/images/03_single_face.jpg")), cv2.COLOR_BGR2RGB)


@pytest.mark.parametrize("height_px", [12, 20, 60, 200, 560, 700, 1000, 1900])
def test_one_box_per_face_from_12_px_to_a_filled_4k_frame(
    detector: RetinaFace, portrait: Image, height_px: int
) -> None:
    true = detector.detect([portrait])[0].box_xyxy[0]
    scale = height_px / (true[3] - true[1])
    width, height = (640, 360) if height_px < 100 else (1280, 720) if height_px < 700 else (3840, 2160)
    shift = np.array([width, height]) / 2 - scale * (true[:2] + true[2:]) / 2
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=way) if scale < 1 else portrait
    matrix[:, :2] = np.eye(2) * (1.0 if scale < 1 else scale)
    frame = cv2.warpAffine(small, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    found = detector.detect([frame])[0]
    assert len(found) == 1
    assert _iou(found.box_xyxy[0], true * scale + np.tile(shift, 2)) > (0.6 if height_px < 30 else 0.8)


@pytest.mark.slow
@pytest.mark.parametrize(
    "clip", ["07_latentsync_portrait_outdoor_hevc.mp4", "08_latentsync_portrait_kitchen_hevc.mp4"]
)
@pytest.mark.parametrize("scale", [1.5, 2.0])
def test_an_enlarged_video_keeps_its_faces(
    shared: Path, detector: RetinaFace, clip: str, scale: float
) -> None:
    with av.open(str(shared / "media/clips" / clip)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][20:140:60]
    for frame in frames:
        true = detector.detect([frame])[0].box_xyxy[0]
        large = detector.detect([cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)])[
            0
        ]
        of_person = [_iou(box / scale, true) for box in large.box_xyxy]
        assert max(of_person) > 0.9
        assert sum(overlap > 0.1 for overlap in of_person) == 1


def test_close_faces_with_the_published_search_have_several_boxes(shared: Path, portrait: Image) -> None:
    native = RetinaFace(shared / "weights" / "mobilenet0.25_Final.pth", scales="native")
    assert len(native.detect([cv2.resize(portrait, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)])[0]) > 1
