"""Fuse the systems: Dirichlet-weighted fusion and random forest, fitted on validation.

    python -m stages.fuse          (dvc repro fuse)

Reads   data/traces/<system>/<subject>.h5         native-rate traces
        data/index/<subject>.h5                   labels
Writes  models/fusion/<fusion>.safetensors        weights, or trees
        models/fusion/provenance.json             the corpus that the models learnt from
        data/fused/<fusion>.grouped/<subject>.h5  validation, each video fused by what other videos taught
        data/fused/<fusion>/<subject>.h5          validation and test, fused by what all of validation taught
        metrics/fusion/<fusion>.json              weights, or what the forest was chosen by
Params  fuse

Paper, sections 3.3 and 5: (1) face + audio, (2) face + audio + functionals by DWF, (3) the same by a forest.
A system that has nothing to say for a video (audio without sound) abstains: the mean of the others stands in.
"""

import json
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from stages.core.arrays import Flags, Floats
from stages.core.artefacts import read_arrays, read_json, write_arrays, write_json
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.errors import ValaroError
from stages.core.memo import Note
from stages.core.params import FuseParams, load_params
from stages.core.stage import Stage, Unit, main
from stages.core.systems import FUSIONS, GROUPED, is_forest
from stages.fusion.grouped import Groups, assign_folds, cross_fitted
from stages.fusion.methods import Fitted, fit_forests, fit_weighted, from_arrays

FEWEST_VIDEOS = 3
"""One to score on, two to fit on: the forest's own choice holds one of these out again."""


class _Rows(NamedTuple):
    """All frames of some subjects: stacks (N, M, 2), truth (N, 2), the others (N,)."""

    stacks: Floats
    truth: Floats
    on_grid: Flags
    video: Groups
    subject: Groups


def fit_fusion(unit: Unit, settings: FuseParams) -> list[Note]:
    """Fit one fusion on all of validation, and predict every validation video by a fit on the others."""
    rows = _gather(unit, settings.rows_hz)
    videos = len(np.unique(rows.video))
    if videos < FEWEST_VIDEOS:
        raise ValaroError(f"fusion needs {FEWEST_VIDEOS} labelled validation videos, there are {videos}")
    truth = rows.truth
    if is_forest(unit.facts["fusion"]):  # neighbouring frames are near-duplicates: a thinner grid says it all
        truth = np.where(rows.on_grid[:, None], truth, np.nan)
    known = ~np.isnan(truth).any(axis=1)
    fit = partial(_fit, unit.facts["fusion"], settings)
    fold = assign_folds(rows.video, min(settings.folds, videos), settings.seed, known)
    honest = cross_fitted(
        fit, lambda fitted, stacks: fitted.predict(stacks), rows.stacks, truth, rows.video, fold
    )
    for name in unit.facts["subjects"]:
        path = unit.writes["grouped"] / f"{name}.h5"
        write_arrays(path, {"valence_arousal": _clip(honest[rows.subject == name])})
    _save(unit, fit(rows.stacks[known], truth[known], rows.video[known]))
    return []


def apply_fusion(unit: Unit, _settings: None) -> list[Note]:
    """Fuse one subject's traces."""
    from safetensors import safe_open
    from safetensors.numpy import load_file

    with safe_open(unit.reads["model"], "numpy") as file:
        systems = json.loads(file.metadata()["config"])["systems"]
    stack, time_s = read_stack(unit, systems)
    fused = _clip(from_arrays(load_file(unit.reads["model"])).predict(stack))
    write_arrays(unit.writes["trace"], {"valence_arousal": fused, "time_s": time_s})
    return []


def read_stack(unit: Unit, systems: list[str]) -> tuple[Floats, Floats]:
    """The traces of some systems side by side, (N, M, 2), and their times; abstentions filled."""
    traces = {s: read_arrays(unit.reads[s], "valence_arousal", "time_s") for s in systems if s in unit.reads}
    if not traces:
        raise ValaroError(f"{unit.name}: none of {', '.join(systems)} has a trace to fuse")
    mean = np.mean([trace["valence_arousal"] for trace in traces.values()], axis=0)
    columns = [traces[system]["valence_arousal"] if system in traces else mean for system in systems]
    return np.stack(columns, axis=1), next(iter(traces.values()))["time_s"]


