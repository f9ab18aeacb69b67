"""The errors of a trace, measured on validation, from which an interval is made.

The errors of validation recordings are pooled, and the middle nine tenths of them drawn around the trace
(split conformal prediction, Vovk et al., 2005, with whole recordings held out). The interval is equally wide
everywhere: it tells how far to trust a trace as a whole, not at which moments.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from stages.core.arrays import Floats
from stages.core.artefacts import read_arrays
from stages.core.corpus import Subject, Workspace
from stages.core.errors import ValaroError
from stages.core.former_names import with_present_names
from stages.evaluation.scoring import labels_of

COVERAGE = 0.9
FILE = "margins.json"
"""Of the whole validation's margins, below `metrics/`; folders of models that lack it have no interval."""
_EDGES = np.linspace(-2, 2, 4001)  # an error is a difference of two values in [-1, 1]; a thousandth each


def _rising(errors: tuple[float, float]) -> tuple[float, float]:
    if errors[0] > errors[1]:
        raise ValueError("the lower error comes first")
    return errors


Error = Annotated[float, Field(ge=-2, le=2)]
Errors = Annotated[tuple[Error, Error], AfterValidator(_rising)]


class Margin(NamedTuple):
    """From which error to which, truth less trace; plain numbers, fit for the facts of a unit."""

    valence: Errors
    arousal: Errors
    videos: Annotated[int, Field(ge=1)]
    """That it was taken from."""

    def around(self, trace: Floats) -> Floats:
        """Low and high of the band, within [-1, 1]. Shape: (N, 2) -> (N, 2, 2)."""
        band: Floats = np.clip(trace[:, :, None] + np.array([self.valence, self.arousal]), -1, 1)
        return band


_MARGIN: TypeAdapter[Margin] = TypeAdapter(Margin)


def margins_of(workspace: Workspace, subjects: Iterable[Subject], folder: str) -> dict[str, Margin]:
    """Every recording's margin, from the others; none where no other has labels. One trace is in memory.

    Args:
        workspace: holds the labels and the traces.
        subjects: of validation.
        folder: of the traces below data/ (`fused/dwf_dynamic_audio.out_of_fold`).
    """
    counts = _errors(workspace, subjects, folder)
    pooled = _pooled(counts)
    others = {video: pooled - own for video, own in counts.items()} if len(counts) > 1 else {}
    return {video: _margin(rest, len(counts) - 1) for video, rest in others.items()}


def margin_of_all(workspace: Workspace, subjects: Iterable[Subject], folder: str) -> Margin | None:
    """The margin of a video that is none of these, from all of them; None where none has labels.

    Args:
        workspace: holds the labels and the traces.
        subjects: of validation.
        folder: of the traces below data/.
    """
    counts = _errors(workspace, subjects, folder)
    return _margin(_pooled(counts), len(counts)) if counts else None


def to_json(margins: dict[str, Margin | None]) -> dict[str, Any]:
    """What `read_margin` reads: margins by system; systems without one are left out."""
    known = {name: margin._asdict() for name, margin in margins.items() if margin}
    return {"coverage": COVERAGE, "systems": known}


def read_margin(path: Path, system: str) -> Margin | None:
    """The margin of one system; None where the file or the system in it is missing.

    Raises:
        ValaroError: the file holds something else.
    """
    if not path.is_file():
        return None
    try:
        content = with_present_names(json.loads(path.read_bytes()))
        found = content["systems"].get(system)
        if content["coverage"] != COVERAGE:
            raise ValueError(f"coverage {content['coverage']!r}, not {COVERAGE}")
        return _MARGIN.validate_python(found) if found is not None else None
    except (ValidationError, ValueError, KeyError, TypeError, AttributeError) as error:
        said = " ".join(str(error).split())
        raise ValaroError(f"{path}: no margins ({said}). Remove it: pages then have no interval.") from None


def _errors(workspace: Workspace, subjects: Iterable[Subject], folder: str) -> dict[str, Floats]:
    """Recording -> how often each error occurs, of valence and arousal. Shape: -> (2, B)."""
    counts: dict[str, Floats] = {}
    for subject in workspace.having(list(subjects), "index", folder):
        truth = labels_of(workspace.artefact("index", subject.name))
        trace = read_arrays(workspace.artefact(folder, subject.name), "valence_arousal")["valence_arousal"]
        errors = np.clip((truth - trace)[~np.isnan(truth).any(axis=1)], -2, 2)
        if len(errors):
            found = np.array([np.histogram(column, _EDGES)[0] for column in errors.T], dtype=np.float64)
            counts[subject.recording] = counts.get(subject.recording, np.zeros_like(found)) + found
    return counts


def _pooled(counts: dict[str, Floats]) -> Floats:
    return sum(counts.values(), np.zeros((2, len(_EDGES) - 1)))


def _margin(counts: Floats, videos: int) -> Margin:
    return Margin(_middle(counts[0]), _middle(counts[1]), videos)


def _middle(counts: Floats) -> tuple[float, float]:
    """Between which errors the middle COVERAGE of the frames lies, rounded outwards. (B,) -> low, high."""
    shares = np.cumsum(counts) / counts.sum()
    tail = (1 - COVERAGE) / 2
    low = int(np.searchsorted(shares, tail, side="right"))
    high = int(np.searchsorted(shares, 1 - tail, side="left"))
    return round(float(_EDGES[low]), 3), round(float(_EDGES[high + 1]), 3)
