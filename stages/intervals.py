"""Fit the interval that says how sure a system is, frame by frame, and measure it out of fold.

    python -m stages.intervals          (dvc repro intervals)

Reads   data/index, data/faces, data/speech      labels, tracks and speaking time of validation
        data/embeddings/<subject>.h5             of training: what is familiar; of validation
        data/traces/<system>.out_of_fold/<subject>.h5, data/fused/<fusion>.out_of_fold/<subject>.h5
        data/degraded/<kind>/                    the same of worse recordings
Writes  data/intervals/views/<kind>/<subject>.h5 what is known whichever system is asked about; truth (T, 2)
        data/intervals/<system>/<subject>.h5     low_high (N, 2, 2) of validation, fitted on other recordings
        models/intervals/<system>.safetensors    regressions of both targets, calibrated
        models/intervals/landmarks.safetensors   embeddings of training that distances are measured to
        metrics/intervals/<system>.json          set of recordings -> target -> coverage and width, beside two
                                                 constant bands'
Params  intervals, crossfit

The errors that an interval is fitted on are those of out-of-fold traces of validation, and of the same
recordings made worse (the stage degrade): a corpus of clean recordings has no hard frames to learn from. The
traces of the latter are by the epochs that all of validation picked. `evaluation.adaptive` has the method,
`evaluation.difficulty` the features.

Measured by folds of recordings: fitted and calibrated on the others, both the interval and the constant band.
`sample` are the recordings as they are, `degraded` those made worse, `shifted` recordings in other light and
skin, a change that no fit has seen. There are two constant bands: of all recordings that the interval was
fitted on, and of those among them that are as they are (`clean`); widths are compared at equal coverage. A
system that predicts fewer than two recordings (`audio`, where the others have no sound) gets no interval.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stages.core.arrays import Floats, Integers
from stages.core.artefacts import read_arrays, write_arrays, write_json, write_tensors
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.errors import ValaroError
from stages.core.folds import Groups, validation_folds
from stages.core.measures import TARGETS
from stages.core.notes import Note
from stages.core.params import IntervalParams, load_params
from stages.core.systems import FUSIONS, SYSTEMS, out_of_fold_folder, parts_of, traces_folder
from stages.core.times import nearest
from stages.engine.stage import Stage, main
from stages.engine.units import Unit
from stages.evaluation.adaptive import Band, CrossFitted, measure, width_at
from stages.evaluation.difficulty import FEATURES, VALUE, View, choose_landmarks, look, on_grid
from stages.evaluation.sureness import FOLDER, LANDMARKS, on_frames

DEGRADED, SHIFTED = ("noise", "occlusion", "dropped"), "shifted"
CLEAN = "sample"
"""The recordings as they are; the others are copies by the stage degrade."""
KINDS = (CLEAN, *DEGRADED, SHIFTED)
VIEWS = "views"
"""Folder beside those of the systems."""
FEWEST_RECORDINGS = FEWEST_FOLDS = 2


class Rows(NamedTuple):
    """Labelled steps: features (N, 2, F), errors (N, 2), recording (N,), kind of copy (N,), subject (N,)."""

    features: Floats
    errors: Floats
    recording: Groups
    kind: Groups
    subject: Groups


def fit_interval(unit: Unit, settings: IntervalParams) -> list[Note]:
    """Gather errors and features of one system, fit, and measure by folds."""
    rows = gather(unit)
    if len(np.unique(rows.recording)) < FEWEST_RECORDINGS:
        raise ValaroError("intervals need two labelled validation recordings; see data/*/notes.json")
    fold = np.array([unit.facts["folds"][name] for name in rows.subject.tolist()])
    fits = [_fits(rows, fold, column, settings) for column in range(len(TARGETS))]
    arrays: dict[str, Floats] = {}
    for target, each in zip(TARGETS, fits, strict=True):
        arrays |= each.band().to_arrays(target)
    recordings = len(np.unique(rows.recording))
    config = {"features": list(FEATURES), "coverage": settings.coverage, "recordings": recordings}
    write_tensors(unit.writes["model"], arrays, **config, others=unit.facts["others"])
    write_json(unit.writes["measured"], _measured(unit, rows, fold, fits, settings))
    return []


def _fits(rows: Rows, fold: Integers, column: int, settings: IntervalParams) -> CrossFitted:
    fitted = rows.kind != SHIFTED
    return CrossFitted(
        rows.features[fitted, column],
        rows.errors[fitted, column],
        rows.recording[fitted],
        fold[fitted],
        settings,
        rows.kind[fitted],
    )


def _measured(
    unit: Unit, rows: Rows, fold: Integers, fits: list[CrossFitted], settings: IntervalParams
) -> dict[str, Any]:
    """Set of recordings -> target -> coverage, width, by third; and constant bands'. Writes the bands."""
    adaptive, constant, clean = np.empty((3, len(fold), len(TARGETS), 2))
    tail = (1 - settings.coverage) / 2
    unit.writes["bands"].mkdir(parents=True, exist_ok=True)
    for each in np.unique(fold):
        out, others = fold == each, (fold != each) & (rows.kind != SHIFTED)
        if len(np.unique(fold[others])) < FEWEST_FOLDS:
            return {}
        bands = [fit.band(without=int(each)) for fit in fits]
        for column, band in enumerate(bands):
            adaptive[out, column] = band.errors(rows.features[out, column])
            constant[out, column] = np.quantile(rows.errors[others, column], [tail, 1 - tail])
            as_they_are = rows.errors[others & (rows.kind == CLEAN), column]
            clean[out, column] = np.quantile(as_they_are, [tail, 1 - tail])
        _write_bands(unit, bands, int(each))
    sets = {kind: rows.kind == kind for kind in KINDS}
    sets |= {"degraded": np.isin(rows.kind, DEGRADED), "all": rows.kind != SHIFTED}
    found: dict[str, Any] = {}
    for name, chosen in sets.items():
        if chosen.any():
            found[name] = {
                target: _figures(
                    adaptive[chosen, column],
                    constant[chosen, column],
                    clean[chosen, column],
                    rows.errors[chosen, column],
                    settings.coverage,
                )
                for column, target in enumerate(TARGETS)
            }
    return found