def _fit(fusion: str, settings: FuseParams, stacks: Floats, truth: Floats, groups: Groups) -> Fitted:
    """Fit one fusion on labelled rows."""
    if is_forest(fusion):
        return fit_forests(
            stacks,
            truth,
            groups,
            choose_by=settings.choose_forest_by,
            trees=settings.trees,
            min_leaf=settings.min_leaf,
            folds=settings.folds,
            seed=settings.seed,
        )
    return fit_weighted(
        stacks,
        truth,
        draws=settings.draws,
        seed=settings.seed,
        per_target=settings.per_target,
        refine=settings.refine,
    )


def _save(unit: Unit, fitted: Fitted) -> None:
    from safetensors.numpy import save_file

    config = {"systems": unit.facts["systems"], "fusion": unit.facts["fusion"]}
    save_file(fitted.to_arrays(), unit.writes["model"], {"config": json.dumps(config, sort_keys=True)})
    write_json(unit.writes["summary"], {"systems": unit.facts["systems"]} | fitted.summary())


def _gather(unit: Unit, rows_hz: float) -> _Rows:
    """All frames of all validation subjects; `on_grid` marks about rows_hz of them a second."""
    parts = []
    for name, video in unit.facts["subjects"].items():
        own = {
            role.split("/", 1)[0]: path for role, path in unit.reads.items() if role.split("/", 1)[1] == name
        }
        stack, time_s = read_stack(Unit(name, own, {}), unit.facts["systems"])
        truth = read_arrays(own["index"], "valence_arousal")["valence_arousal"]
        tick = np.floor(time_s * rows_hz + 1e-6)
        on_grid = np.diff(tick, prepend=-1) > 0
        parts.append((stack, truth, on_grid, np.full(len(truth), video), np.full(len(truth), name)))
    return _Rows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _clip(fused: Floats) -> Floats:
    return np.clip(fused, -1, 1).astype(np.float32)


def fitting_unit(workspace: Workspace, subjects: list[Subject], fusion: str) -> Unit:
    """What fitting one fusion reads and writes."""
    reads = {}
    for subject in subjects:
        reads[f"index/{subject.name}"] = workspace.artefact("index", subject.name)
        reads |= {
            f"{s}/{subject.name}": path for s, path in _traces(workspace, subject, FUSIONS[fusion]).items()
        }
    writes = {
        "model": workspace.model(f"fusion/{fusion}.safetensors"),
        "summary": workspace.metrics(f"fusion/{fusion}.json"),
        "grouped": workspace.folder("fused", f"{fusion}{GROUPED}"),
    }
    names = {subject.name: subject.video for subject in subjects}
    return Unit(
        fusion, reads, writes, {"fusion": fusion, "systems": list(FUSIONS[fusion]), "subjects": names}
    )


def applying_units(
    workspace: Workspace, models: Workspace, subjects: list[Subject], fusion: str
) -> list[Unit]:
    """One unit per subject to fuse."""
    return [
        Unit(
            f"{fusion}/{subject.name}",
            {"model": models.model(f"fusion/{fusion}.safetensors"), **traces},
            {"trace": workspace.artefact(f"fused/{fusion}", subject.name)},
        )
        for subject in subjects
        if (traces := _traces(workspace, subject, FUSIONS[fusion]))
    ]


def _traces(workspace: Workspace, subject: Subject, systems: tuple[str, ...]) -> dict[str, Any]:
    paths = {system: workspace.artefact(f"traces/{system}", subject.name) for system in systems}
    return {system: path for system, path in paths.items() if path.is_file()}


def run(stage: Stage, workspace: Workspace, corpus: Corpus, settings: FuseParams) -> None:
    """Fit every fusion, then apply it to validation and test."""
    labelled = workspace.having(corpus.of("validation"), "traces/dynamic")
    stage.run(fit_fusion, [fitting_unit(workspace, labelled, fusion) for fusion in FUSIONS], settings, jobs=1)
    source = read_json(workspace.corpus_file).get("source")
    write_json(workspace.model("fusion/provenance.json"), {"corpus": source})
    subjects = corpus.of("validation", "test")
    units = [unit for fusion in FUSIONS for unit in applying_units(workspace, workspace, subjects, fusion)]
    stage.run(apply_fusion, units, jobs=1)


def fuse() -> None:
    """Run the stage on params.yaml."""
    settings, workspace = load_params().fuse, Workspace()
    with Stage("fuse", workspace.folder("fused")) as stage:
        run(stage, workspace, workspace.corpus(), settings)


if __name__ == "__main__":
    main("fuse")
