"""Score every system: CCC, RMSE, intervals, per video; and one list of everything set aside.

    python -m stages.evaluate          (dvc repro evaluate)

Reads   data/index/<subject>.h5                   labels of train and validation on their native frames
        data/traces/<system>/<subject>.h5         the single systems' traces
        data/fused/<fusion>[.grouped]/<subject>.h5
        data/<stage>/notes.json                   what the stages set aside (data/predictions/<system>/ too)
Writes  metrics/evaluate.json                     system -> protocol -> ccc, rmse, frames; `best`
        metrics/scores.json                       the few figures of it that `dvc metrics diff` compares
        metrics/margins.json                      system -> how far the truth lies from its validation traces
        metrics/per_video.csv                     CCC per validation subject, of the best system
        metrics/per_video_all.csv                 the same of every system under every protocol but `train`
        metrics/notes.json                        the notes of all stages
Params  evaluate

CCC is taken over all labelled frames of a split concatenated, silence included (paper, equation 2): the
protocol of table 5. (`audio` here is scored over whole videos; table 2's figure, over speaking windows, is
train_audio's.) Protocols:

    train                 a single system on what it was fitted on: optimistic
    validation            single systems, whose early stopping has seen it
    validation_paper      a fusion fitted and scored on all of validation, as in the paper: optimistic
    validation_grouped    a fusion that has seen other videos only: the honest figure
    optimism              of a fusion: the mean CCC of validation_paper less that of validation_grouped

Intervals are by a bootstrap over subjects: each resample draws as many as there are, with replacement;
people and parts of one recording are drawn together, since light, camera and moment are the same for them.

`best`, the default for test and for `valaro predict`, is the fusion with the highest mean CCC under
validation_grouped. Early stopping of the single systems flatters both kinds of figures alike, so the grouped
figure and a single system's may be compared; but single systems don't compete: with whole-validation weights
a fusion holds them as special cases, and loses to one only by what fitting its few weights costs. Where a
single one is ahead (`ahead` in evaluate.json, null otherwise), the console says so, and submission.system and
`valaro predict --system` take its name. In the paper, too, system 1 alone came out best on test.
"""

import csv
import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.artefacts import read_arrays, read_json, whole, write_json
from stages.core.corpus import Subject, Workspace
from stages.core.errors import ValaroError
from stages.core.measures import TARGETS, Moments, ccc_per_target, merge_all, rmse_per_target
from stages.core.params import EvaluateParams, load_params
from stages.core.systems import FUSIONS, GROUPED, SYSTEMS
from stages.engine.progress import say, say_table
from stages.engine.stage import NOTES, Stage, main
from stages.evaluation.headline import headline
from stages.evaluation.intervals import ccc_intervals
from stages.evaluation.margins import FILE, Margin, margin_of_all, to_json


def score(
    workspace: Workspace, folder: str, subjects: list[Subject], settings: EvaluateParams
) -> dict[str, Any] | None:
    """CCC with interval and RMSE of the traces in one folder; None if there are none."""
    moments: dict[str, list[list[Moments]]] = {}
    squares, frames = np.zeros(2), 0
    for subject in workspace.having(subjects, folder):
        truth = read_arrays(workspace.artefact("index", subject.name), "valence_arousal")["valence_arousal"]
        trace = read_arrays(workspace.artefact(folder, subject.name), "valence_arousal")["valence_arousal"]
        labelled = ~np.isnan(truth).any(axis=1)
        if not labelled.any():
            continue
        squares += rmse_per_target(truth, trace) ** 2 * labelled.sum()
        frames += int(labelled.sum())
        parts = [Moments.of(truth[:, column], trace[:, [column]]) for column in range(2)]
        moments.setdefault(subject.recording, []).append(parts)
    if not moments:
        return None
    by_video = [
        [merge_all(parts) for parts in zip(*subjects_in, strict=True)] for subjects_in in moments.values()
    ]
    valence, arousal = zip(*by_video, strict=True)
    rmse = np.sqrt(squares / frames)
    return {
        "ccc": _intervals(list(valence), list(arousal), settings),
        "rmse": {**dict(zip(TARGETS, rmse.tolist(), strict=True)), "mean": float(rmse.mean())},
        "labelled_frames": frames,
        "videos": len(by_video),
    }


