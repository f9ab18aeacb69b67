"""Build the face detector that the parameters name; `stages.core.detectors` describes each one."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from stages.core.detectors import DETECTORS
from stages.core.params import DetectionParams
from stages.engine.device import torch_device
from stages.vision.detection import FaceDetector


def detector_of(settings: DetectionParams, weights: str | None) -> FaceDetector:
    """The face detector of the parameters; one per process and device.

    Args:
        settings: of the section `faces`, what decides the faces found.
        weights: path of its weights; None where it needs none.
    """
    return _built(settings, weights, device_of(settings.detector))


@cache
def _built(settings: DetectionParams, weights: str | None, _device: str) -> FaceDetector:
    return BUILDERS[settings.detector](settings, weights)


def device_of(detector: str) -> str:
    """Where a detector runs; without a GPU detector, PyTorch (seconds, 500 MB) isn't imported."""
    return torch_device() if DETECTORS[detector].on_gpu else "cpu"


def _retinaface(settings: DetectionParams, weights: str | None) -> FaceDetector:
    from stages.vision.retinaface import RetinaFace

    device = device_of(settings.detector)
    return RetinaFace(
        Path(str(weights)),
        device,
        settings.min_score,
        settings.nms_iou,
        settings.batch_size,
        scales=settings.scales,
    )


def _centerface(settings: DetectionParams, weights: str | None) -> FaceDetector:
    from stages.vision.centerface import CenterFace

    return CenterFace(Path(str(weights)), settings.min_score, settings.nms_iou)


def _centerface_or_blazeface(settings: DetectionParams, weights: str | None) -> FaceDetector:
    from stages.vision.centerface import CenterFaceOrBlazeFace

    return CenterFaceOrBlazeFace(Path(str(weights)), settings.min_score, settings.nms_iou)


def _blazeface_short(settings: DetectionParams, _weights: str | None) -> FaceDetector:
    from stages.vision.blazeface import BlazeFace

    return BlazeFace("short", settings.min_score)


def _blazeface_full(settings: DetectionParams, _weights: str | None) -> FaceDetector:
    from stages.vision.blazeface import BlazeFace

    return BlazeFace("full", settings.min_score)


def _blazeface(settings: DetectionParams, _weights: str | None) -> FaceDetector:
    from stages.vision.blazeface import BothRanges

    return BothRanges(settings.min_score)


BUILDERS: Mapping[str, Callable[[DetectionParams, str | None], FaceDetector]] = {
    "retinaface": _retinaface,
    "centerface": _centerface,
    "centerface_or_blazeface": _centerface_or_blazeface,
    "blazeface": _blazeface,
    "blazeface_short": _blazeface_short,
    "blazeface_full": _blazeface_full,
}
"""One for each of `DETECTORS`; the module that does the work is imported only when it is used."""
