"""Searching a video's frames: each picture once, however long it stands."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np

from stages.core.arrays import Image
from stages.media.pictures import Pictures
from stages.vision.detection import Detections, no_faces
from stages.vision.search import detect_frames


class Film:
    """Grey pictures of these levels."""

    def __init__(self, levels: Sequence[int]) -> None:
        self.levels = levels

    def batches(self, steps: Any, show: Any, at_a_time: int, _threads: int) -> Iterator[list[Image]]:
        for start in range(0, len(steps), at_a_time):
            levels = [self.levels[step] for step in steps[start : start + at_a_time]]
            yield [show(0, np.full((4, 6, 3), level, np.uint8)) for level in levels]


class Searcher:
    """One face per picture, scored by how bright it is; none in black."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        self.seen += [int(image[0, 0, 0]) for image in images]
        box = np.array([[0, 0, 3, 4]], np.float32)
        levels = [float(image[0, 0, 0]) for image in images]
        return [Detections(box, np.array([x / 255], np.float32)) if x else no_faces() for x in levels]


def test_a_picture_that_stands_is_searched_once_and_has_its_faces_at_every_step() -> None:
    levels = [10, 10, 10, 0, 0, 10, 20, 20, 20, 30]
    for at_a_time in (1, 3, 4, 20):
        searcher = Searcher()
        film = cast(Pictures, Film(levels))
        pairs = list(detect_frames(searcher, "cpu", film, range(len(levels)), at_a_time))
        assert searcher.seen == [10, 0, 10, 20, 30]
        assert [int(image[0, 0, 0]) for image, _ in pairs] == levels
        scores = [round(float(faces.score[0]) * 255) if len(faces) else 0 for _, faces in pairs]
        assert scores == levels
