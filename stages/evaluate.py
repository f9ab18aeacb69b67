"""Score every system: CCC, RMSE, intervals, per video; and one list of everything set aside.

    python -m stages.evaluate          (dvc repro evaluate)

Reads   data/index/<subject>.h5                   labels of train and validation on their native frames
        data/traces/<system>/<subject>.h5         the single systems' traces
        data/fused/<fusion>[.grouped]/<subject>.h5
        data/<stage>/notes.json                   what the stages set aside
Writes  metrics/evaluate.json                     system -> protocol -> ccc, rmse, frames; `best`
        metrics/per_video.csv                     CCC per validation video, of the best system
        metrics/notes.json                        the notes of all stages
Params  evaluate

CCC is taken over all labelled frames of a split concatenated (paper, equation 2). Protocols:
`train`: a single system on what it was fitted on, optimistic. `validation`: single systems, whose early
stopping has seen it. `validation_paper`: a fusion fitted and scored on validation, as in the paper,
optimistic. `validation_grouped`: a fusion that has seen other videos only: the honest figure, and `best`
goes by it.
"""

import csv
import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.artefacts import read_arrays, read_json, whole, write_json
from stages.core.corpus import Subject, Workspace
from stages.core.errors import ValaroError
from stages.core.measures import Moments, ccc_per_target, merge_all, rmse_per_target
from stages.core.params import EvaluateParams, load_params
from stages.core.progress import say
from stages.core.stage import NOTES, Stage, main
from stages.core.systems import FUSIONS, GROUPED, SYSTEMS
from stages.evaluation.intervals import ccc_intervals

TARGETS = ("valence", "arousal")


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
        moments.setdefault(subject.video, []).append(parts)
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
    return {"best": best_system(systems), "systems": systems}


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


def write_per_video(workspace: Workspace, fusion: str, path: Path) -> None:
    """CCC of every validation subject by the honest traces of one fusion, worst first."""
    rows = []
    folder = f"fused/{fusion}{GROUPED}"
    for subject in workspace.having(workspace.corpus().of("validation"), folder):
        truth = read_arrays(workspace.artefact("index", subject.name), "valence_arousal")["valence_arousal"]
        trace = read_arrays(workspace.artefact(folder, subject.name), "valence_arousal")["valence_arousal"]
        if not np.isnan(truth).any(axis=1).all():
            valence, arousal = ccc_per_target(truth, trace).tolist()
            frames = int((~np.isnan(truth).any(axis=1)).sum())
            rows.append([subject.name, valence, arousal, (valence + arousal) / 2, frames])
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["subject", "valence_ccc", "arousal_ccc", "mean_ccc", "labelled_frames"])
    for name, *figures, frames in sorted(rows, key=lambda row: row[3]):
        writer.writerow([name, *(f"{figure:.4f}" for figure in figures), frames])
    with whole(path) as partial:
        partial.write_text(buffer.getvalue(), encoding="utf-8")


def gather_notes(workspace: Workspace) -> list[dict[str, Any]]:
    """The notes of all stages before this one, each with its stage."""
    return [
        {"stage": path.parent.name, **note}
        for path in sorted(workspace.folder().glob(f"*/{NOTES}"))
        if path.parent.name != "submission"  # left by an earlier run: it comes after this one
        for note in read_json(path)
    ]


def table(scores: dict[str, Any]) -> list[str]:
    """The scores as lines for the console."""
    lines = [f"{'system':24}{'protocol':20}{'valence':>9}{'arousal':>9}{'mean':>9}   interval of the mean"]
    for name, protocols in scores["systems"].items():
        for protocol, figures in protocols.items():
            if protocol in ("optimism", "train"):
                continue
            ccc = figures["ccc"]
            values = "".join(f"{ccc[target]['value']:9.3f}" for target in (*TARGETS, "mean"))
            interval = (
                f"[{ccc['mean']['low']:.3f}, {ccc['mean']['high']:.3f}]" if "low" in ccc["mean"] else ""
            )
            mark = "  <- best" if name == scores["best"] and protocol.endswith("grouped") else ""
            lines.append(f"{name:24}{protocol:20}{values}   {interval}{mark}")
    return lines


def evaluate() -> None:
    """Run the stage on params.yaml."""
    settings, workspace = load_params().evaluate, Workspace()
    with Stage("evaluate"):
        scores = score_all(workspace, settings)
        write_json(workspace.metrics("evaluate.json"), scores)
        write_per_video(workspace, scores["best"], workspace.metrics("per_video.csv"))
        notes = gather_notes(workspace)
        write_json(workspace.metrics("notes.json"), notes)
    for line in table(scores):
        say(line)
    aside = sum(note["quarantined"] for note in notes)
    say("CCC on validation, interval by bootstrap over videos; metrics/evaluate.json has more")
    say(f"{aside} inputs set aside, {len(notes) - aside} notes: metrics/notes.json")


if __name__ == "__main__":
    main("evaluate")