def _write_bands(unit: Unit, bands: list[Band], fold: int) -> None:
    """The bands of one fold's recordings as they are, by fits on the others."""
    for copy in unit.facts["copies"]:
        kind, name = copy.split("/", 1)
        if kind == CLEAN and unit.facts["folds"][name] == fold:
            features, time_s, _ = _seen(unit, copy)
            errors = np.stack([band.errors(features[:, k]) for k, band in enumerate(bands)], axis=1)
            trace = read_arrays(unit.reads[f"trace@{copy}"], "valence_arousal", "time_s")
            low_high = on_frames(errors, time_s, trace["valence_arousal"], trace["time_s"])
            arrays = {"low_high": low_high, "time_s": trace["time_s"]}
            write_arrays(unit.writes["bands"] / f"{name}.h5", arrays)


def _figures(
    adaptive: Floats, constant: Floats, clean: Floats, errors: Floats, coverage: float
) -> dict[str, Any]:
    own, band = measure(adaptive, errors), measure(constant, errors)
    widths = [width_at(bounds, errors, coverage) for bounds in (adaptive, constant, clean)]
    return {
        "coverage": own.coverage,
        "coverage_by_third": list(own.by_third),
        "width": own.width,
        "constant_coverage": band.coverage,
        "constant_width": band.width,
        "narrower_at_equal_coverage": 1 - widths[0] / widths[1],
        "narrower_than_clean_at_equal_coverage": 1 - widths[0] / widths[2],
    }


def gather(unit: Unit) -> Rows:
    """Every labelled step of every copy of every subject, one file at a time."""
    parts: list[tuple[Any, ...]] = []
    for copy, recording in unit.facts["copies"].items():
        kind, name = copy.split("/", 1)
        features, _, truth = _seen(unit, copy)
        known = ~np.isnan(truth).any(axis=1)
        count = int(known.sum())
        labelled = (features[known], (truth - features[:, :, VALUE])[known])
        parts.append((*labelled, *(np.full(count, each) for each in (recording, kind, name))))
    return Rows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _seen(unit: Unit, copy: str) -> tuple[Floats, Floats, Floats]:
    """Features of one copy of one subject, times and truth of the steps. -> (T, 2, F), (T,), (T, 2)."""
    known = read_arrays(unit.reads[f"view@{copy}"])
    view = View.from_arrays(known)
    others = [
        unit.reads[role] for name in unit.facts["others"] if (role := f"other:{name}@{copy}") in unit.reads
    ]
    trace, *traces = (on_grid(path, view.time_s) for path in (unit.reads[f"trace@{copy}"], *others))
    return view.around(trace, traces), view.time_s, known["truth"]


def landmark_unit(workspace: Workspace, corpus: Corpus) -> Unit:
    """Choosing embeddings of training."""
    shown = workspace.having(corpus.of("train"), "embeddings")
    reads = {subject.name: workspace.artefact("embeddings", subject.name) for subject in shown}
    return Unit("landmarks", reads, {"model": workspace.model(f"{FOLDER}/{LANDMARKS}.safetensors")})


