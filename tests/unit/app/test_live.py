"""The live chain with networks that answer at once: whom it follows, what it averages, what it refuses."""

import threading

import cv2
import numpy as np
import pytest

from stages.core.arrays import Floats, Image
from stages.core.errors import BadInput, ValaroError
from stages.vision.detection import Detections
from valaro.app.live import Camera, Estimators

HEIGHT, WIDTH, WINDOW_S = 60, 100, 0.5
LEFT, RIGHT = (10.0, 10.0, 30.0, 40.0), (60.0, 10.0, 90.0, 50.0)


class Networks:
    """Finds the boxes that it was told of; valence is the left edge in hundredths, arousal its negative."""

    def __init__(self) -> None:
        self.boxes: list[tuple[float, ...]] = []

    def faces(self, image: Image) -> Detections:
        assert image.shape == (HEIGHT, WIDTH, 3)
        boxes = np.array(self.boxes, np.float32).reshape(-1, 4)
        return Detections(boxes, np.full(len(boxes), 0.9, np.float32))

    def say(self, _image: Image, box_xyxy: Floats) -> tuple[float, float]:
        return float(box_xyxy[0]) / 100, -float(box_xyxy[0]) / 100


@pytest.fixture
def networks() -> Networks:
    return Networks()


@pytest.fixture
def camera(networks: Networks) -> Camera:
    return Camera(networks, WINDOW_S)  # type: ignore[arg-type]


def jpeg(height: int = HEIGHT, width: int = WIDTH) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((height, width, 3), 90, np.uint8))[1])


def test_estimates_are_averaged_over_the_window(camera: Camera, networks: Networks) -> None:
    found = []
    for time_s, left in ((0.0, 10), (0.2, 12), (0.4, 14), (0.6, 16)):
        networks.boxes = [(left, 10, left + 20, 40)]
        found.append(camera.look(jpeg(), time_s))
    assert [one.valence for one in found] == pytest.approx([0.10, 0.11, 0.12, 0.14]), (
        "0.0 s has left at 0.6 s"
    )
    assert [one.arousal for one in found] == pytest.approx([-0.10, -0.11, -0.12, -0.14])
    assert found[-1].box == pytest.approx([0.16, 10 / 60, 0.36, 40 / 60], abs=1e-4)
    assert [one.time_s for one in found] == [0.0, 0.2, 0.4, 0.6]


def test_the_largest_face_is_followed_even_when_another_grows_larger(
    camera: Camera, networks: Networks
) -> None:
    networks.boxes = [LEFT, RIGHT]
    first = camera.look(jpeg(), 0.0)
    assert first.valence == pytest.approx(0.6)
    assert first.faces == 2
    networks.boxes = [(5.0, 5.0, 55.0, 55.0), (62.0, 10.0, 92.0, 50.0)]
    assert camera.look(jpeg(), 1.0).valence == pytest.approx(0.62)


def test_the_average_begins_anew_with_another_face(camera: Camera, networks: Networks) -> None:
    networks.boxes = [RIGHT]
    camera.look(jpeg(), 0.0)
    networks.boxes = [LEFT]
    assert camera.look(jpeg(), 0.1).valence == pytest.approx(0.1), "nothing of the first person's"


def test_without_a_face_there_is_no_value_and_the_average_begins_anew(
    camera: Camera, networks: Networks
) -> None:
    networks.boxes = [LEFT]
    camera.look(jpeg(), 0.0)
    networks.boxes = []
    gone = camera.look(jpeg(), 0.1)
    assert gone == (0.1, None, None, None, 0)
    networks.boxes = [(14.0, 10.0, 34.0, 40.0)]
    assert camera.look(jpeg(), 0.2).valence == pytest.approx(0.14)


@pytest.mark.parametrize("data", [b"", b"no picture", jpeg()[:100]])
def test_what_is_no_picture_is_refused(camera: Camera, data: bytes) -> None:
    with pytest.raises(BadInput, match="no picture of at most"):
        camera.look(data, 0.0)


def test_a_picture_too_large_is_refused(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("valaro.app.live.MOST_PIXELS", HEIGHT * WIDTH - 1)
    with pytest.raises(BadInput, match=f"no picture of at most {HEIGHT * WIDTH - 1:,} pixels"):
        camera.look(jpeg(), 0.0)


def test_the_networks_are_built_once_for_all_cameras() -> None:
    built: list[str] = []
    wait = threading.Event()

    def build() -> Networks:
        wait.wait()
        built.append(threading.current_thread().name)
        return Networks()

    estimators = Estimators(build)  # type: ignore[arg-type]
    wait.set()
    assert estimators() is estimators()
    assert len(built) == 1


def test_a_missing_model_is_told_to_every_camera_that_asks() -> None:
    def build() -> Networks:
        raise ValaroError("the model is missing")

    estimators = Estimators(build)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(ValaroError, match="the model is missing"):
            estimators()
