"""The face detectors: one record each. `stages.vision.detectors` has what builds each of them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Detector:
    """A face detector that `faces.detector` may name.

    Args:
        method: what it is, for people.
        source: who publishes it.
        licence: the terms of its weights, as a model card states them.
        least_score: default of `faces.min_score` for it, 0 to 1.
        unsure_score: what it gives what may as well be no face, and
        sure_score: what it gives a face that is plain to see; between them an estimate from the face is the
            more doubtful the lower the score (`stages.vision.doubt`).
        weights: its name in `stages.core.weights.WEIGHTS`; None where the library that runs it ships them.
        on_gpu: whether it runs on a GPU where there is one; the others always run on the processor.
    """

    method: str
    source: str
    licence: str
    least_score: float
    unsure_score: float = 0.4
    sure_score: float = 0.75
    weights: str | None = None
    on_gpu: bool = False


_CENTERFACE = "CenterFace{}, on pictures of 640 pixels"
_BLAZEFACE = "BlazeFace for faces within {} m of the camera, through MediaPipe"

DETECTORS: Mapping[str, Detector] = {
    "retinaface": Detector(
        method="RetinaFace with MobileNet-0.25 (paper, section 4.2.2)",
        source="github.com/biubug6/Pytorch_Retinaface, trained on WIDER FACE",
        licence="MIT",
        least_score=0.8,  # paper, section 4.2.2
        unsure_score=0.9,
        sure_score=0.99,  # photographs of people get 0.993 to 1, dogs 0.97, a bookshelf 0.84
        weights="retinaface",
        on_gpu=True,
    ),
    "centerface": Detector(
        method=_CENTERFACE.format(""),
        source="github.com/Star-Clouds/CenterFace, trained on WIDER FACE",
        licence="MIT",
        least_score=0.5,  # 0.2 to 0.45 is what landscapes and titles without a face get
        unsure_score=0.5,
        sure_score=0.85,  # of frontal faces over 60 px; a man's profile gets 0.72
        weights="centerface",
    ),
    "centerface_or_blazeface": Detector(
        method=_CENTERFACE.format(", and where it finds none BlazeFace for faces within 2 m of the camera"),
        source="github.com/Star-Clouds/CenterFace, trained on WIDER FACE; MediaPipe",
        licence="MIT, Apache-2.0",
        least_score=0.5,
        unsure_score=0.5,
        sure_score=0.85,
        weights="centerface",
    ),
    "blazeface": Detector(
        method=_BLAZEFACE.format("2, and within 5,"),
        source="MediaPipe",
        licence="Apache-2.0",
        least_score=0.5,  # MediaPipe's own
    ),
    "blazeface_short": Detector(
        method=_BLAZEFACE.format(2),
        source="MediaPipe",
        licence="Apache-2.0",
        least_score=0.5,
    ),
    "blazeface_full": Detector(
        method=_BLAZEFACE.format(5),
        source="MediaPipe",
        licence="Apache-2.0",
        least_score=0.5,
    ),
}
"""Every detector by its name in params.yaml."""


def known_detector(name: str) -> str:
    """The name itself, if it is a detector's.

    Raises:
        ValueError: it isn't; the message lists those that are.
    """
    if name not in DETECTORS:
        raise ValueError(f"{name!r} is none of {', '.join(DETECTORS)}")
    return name
