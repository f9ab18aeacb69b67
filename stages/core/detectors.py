"""The face detectors, one record each; `stages.vision.detectors` builds them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Detector:
    """A face detector, for `faces.detector`.

    Args:
        method: description.
        source: who publishes it.
        licence: licence of its weights, as on a model card.
        least_score: recommended `faces.min_score`, 0 to 1.
        unsure_score: score at and below which a detection may well not be a face.
        sure_score: score of a clearly visible face. Between the two, estimates from the face are less
            reliable the lower the score (`stages.vision.doubt`).
        weights: name in `stages.core.weights.WEIGHTS`; None if its library includes them.
        on_gpu: whether it uses a GPU if there is one; the others run on the CPU.
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
        least_score=0.5,  # landscapes and titles without a face get 0.2 to 0.45
        unsure_score=0.5,
        sure_score=0.85,  # frontal faces over 60 px; a profile gets 0.72
        weights="centerface",
    ),
    "centerface_or_blazeface": Detector(
        method=_CENTERFACE.format(", or, if it finds no face, BlazeFace for faces within 2 m of the camera"),
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
"""Name in params.yaml -> detector."""


def known_detector(name: str) -> str:
    """Check the name of a detector, and return it.

    Raises:
        ValueError: there is no such detector; the message lists the valid names.
    """
    if name not in DETECTORS:
        raise ValueError(f"{name!r} is none of {', '.join(DETECTORS)}")
    return name
