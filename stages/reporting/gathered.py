"""Statistics of the corpus for the report; memory: the arrays of one subject, and histograms."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.arrays import Floats
from stages.core.artefacts import read_arrays, read_facts
from stages.core.corpus import SPLITS, Corpus, Subject, Workspace
from stages.core.measures import TARGETS, ccc_per_target
from stages.core.systems import out_of_fold_folder

BINS = 40
CALIBRATION_BINS = 20


def va_counts(workspace: Workspace, subjects: list[Subject]) -> Floats:
    """Histogram of the labels over the valence-arousal plane (paper, figure 3). Shape: -> (BINS, BINS)."""
    counts = np.zeros((BINS, BINS))
    for subject in subjects:
        truth = read_arrays(workspace.artefact("index", subject.name), "valence_arousal")["valence_arousal"]
        counts += _histogram(truth[:, 0], truth[:, 1])
    return counts


@dataclass
class Agreement:
    """Predictions of one system against the truth, per target.

    Attributes:
        counts: target -> (BINS, BINS) histogram, prediction first.
        sums: target -> (3, CALIBRATION_BINS): frames, sum of predictions, sum of truths, per bin of the
            prediction.
    """

    counts: dict[str, Floats] = field(default_factory=lambda: {t: np.zeros((BINS, BINS)) for t in TARGETS})
    sums: dict[str, Floats] = field(
        default_factory=lambda: {t: np.zeros((3, CALIBRATION_BINS)) for t in TARGETS}
    )

    def add(self, truth: Floats, predicted: Floats) -> None:
        """Add one subject's labelled frames. Shape: (N, 2), (N, 2)."""
        labelled = ~np.isnan(truth).any(axis=1)
        for column, target in enumerate(TARGETS):
            t, p = (np.asarray(a[labelled, column], dtype=np.float64) for a in (truth, predicted))
            self.counts[target] += _histogram(p, t)
            k = np.clip(((p + 1) / 2 * CALIBRATION_BINS).astype(int), 0, CALIBRATION_BINS - 1)
            for row, weights in enumerate((np.ones_like(p), p, t)):
                self.sums[target][row] += np.bincount(k, weights, CALIBRATION_BINS)

    def calibration(self) -> dict[str, tuple[Floats, Floats, Floats]]:
        """Target -> mean prediction, mean truth and number of frames of every bin with frames."""
        found = {}
        for target, (frames, predicted, true) in self.sums.items():
            used = frames > 0
            found[target] = (predicted[used] / frames[used], true[used] / frames[used], frames[used])
        return found


@dataclass(frozen=True)
class VideoScore:
    """Scores of one validation subject.

    Args:
        name: name of the subject.
        valence: CCC of the best system's out-of-fold trace.
        arousal: the same for arousal.
        face: mean out-of-fold CCC of the system `dynamic`, which uses the face only; NaN without a trace.
        speaking: share of the time in which the person speaks.
        unseen: share of the time without a face.
        frames: number of labelled frames.
    """

    name: str
    valence: float
    arousal: float
    face: float
    speaking: float
    unseen: float
    frames: int

    @property
    def mean(self) -> float:
        """Mean CCC of valence and arousal."""
        return (self.valence + self.arousal) / 2

    @property
    def gain(self) -> float:
        """Difference of the mean CCC to that of the face alone."""
        return self.mean - self.face


def gather(workspace: Workspace, subjects: list[Subject], system: str) -> tuple[list[VideoScore], Agreement]:
    """Scores, worst first, and agreement over the validation subjects.

    Args:
        workspace: of the run.
        subjects: validation subjects; those without labels or without a trace of the system are left out.
        system: the best system.
    """
    folder = out_of_fold_folder(system)
    agreement, scores = Agreement(), []
    for subject in workspace.having(subjects, folder):
        truth = read_arrays(workspace.artefact("index", subject.name), "valence_arousal")["valence_arousal"]
        trace = read_arrays(workspace.artefact(folder, subject.name), "valence_arousal")["valence_arousal"]
        labelled = ~np.isnan(truth).any(axis=1)
        if not labelled.any():
            continue
        agreement.add(truth, trace)
        valence, arousal = ccc_per_target(truth, trace).tolist()
        face = workspace.artefact(out_of_fold_folder("dynamic"), subject.name)
        alone = read_arrays(face, "valence_arousal")["valence_arousal"] if face.is_file() else None
        scores.append(
            VideoScore(
                subject.name,
                valence,
                arousal,
                float("nan") if alone is None else float(ccc_per_target(truth, alone).mean()),
                _share(workspace.artefact("speech", subject.name), "speaking"),
                1 - _share(workspace.artefact("faces", subject.name), "detected"),
                int(labelled.sum()),
            )
        )
    return sorted(scores, key=lambda score: (score.mean, score.name)), agreement