def _intervals(valence: list[Moments], arousal: list[Moments], settings: EvaluateParams) -> dict[str, Any]:
    if len(valence) < 2:  # no interval from a single video
        figures = [merge_all(valence).ccc(), merge_all(arousal).ccc()]
        return {
            name: {"value": value}
            for name, value in zip((*TARGETS, "mean"), (*figures, np.mean(figures)), strict=True)
        }
    found = ccc_intervals(
        valence, arousal, resamples=settings.resamples, confidence=settings.confidence, seed=settings.seed
    )
    return asdict(found)


def score_all(workspace: Workspace, settings: EvaluateParams) -> dict[str, Any]:
    """Every system under every protocol that applies to it."""
    corpus = workspace.corpus()
    train, validation = corpus.of("train"), corpus.of("validation")
    systems: dict[str, Any] = {}
    for system in SYSTEMS:
        systems[system] = {
            "train": score(workspace, f"traces/{system}", train, settings),
            "validation": score(workspace, f"traces/{system}", validation, settings),
        }
    for fusion in FUSIONS:
        paper = score(workspace, f"fused/{fusion}", validation, settings)
        honest = score(workspace, f"fused/{fusion}{GROUPED}", validation, settings)
        systems[fusion] = {"validation_paper": paper, "validation_grouped": honest}
        if paper and honest:
            systems[fusion]["optimism"] = paper["ccc"]["mean"]["value"] - honest["ccc"]["mean"]["value"]
    systems = {name: {k: v for k, v in scores.items() if v is not None} for name, scores in systems.items()}
    best = best_system(systems)
    ahead = single_ahead(systems, best)
    return {"best": best, "ahead": ahead, "confidence": settings.confidence, "systems": systems}


def margins(workspace: Workspace) -> dict[str, Margin | None]:
    """System -> its margin for new videos; a fusion's from traces that other videos fused."""
    validation = workspace.corpus().of("validation")
    folders = {system: f"traces/{system}" for system in SYSTEMS}
    folders |= {fusion: f"fused/{fusion}{GROUPED}" for fusion in FUSIONS}
    return {name: margin_of_all(workspace, validation, folder) for name, folder in folders.items()}


def best_system(systems: dict[str, Any]) -> str:
    """The fusion with the highest honest mean CCC."""
    honest = {
        name: scores["validation_grouped"]["ccc"]["mean"]["value"]
        for name, scores in systems.items()
        if "validation_grouped" in scores
    }
    if not honest:
        raise ValaroError("no labelled validation frame to evaluate on; see data/*/notes.json")
    return max(sorted(honest), key=lambda name: honest[name])


def single_ahead(systems: dict[str, Any], best: str) -> str | None:
    """The best single system, if its mean CCC on validation is above the best fusion's honest one."""
    honest = systems[best]["validation_grouped"]["ccc"]["mean"]["value"]
    means = {
        name: scores["validation"]["ccc"]["mean"]["value"]
        for name, scores in systems.items()
        if "validation" in scores
    }
    name = max(sorted(means), key=lambda each: means[each], default=None)
    return name if name is not None and means[name] > honest else None


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
        """For a CSV: the three figures, and how many frames they stand on."""
        return [*(f"{figure:.4f}" for figure in (self.valence, self.arousal, self.mean)), self.frames]


FIGURES = ["valence_ccc", "arousal_ccc", "mean_ccc", "labelled_frames"]


def score_subjects(workspace: Workspace, folder: str) -> list[SubjectScore]:
    """CCC of every labelled validation subject with a trace in a folder, worst first."""
    found = []
    for subject in workspace.having(workspace.corpus().of("validation"), folder):
        truth = read_arrays(workspace.artefact("index", subject.name), "valence_arousal")["valence_arousal"]
        trace = read_arrays(workspace.artefact(folder, subject.name), "valence_arousal")["valence_arousal"]
        labelled = ~np.isnan(truth).any(axis=1)
        if labelled.any():
            valence, arousal = ccc_per_target(truth, trace).tolist()
            found.append(SubjectScore(subject.name, valence, arousal, int(labelled.sum())))
    return sorted(found, key=lambda score: (score.mean, score.subject))


