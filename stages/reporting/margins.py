"""The band around a trace: how far from it the truth lies, as the other videos teach.

The errors of the other validation videos are pooled, and the middle nine tenths of them drawn around the
trace (split conformal prediction, Vovk et al., 2005, with whole videos held out). The band is equally wide
everywhere: it says how far to trust a trace, not which of its moments.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from stages.core.arrays import Floats
from stages.core.artefacts import read_arrays
from stages.core.corpus import Subject, Workspace
from stages.reporting.timeline import Curve

COVERAGE = 0.9
_EDGES = np.linspace(-2, 2, 4001)  # an error is a difference of two values in [-1, 1]; a thousandth each


class Margin(NamedTuple):
    """From which error to which, truth less trace; plain numbers, fit for the facts of a unit."""

    valence: tuple[float, float]
    arousal: tuple[float, float]
    videos: int
    """That it was taken from."""

    def around(self, trace: Floats) -> Floats:
        """Low and high of the band, within [-1, 1]. Shape: (N, 2) -> (N, 2, 2)."""
        band: Floats = np.clip(trace[:, :, None] + np.array([self.valence, self.arousal]), -1, 1)
        return band


def margins_of(workspace: Workspace, subjects: Iterable[Subject], folder: str) -> dict[str, Margin]:
    """Every video's margin, from the others; none where no other has labels. One subject is in memory.

    Args:
        workspace: holds the labels and the traces.
        subjects: of validation.
        folder: of the traces below data/ (`fused/dwf_dynamic_audio.grouped`).
    """
    counts: dict[str, Floats] = {}
    for subject in workspace.having(list(subjects), "index", folder):
        truth = read_arrays(workspace.artefact("index", subject.name), "valence_arousal")["valence_arousal"]
        trace = read_arrays(workspace.artefact(folder, subject.name), "valence_arousal")["valence_arousal"]
        errors = np.clip((truth - trace)[~np.isnan(truth).any(axis=1)], -2, 2)
        if len(errors):
            found = np.array([np.histogram(column, _EDGES)[0] for column in errors.T], dtype=np.float64)
            counts[subject.video] = counts.get(subject.video, np.zeros_like(found)) + found
    pooled = sum(counts.values(), np.zeros((2, len(_EDGES) - 1)))
    others = {video: pooled - own for video, own in counts.items()} if len(counts) > 1 else {}
    return {
        video: Margin(_middle(rest[0]), _middle(rest[1]), len(counts) - 1) for video, rest in others.items()
    }


def with_band(truth: Curve, curve: Curve, margin: Margin) -> tuple[Curve, dict[str, str]]:
    """The curve with its band, and what the band means in words, for the facts of a page."""
    band = margin.around(curve.valence_arousal)
    inside = (truth.valence_arousal >= band[:, :, 0]) & (truth.valence_arousal <= band[:, :, 1])
    labelled = ~np.isnan(truth.valence_arousal).any(axis=1)
    others = f"{margin.videos} other video{'s' if margin.videos > 1 else ''}"
    words = f"holds the truth in {COVERAGE:.0%} of the frames of {others}"
    if labelled.any():
        valence, arousal = inside[labelled].mean(axis=0)
        words += f"; here in {valence:.0%} (valence) and {arousal:.0%} (arousal)"
    return replace(curve, interval=band), {f"band around {curve.name}": words}


def _middle(counts: Floats) -> tuple[float, float]:
    """Between which errors the middle COVERAGE of the frames lies, rounded outwards. (B,) -> low, high."""
    shares = np.cumsum(counts) / counts.sum()
    tail = (1 - COVERAGE) / 2
    low = int(np.searchsorted(shares, tail, side="right"))
    high = int(np.searchsorted(shares, 1 - tail, side="left"))
    return round(float(_EDGES[low]), 3), round(float(_EDGES[high + 1]), 3)
