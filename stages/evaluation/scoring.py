"""CCC, RMSE and intervals of the traces in a folder, recording by recording."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.arrays import Floats
from stages.core.artefacts import read_arrays
from stages.core.corpus import Subject, Workspace
from stages.core.loaded import remembered
from stages.core.measures import (
    TARGETS,
    Moments,
    ccc_per_target,
    merge_all,
    moments_per_target,
    rmse_per_target,
)
from stages.core.params import EvaluateParams
from stages.evaluation.intervals import ccc_intervals


@remembered
def labels_of(index: Path) -> Floats:
    """A subject's labels, NaN where there are none; every system is compared with them. (T, 2) float32."""
    labels: Floats = read_arrays(index, "valence_arousal")["valence_arousal"]
    return labels


@dataclass
class Gathered:
    """The scores of the traces in a folder.

    Attributes:
        recordings: recording -> moments of [truth, prediction], of valence and of arousal.
        squares: (2,) squared errors, summed over the labelled frames.
        frames: labelled ones.
    """

    recordings: dict[str, tuple[Moments, Moments]] = field(default_factory=dict)
    squares: Floats = field(default_factory=lambda: np.zeros(2))
    frames: int = 0

    def mean_ccc(self) -> float:
        """Of valence and arousal, over all labelled frames together."""
        columns = zip(*self.recordings.values(), strict=True)
        return float(np.mean([merge_all(column).ccc() for column in columns]))


def gather(workspace: Workspace, folder: str, subjects: Iterable[Subject]) -> Gathered:
    """Read the traces of some subjects, one at a time; those without labels or without a trace are left out.

    Args:
        workspace: holds index and traces.
        folder: of the traces below data/.
        subjects: whose.
    """
    found = Gathered()
    for subject in workspace.having(list(subjects), folder):
        truth = labels_of(workspace.artefact("index", subject.name))
        trace = read_arrays(workspace.artefact(folder, subject.name), "valence_arousal")["valence_arousal"]
        labelled = int((~np.isnan(truth).any(axis=1)).sum())
        if not labelled:
            continue
        found.squares += rmse_per_target(truth, trace) ** 2 * labelled
        found.frames += labelled
        parts = moments_per_target(truth, trace)
        before = found.recordings.get(subject.recording)
        valence, arousal = (
            parts if before is None else (a.merge(b) for a, b in zip(before, parts, strict=True))
        )
        found.recordings[subject.recording] = (valence, arousal)
    return found


def score(gathered: Gathered, settings: EvaluateParams) -> dict[str, Any] | None:
    """CCC with interval and RMSE; None where nothing is labelled."""
    if not gathered.frames:
        return None
    valence, arousal = zip(*gathered.recordings.values(), strict=True)
    rmse = np.sqrt(gathered.squares / gathered.frames)
    return {
        "ccc": _intervals(list(valence), list(arousal), settings),
        "rmse": {**dict(zip(TARGETS, rmse.tolist(), strict=True)), "mean": float(rmse.mean())},
        "labelled_frames": gathered.frames,
        "videos": len(gathered.recordings),
    }


def _intervals(valence: list[Moments], arousal: list[Moments], settings: EvaluateParams) -> dict[str, Any]:
    if len(valence) < 2:  # no interval from a single recording
        figures = [merge_all(valence).ccc(), merge_all(arousal).ccc()]
        return {
            name: {"value": value}
            for name, value in zip((*TARGETS, "mean"), (*figures, np.mean(figures)), strict=True)
        }
    found = ccc_intervals(
        valence, arousal, resamples=settings.resamples, confidence=settings.confidence, seed=settings.seed
    )
    return asdict(found)


@dataclass(frozen=True)
class SubjectScore:
    """CCC over the labelled frames of one subject."""

    subject: str
    valence: float
    arousal: float
    frames: int

    @property
    def mean(self) -> float:
        """Of both targets."""
        return (self.valence + self.arousal) / 2

    def cells(self) -> list[str | int]:
        """For a CSV: the three figures, and the number of frames behind them."""
        return [*(f"{figure:.4f}" for figure in (self.valence, self.arousal, self.mean)), self.frames]


def score_subjects(workspace: Workspace, folder: str) -> list[SubjectScore]:
    """CCC of every labelled validation subject with a trace in a folder, worst first."""
    found = []
    for subject in workspace.having(workspace.corpus().of("validation"), folder):
        truth = labels_of(workspace.artefact("index", subject.name))
        trace = read_arrays(workspace.artefact(folder, subject.name), "valence_arousal")["valence_arousal"]
        labelled = ~np.isnan(truth).any(axis=1)
        if labelled.any():
            valence, arousal = ccc_per_target(truth, trace).tolist()
            found.append(SubjectScore(subject.name, valence, arousal, int(labelled.sum())))
    return sorted(found, key=lambda score: (score.mean, score.subject))