def take_landmarks(unit: Unit, settings: IntervalParams) -> list[Note]:
    """Embeddings of detected steps of training, as many of each subject."""
    each = max(1, settings.landmarks // max(1, len(unit.reads)))
    parts = []
    for path in unit.reads.values():
        found = read_arrays(path, "embedding", "detected")
        parts.append(choose_landmarks(found["embedding"][found["detected"]], each, settings.seed))
    write_tensors(unit.writes["model"], {"landmarks": np.concatenate(parts)})
    return []


def view_units(workspace: Workspace, corpus: Corpus, folds: Mapping[str, int]) -> list[Unit]:
    """Looking at every copy of every subject of validation that has a fold.

    Args:
        workspace: of the run.
        corpus: whose validation subjects.
        folds: subject -> its fold.
    """
    landmarks = workspace.model(f"{FOLDER}/{LANDMARKS}.safetensors")
    found = []
    for kind in KINDS:
        place = _place(workspace, kind)
        for subject in corpus.of("validation"):
            paths = {
                "faces": place / "faces" / f"{subject.name}.h5",
                "embeddings": place / "embeddings" / f"{subject.name}.h5",
                "speech": workspace.artefact("speech", subject.name),
            }
            reads = {role: path for role, path in paths.items() if path.is_file()}
            if "faces" in reads and subject.name in folds:
                reads |= {"index": workspace.artefact("index", subject.name), "landmarks": landmarks}
                view = {"view": _view_file(workspace, kind, subject)}
                found.append(Unit(f"{kind}/{subject.name}", reads, view))
    return found


def take_view(unit: Unit, _settings: None) -> list[Note]:
    """What is known of a copy whichever system is asked about, and the truth at its steps."""
    from safetensors.numpy import load_file

    reads, landmarks = unit.reads, load_file(unit.reads["landmarks"])["landmarks"]
    view = look(reads["faces"], reads.get("speech"), reads.get("embeddings"), landmarks)
    labels = read_arrays(reads["index"], "valence_arousal", "time_s")
    truth = labels["valence_arousal"][nearest(labels["time_s"], view.time_s)].astype(np.float64)
    write_arrays(unit.writes["view"], view.to_arrays() | {"truth": truth})
    return []


def units(workspace: Workspace, corpus: Corpus, folds: Mapping[str, int]) -> list[Unit]:
    """One unit per system with out-of-fold traces of two recordings or more, of copies that have a view.

    Args:
        workspace: of the run.
        corpus: whose validation subjects.
        folds: subject -> its fold.
    """
    found = (_unit(workspace, corpus, folds, system) for system in (*SYSTEMS, *FUSIONS))
    return [unit for unit in found if unit]


def _unit(workspace: Workspace, corpus: Corpus, folds: Mapping[str, int], system: str) -> Unit | None:
    reads: dict[str, Path] = {}
    others = [name for name in parts_of(system) if name != system]
    copies: dict[str, str] = {}
    for kind in KINDS:
        for subject in corpus.of("validation"):
            own = _own(workspace, subject, kind, system, others)
            if own and subject.name in folds:
                copy = f"{kind}/{subject.name}"
                copies[copy] = subject.recording
                reads |= {f"{role}@{copy}": path for role, path in own.items()}
    writes = {
        "model": workspace.model(f"{FOLDER}/{system}.safetensors"),
        "measured": workspace.metrics(f"{FOLDER}/{system}.json"),
        "bands": workspace.folder("intervals", system),
    }
    facts = {"copies": copies, "others": others, "folds": folds}
    enough = len(set(copies.values())) >= FEWEST_RECORDINGS
    return Unit(system, reads, writes, facts) if enough else None


def _own(
    workspace: Workspace, subject: Subject, kind: str, system: str, others: list[str]
) -> dict[str, Path]:
    """Artefacts of one copy of one subject; empty where the system has no trace of it."""
    place, folder = _place(workspace, kind), out_of_fold_folder if kind == CLEAN else traces_folder
    paths = {
        "view": _view_file(workspace, kind, subject),
        "trace": place / folder(system) / f"{subject.name}.h5",
        **{f"other:{name}": place / folder(name) / f"{subject.name}.h5" for name in others},
    }
    found = {role: path for role, path in paths.items() if path.is_file()}
    return found if {"view", "trace"} <= found.keys() else {}


def _place(workspace: Workspace, kind: str) -> Path:
    return workspace.folder() if kind == CLEAN else workspace.folder("degraded", kind)


def _view_file(workspace: Workspace, kind: str, subject: Subject) -> Path:
    return workspace.folder("intervals", VIEWS, kind) / f"{subject.name}.h5"


def intervals() -> None:
    """Run the stage on params.yaml."""
    params, workspace = load_params(), Workspace()
    corpus = workspace.corpus()
    folds = validation_folds(workspace, corpus, params.crossfit)
    with Stage("intervals") as stage:
        stage.run(take_landmarks, [landmark_unit(workspace, corpus)], params.intervals, jobs=1)
        stage.run(take_view, view_units(workspace, corpus, folds), compute=params.compute)
        stage.run(fit_interval, units(workspace, corpus, folds), params.intervals, compute=params.compute)


if __name__ == "__main__":
    main("intervals")