def write_per_video(workspace: Workspace, fusion: str, path: Path) -> None:
    """CCC of every validation subject by the honest traces of one fusion, worst first."""
    scores = score_subjects(workspace, f"fused/{fusion}{GROUPED}")
    _write_csv(path, ["subject", *FIGURES], [[score.subject, *score.cells()] for score in scores])


def write_per_video_all(workspace: Workspace, path: Path) -> None:
    """CCC of every validation subject, by every system under every protocol but `train`."""
    folders = [(system, "validation", f"traces/{system}") for system in SYSTEMS]
    for fusion in FUSIONS:
        folders.append((fusion, "validation_paper", f"fused/{fusion}"))
        folders.append((fusion, "validation_grouped", f"fused/{fusion}{GROUPED}"))
    rows = [
        [score.subject, system, protocol, *score.cells()]
        for system, protocol, folder in folders
        for score in score_subjects(workspace, folder)
    ]
    _write_csv(path, ["subject", "system", "protocol", *FIGURES], rows)


def _write_csv(path: Path, head: list[str], rows: list[list[str | int]]) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([head, *rows])
    with whole(path) as partial:
        partial.write_text(buffer.getvalue(), encoding="utf-8")


def gather_notes(workspace: Workspace) -> list[dict[str, Any]]:
    """The notes of all stages before this one, each with its stage (the folder below data/)."""
    data = workspace.folder()
    return [
        {"stage": path.relative_to(data).parts[0], **note}
        for path in sorted([*data.glob(f"*/{NOTES}"), *data.glob(f"predictions/*/{NOTES}")])
        if path.parent.name != "submission"  # left by an earlier run: it comes after this one
        for note in read_json(path)
    ]


HEAD = ("system", "protocol", "valence", "arousal", "mean", "interval of the mean")


def table(scores: dict[str, Any]) -> tuple[list[list[str]], int | None]:
    """The scores as rows under HEAD, and which of them is the best."""
    rows: list[list[str]] = []
    best = None
    for name, protocols in scores["systems"].items():
        for protocol, figures in protocols.items():
            if protocol in ("optimism", "train"):
                continue
            ccc = figures["ccc"]
            if name == scores["best"] and protocol.endswith("grouped"):
                best = len(rows)
            values = [f"{ccc[target]['value']:.3f}" for target in (*TARGETS, "mean")]
            interval = (
                f"[{ccc['mean']['low']:.3f}, {ccc['mean']['high']:.3f}]" if "low" in ccc["mean"] else ""
            )
            rows.append([name, protocol, *values, interval])
    return rows, best


def evaluate() -> None:
    """Run the stage on params.yaml."""
    settings, workspace = load_params().evaluate, Workspace()
    with Stage("evaluate"):
        scores = score_all(workspace, settings)
        write_json(workspace.metrics("evaluate.json"), scores)
        write_json(workspace.metrics("scores.json"), headline(scores))
        write_json(workspace.metrics(FILE), to_json(margins(workspace)))
        write_per_video(workspace, scores["best"], workspace.metrics("per_video.csv"))
        write_per_video_all(workspace, workspace.metrics("per_video_all.csv"))
        notes = gather_notes(workspace)
        write_json(workspace.metrics("notes.json"), notes)
    rows, best = table(scores)
    say_table(HEAD, rows, best)
    aside = sum(note["quarantined"] for note in notes)
    if scores["ahead"]:
        say(f"{scores['ahead']} alone is ahead of every fusion; submission.system decides what goes to test")
    say("CCC on validation, interval by bootstrap over subjects, those of a video together")
    say("metrics/evaluate.json has more")
    say(f"{aside} inputs set aside, {len(notes) - aside} notes: metrics/notes.json")


if __name__ == "__main__":
    main("evaluate")