def corpus_rows(workspace: Workspace, corpus: Corpus) -> list[tuple[str, list[str]]]:
    """Facts of the corpus: (name, values for train, validation, test and all)."""
    parts = [[_Counts.of(workspace, s) for s in _known(workspace, corpus.of(split))] for split in SPLITS]
    return [*_rows([*parts, [counts for part in parts for counts in part]])]


@dataclass(frozen=True)
class _Counts:
    video: str
    facts: dict[str, Any]
    seen: tuple[float, float]
    heard: tuple[float, float]

    @classmethod
    def of(cls, workspace: Workspace, subject: Subject) -> "_Counts":
        facts = read_facts(workspace.artefact("index", subject.name))
        shares = [
            (_share(workspace.artefact(stage, subject.name), flag), facts["duration_s"])
            for stage, flag in (("faces", "detected"), ("speech", "speaking"))
        ]
        return cls(subject.video, facts, *shares)


def _rows(parts: list[list[_Counts]]) -> Iterator[tuple[str, list[str]]]:
    def row(name: str, value: Any) -> tuple[str, list[str]]:
        return name, [value(part) if part else "–" for part in parts]

    def total(part: list[_Counts], fact: str) -> float:
        return float(sum(counts.facts[fact] for counts in part))

    def labelled(part: list[_Counts]) -> str:
        return f"{total(part, 'labelled_frames') / max(1.0, total(part, 'frames')):.1%}"

    def rates(part: list[_Counts]) -> str:
        found = [counts.facts["average_rate_hz"] for counts in part]
        low, high = f"{min(found):.4g}", f"{max(found):.4g}"
        return low if low == high else f"{low} to {high}"

    def lasting(part: list[_Counts]) -> str:
        by_video = {counts.video: counts.facts["duration_s"] for counts in part}
        seconds = sum(by_video.values())
        return f"{seconds / 3600:.1f} h" if seconds >= 5400 else f"{seconds / 60:.1f} min"

    yield row("subjects", lambda part: str(len(part)))
    yield row("videos", lambda part: str(len({counts.video for counts in part})))
    yield row("length", lasting)
    yield row("frames", lambda part: f"{total(part, 'frames'):,.0f}".replace(",", " "))
    yield row("labelled", labelled)
    yield row("frames a second", rates)
    yield row("of variable rate", lambda part: str(sum(bool(c.facts["variable_rate"]) for c in part)))
    yield row("without sound", lambda part: str(sum(not c.facts["has_audio"] for c in part)))
    yield row("time with a face", lambda part: _weighted([counts.seen for counts in part]))
    yield row("time with speech", lambda part: _weighted([counts.heard for counts in part]))


def _weighted(shares: list[tuple[float, float]]) -> str:
    known = [(share, seconds) for share, seconds in shares if np.isfinite(share)]
    seconds = sum(length for _, length in known)
    return f"{sum(share * length for share, length in known) / seconds:.0%}" if seconds else "–"


def _known(workspace: Workspace, subjects: list[Subject]) -> list[Subject]:
    return workspace.having(subjects, "index")


def _share(path: Path, flag: str) -> float:
    if not path.is_file():
        return float("nan")
    flags = read_arrays(path, flag)[flag]
    return float(flags.mean()) if len(flags) else float("nan")


def _histogram(x: Floats, y: Floats) -> Floats:
    usable = np.isfinite(x) & np.isfinite(y)
    across, up = (np.clip(a[usable].astype(np.float64), -1, 1) for a in (x, y))
    counts: Floats = np.histogram2d(across, up, bins=BINS, range=((-1, 1), (-1, 1)))[0]
    return counts
