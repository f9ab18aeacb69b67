"""Faces cut from pictures and videos: the one that is meant, or none."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.core.arrays import Image
from stages.core.params import FacesParams
from stages.corpora.crops import LARGEST_SIDE_PX, choose_face, picture_crops, read_picture, small
from stages.corpora.table import Sample
from stages.vision.detection import Detections, no_faces

SETTINGS = FacesParams(
    detector="blazeface_short",
    scales="many",
    target="prominent",
    min_motion=0.08,
    min_seen_s=1.0,
    min_score=0.5,
    nms_iou=0.4,
    pad_px=2,
    max_jump_widths=1.5,
    max_jump_s=0.5,
    reacquire_s=1.0,
    batch_size=2,
    jpeg_quality=95,
)
TWO = Detections(np.array([[10, 10, 30, 30], [50, 12, 70, 32]], np.float32), np.array([0.9, 0.8], np.float32))


class Stub:
    """A detector that always sees the same faces."""

    def __init__(self, faces: Detections) -> None:
        self.faces, self.seen = faces, 0

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        self.seen += len(images)
        return [self.faces] * len(images)


@pytest.mark.parametrize(
    ("region", "box", "expected"),
    [
        ("any", None, [10, 10, 30, 30]),
        ("face", (48, 10, 72, 40), [50, 12, 70, 32]),
        ("face", (80, 80, 90, 95), [80, 80, 90, 95]),
        ("person", (40, 0, 90, 100), [50, 12, 70, 32]),
        ("person", (80, 0, 90, 100), None),
    ],
    ids=["the most confident", "that annotated", "as annotated, where none is found", "inside", "nobody"],
)
def test_the_face_that_is_meant(
    region: str, box: tuple[float, ...] | None, expected: list[float] | None
) -> None:
    sample = Sample("a.jpg", "a", region, box, emotion=1)  # type: ignore[arg-type]
    found = choose_face(TWO, sample)
    assert (found is None) == (expected is None)
    assert expected is None or found.tolist() == expected  # type: ignore[union-attr]


def test_without_a_face_only_an_annotated_one_counts() -> None:
    for region, box, found in (
        ("any", None, False),
        ("person", (0, 0, 9, 9), False),
        ("face", (0, 0, 9, 9), True),
    ):
        sample = Sample("a.jpg", "a", region, box)  # type: ignore[arg-type]
        assert (choose_face(no_faces(), sample) is not None) == found


def test_pictures_give_their_faces_and_bad_ones_none(tmp_path: Path) -> None:
    scene = np.zeros((100, 100, 3), np.uint8)
    scene[10:30, 10:30, 0] = 250
    cv2.imwrite(str(tmp_path / "scene.png"), scene)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 nonsense")
    (tmp_path / "empty.jpg").touch()
    names = ["scene.png", "broken.jpg", "scene.png", "empty.jpg", "scene.png"]
    samples = [Sample(name, name, "any") for name in names]
    samples[2] = Sample("scene.png", "s", "whole")
    samples[4] = Sample("scene.png", "s", "face", (200.0, 200.0, 220.0, 220.0))
    detector = Stub(TWO)
    crops = dict(picture_crops({name: tmp_path / name for name in names}, samples, detector, SETTINGS))
    assert sorted(crops) == [0, 2], "4: its box lies outside the picture"
    assert crops[0].shape == (24, 24, 3)
    assert crops[0][12, 12].tolist() == [0, 0, 250], "RGB"
    assert crops[2].shape == (100, 100, 3)
    assert detector.seen == 2, "aligned and unreadable pictures are no matter for a detector"


def test_a_line_of_grey_values_is_a_picture(tmp_path: Path) -> None:
    grey = np.arange(16).reshape(4, 4) * 15
    line = f"3,{' '.join(map(str, grey.flat))},Training\n"
    (tmp_path / "t.csv").write_text(
        f"emotion,pixels,Usage\n{line}{line[:20]}\n4,1 2 300 4,Training\n5,,Training\n"
    )
    text = (tmp_path / "t.csv").read_bytes()
    starts = [0, *(k + 1 for k, byte in enumerate(text) if byte == ord("\n"))]
    image = read_picture(tmp_path / "t.csv", starts[1])
    assert image is not None
    assert image.shape == (4, 4, 3)
    assert np.array_equal(image[..., 1], grey)
    assert [read_picture(tmp_path / "t.csv", start) for start in starts[2:5]] == [None] * 3


@pytest.mark.parametrize(("shape", "expected"), [((40, 30), (40, 30)), ((2048, 512), (LARGEST_SIDE_PX, 128))])
def test_large_crops_are_scaled_down(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    assert small(np.zeros((*shape, 3), np.uint8)).shape == (*expected, 3)
