"""The band around a trace: how far from it the truth lies, as the other videos teach.

The errors of the other validation videos are pooled, and the middle nine tenths of them drawn around the trace
(split conformal prediction, Vovk et al., 2005, with whole videos held out). The band is as wide everywhere: it
says how far to trust a trace, not which of its moments to trust.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from stages.core.arrays import Floats
from stages.core.artefacts import read_arrays
from stages.core.corpus import Subject, Workspace

COVERAGE = 0.9
_EDGES = np.linspace(-2, 2, 4001)  # an error is a difference of two values in [-1, 1]; a thousandth each


@dataclass(frozen=True)
class Margins:
    """Errors (truth less trace) by video.

    Args:
        counts: video -> (2, B) labelled frames by their error, valence and arousal.
    """

    counts: dict[str, Floats]

    def others(self, video: str) -> int:
        """How many other videos the band of one stands on."""
        return len(self.counts.keys() - {video})

    def around(self, video: str, trace: Floats) -> Floats | None:
        """Low and high of the band; None without another video.

        Shape: (N, 2) -> (N, 2, 2), within [-1, 1].
        """
        pooled = [counts for other, counts in self.counts.items() if other != video]
        if not pooled:
            return None
        offsets = np.array([_middle(counts) for counts in np.sum(pooled, axis=0)])
        band: Floats = np.clip(trace[:, :, None] + offsets, -1, 1)
        return band


def margins_of(workspace: Workspace, subjects: Iterable[Subject], folder: str) -> Margins:
    """The errors of the traces in one folder, one subject in memory at a time.

    Args:
        workspace: holds the labels and the traces.
        subjects: of validation.
        folder: of the traces below data/ (`fused/dwf_dynamic_audio.grouped`).
    """
    counts: dict[str, Floats] = {}
    for subject in workspace.having(list(subjects), "index", folder):
        truth = read_arrays(workspace.artefact("index", subject.name), "valence_arousal")["valence_arousal"]
        trace = read_arrays(workspace.artefact(folder, subject.name), "valence_arousal")["valence_arousal"]
        errors = (truth - trace)[~np.isnan(truth).any(axis=1)]
        if len(errors):
            found = np.array([np.histogram(np.clip(column, -2, 2), _EDGES)[0] for column in errors.T])
            counts[subject.video] = counts.get(subject.video, 0) + found
    return Margins(counts)


def covered(truth: Floats, band: Floats) -> Floats:
    """Share of the labelled frames whose truth is within the band. (N, 2), (N, 2, 2) -> (2,)."""
    labelled = ~np.isnan(truth).any(axis=1)
    inside = (truth >= band[:, :, 0]) & (truth <= band[:, :, 1])
    share: Floats = inside[labelled].mean(axis=0)
    return share


def _middle(counts: Floats) -> tuple[float, float]:
    """Between which errors the middle COVERAGE of the frames lies, to a bin outwards. (B,) -> low, high."""
    shares = np.cumsum(counts) / counts.sum()
    low = int(np.searchsorted(shares, (1 - COVERAGE) / 2, side="right"))
    high = int(np.searchsorted(shares, (1 + COVERAGE) / 2, side="left"))
    return float(_EDGES[low]), float(_EDGES[high + 1])
