"""The camera's frames as they come: find the face, cut it out, estimate, smooth over the last moments.

The chain is that of the system `static`: detector, crop and static model of the trained system, frame by
frame. What needs more than the past (dynamic models, sound) is left to the analysis of the whole recording.
"""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stages.core.arrays import Floats, Image
from stages.core.errors import BadInput, ValaroError
from stages.core.params import Params
from stages.core.weights import PRETRAINED
from stages.vision.crops import crop_face, letterbox
from stages.vision.detection import Detections

MOST_PIXELS = 4_000_000
SAME_PERSON_WIDTHS = 1.5
"""A face whose centre lies farther than this from the last one's, in widths of its box, is another's."""


class Estimate(NamedTuple):
    """The estimate for one frame."""

    time_s: float
    valence: float | None
    arousal: float | None
    box: list[float] | None
    """Left, top, right, bottom, as shares of the frame."""
    faces: int


class Estimator:
    """The networks of the live chain; one for all cameras, one frame at a time.

    Args:
        static: file of the static model.
        params: of the trained system.
        pretrained: where weights from elsewhere lie.
    """

    def __init__(self, static: Path, params: Params, pretrained: Path = PRETRAINED) -> None:
        from stages.core.detectors import DETECTORS
        from stages.core.weights import find_weights
        from stages.embed import network_of
        from stages.vision.detectors import detector_of

        weights = DETECTORS[params.faces.detector].weights
        found = str(find_weights(weights, pretrained)) if weights else None
        self._detector = detector_of(params.faces, found)
        self._network: Any = network_of(static, params.embed, params.compute)
        self._pad_px = params.faces.pad_px
        self._busy = threading.Lock()

    def faces(self, image: Image) -> Detections:
        """The faces in a frame."""
        with self._busy:
            return self._detector.detect([image])[0]

    def say(self, image: Image, box_xyxy: Floats) -> tuple[float, float]:
        """Valence and arousal of the face in a box."""
        face = letterbox(crop_face(image, box_xyxy, self._pad_px), self._network.image_size)
        with self._busy:
            _, valence_arousal = self._network.fetch([self._network.answer(face[None])])
        valence, arousal = valence_arousal[0]
        return float(valence), float(arousal)


class Camera:
    """One camera: follows a face, and smooths over the last `window_s` seconds."""

    def __init__(self, estimator: Estimator, window_s: float) -> None:
        self._estimator, self._window_s = estimator, window_s
        self._last: deque[tuple[float, float, float]] = deque()
        self._box: Floats | None = None

    def look(self, jpeg: bytes, time_s: float) -> Estimate:
        """The estimate for a frame.

        Args:
            jpeg: the frame.
            time_s: when it was taken; frames come in the order of time.

        Raises:
            BadInput: it is no picture, or too large.
        """
        image = _decoded(jpeg)
        faces = self._estimator.faces(image)
        if not len(faces):
            self._last.clear()
            return Estimate(time_s, None, None, None, 0)
        self._box = box = self._choose(faces)
        self._last.append((time_s, *self._estimator.say(image, box)))
        while self._last[0][0] <= time_s - self._window_s:
            self._last.popleft()
        valence, arousal = np.mean([said[1:] for said in self._last], axis=0).tolist()
        height, width = image.shape[:2]
        shares = (box / np.array([width, height, width, height])).clip(0, 1)
        return Estimate(time_s, valence, arousal, shares.round(4).tolist(), len(faces))

    def _choose(self, faces: Detections) -> Floats:
        """The face that was followed, else the largest."""
        if self._box is not None:
            centre = (self._box[:2] + self._box[2:]) / 2
            far = np.linalg.norm(faces.centre_xy - centre, axis=1) / np.maximum(faces.width_px, 1)
            if far.min() <= SAME_PERSON_WIDTHS:
                return np.asarray(faces.box_xyxy[far.argmin()])
        self._last.clear()  # another person: nothing of the one before is averaged in
        return np.asarray(faces.box_xyxy[faces.width_px.argmax()])


def _decoded(jpeg: bytes) -> Image:
    import cv2

    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    if bgr is None or bgr.shape[0] * bgr.shape[1] > MOST_PIXELS:
        problem = f"{len(jpeg)} bytes that are no picture of at most {MOST_PIXELS:,} pixels"
        raise BadInput("camera", problem, "Send JPEG frames of the camera")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


class Estimators:
    """The estimator, built once, in the background: the first camera need not wait for it."""

    def __init__(self, build: Callable[[], Estimator]) -> None:
        self._build, self._built = build, threading.Lock()
        self._estimator: Estimator | None = None
        threading.Thread(target=self._prepare, name="live networks", daemon=True).start()

    def __call__(self) -> Estimator:
        """The estimator, once it is built.

        Raises:
            ValaroError: a model or weights are missing.
        """
        with self._built:
            if self._estimator is None:
                self._estimator = self._build()
            return self._estimator

    def _prepare(self) -> None:
        with suppress(ValaroError):  # the camera that asks for it is told
            self()
