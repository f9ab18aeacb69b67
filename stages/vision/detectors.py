"""Build the face detector that the parameters name; `stages.core.detectors` describes each one."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from stages.core.detectors import DETECTORS
from stages.core.params import FacesParams
from stages.engine.device import torch_device
from stages.vision.detection import FaceDetector


def detector_of(settings: FacesParams, weights: str | None) -> FaceDetector:
    """The face detector of the parameters; one per process and device.

    Args:
        settings: the section `faces`.
        weights: path of its weights; None where it needs none.
    """
    return _built(settings, weights, device_of(settings.detector))


@cache
def _built(settings: FacesParams, weights: str | None, _device: str) -> FaceDetector:
    return BUILDERS[settings.detector](settings, weights)


def device_of(detector: str) -> str:
    """Where a detector runs; without a GPU detector, PyTorch (seconds, 500 MB) isn't imported."""
    return torch_device() if DETECTORS[detector].on_gpu else "cpu"


def _retinaface(settings: FacesParams, weights: str | None) -> FaceDetector:
    from stages.vision.retinaface import RetinaFace

    device = device_of(settings.detector)
    return RetinaFace(Path(str(weights)), device, settings.min_score, settings.nms_iou, settings.batch_size)


def _blazeface_short(settings: FacesParams, _weights: str | None) -> FaceDetector:
    from stages.vision.blazeface import BlazeFace

    return BlazeFace("short", settings.min_score)


def _blazeface_full(settings: FacesParams, _weights: str | None) -> FaceDetector:
    from stages.vision.blazeface import BlazeFace

    return BlazeFace("full", settings.min_score)


BUILDERS: Mapping[str, Callable[[FacesParams, str | None], FaceDetector]] = {
    "retinaface": _retinaface,
    "blazeface_short": _blazeface_short,
    "blazeface_full": _blazeface_full,
}
"""One for each of `DETECTORS`; the module that does the work is imported only when it is used."""
