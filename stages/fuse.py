"""Fuse the systems: Dirichlet-weighted fusion and random forest, fitted on validation.

    python -m stages.fuse          (dvc repro fuse)

Reads   data/traces/<system>/<subject>.h5         native-rate traces
        data/traces/<system>.out_of_fold/<subject>.h5   validation by what each fold's others picked
        data/speech/<subject>.h5                  speaking steps, for weights that follow the voice
        data/faces, data/embeddings               for weights that follow how sure each system is
        data/index/<subject>.h5                   labels
Writes  data/fused/widths/<system>.safetensors    widths of the intervals, for the fusions by width
        models/fusion/<fusion>.safetensors        weights, or trees
        models/fusion/provenance.json             the corpus that the models learnt from
        data/fused/<fusion>.out_of_fold/<subject>.h5   validation, each recording by a fit on the others
        data/fused/<fusion>/<subject>.h5          validation and test, by a fit on all of validation
        metrics/fusion/<fusion>.json              weights, or what the forest was chosen by
Params  fuse, crossfit, intervals

Paper, sections 3.3 and 5: face + audio by DWF, face + audio + functionals by DWF, the same by a forest chosen
out of bag. Ours beside them: face + audio by weights that follow the share of speaking time around a frame
(`fusion.voice`), a forest chosen by video-grouped folds, and both kinds over face + audio + functionals with
the widths of the systems' intervals (`fusion.width`).
A system without a prediction for a video (audio without sound) abstains: the mean of the others replaces it.
A fusion of a system that predicts no validation video isn't fitted: it would be another fusion, of the others
alone, under its name.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stages.core.arrays import Flags, Floats
from stages.core.artefacts import read_arrays, read_config, read_json, write_arrays, write_json, write_tensors
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.errors import ValaroError
from stages.core.folds import Groups, validation_folds
from stages.core.notes import Note
from stages.core.params import ComputeParams, CrossfitParams, FuseParams, IntervalParams, load_params
from stages.core.systems import FUSIONS, OUT_OF_FOLD
from stages.core.untrained import Untrained, read_untrained, write_untrained
from stages.engine.stage import Stage, main
from stages.engine.units import Unit
from stages.evaluation.difficulty import FEATURES, on_grid
from stages.fusion.grouped import cross_fitted
from stages.fusion.methods import METHODS, Fitted
from stages.fusion.part_intervals import PART, PartInterval, SystemWidths, at_native, stack_widths
from stages.fusion.stacks import of_subject, read_stack, read_stacks_by_fold, read_view, require_recordings
from stages.fusion.system_widths import fit_widths

SEEN = ("speech", "faces", "embeddings")
"""Stages whose results the intervals depend on."""
WIDTHS = "widths/"
"""Prefix of the roles of the files with the widths, where a fusion is fitted."""


class _Rows(NamedTuple):
    """Frames of some subjects: truth (N, 2); others (N,).

    stacks: by what all of validation picked, (N, M, 2), or with more columns (by voice, by width).
    by_fold: the same by what each fold's others picked, (folds, N, ...).
    """

    stacks: Floats
    by_fold: Floats
    truth: Floats
    time_s: Floats
    on_grid: Flags
    recording: Groups
    subject: Groups


def fit_fusion(unit: Unit, settings: FuseParams) -> list[Note]:
    """Fit one fusion on all of validation, and predict every validation recording by a fit on the others."""
    require_recordings(unit)
    rows, parts = _gather(unit, settings)
    truth = rows.truth
    fusion = FUSIONS[unit.facts["fusion"]]
    method = METHODS[fusion.method]
    if method.thins:  # neighbouring frames are near-duplicates: a thinner grid is enough
        truth = np.where(rows.on_grid[:, None], truth, np.nan)
    known = ~np.isnan(truth).any(axis=1)
    fit = partial(method.fit, settings, 2 if fusion.by_speech else 1)
    fold = np.array([unit.facts["folds"][name] for name in rows.subject.tolist()])
    out_of_fold = cross_fitted(
        fit,
        lambda fitted, stacks: fitted.predict(stacks),
        lambda each: rows.by_fold[each],
        truth,
        rows.recording,
        fold,
    )
    for name in unit.facts["subjects"]:
        own = rows.subject == name
        arrays = {"valence_arousal": _clip(out_of_fold[own]), "time_s": rows.time_s[own]}
        write_arrays(unit.writes["out_of_fold"] / f"{name}.h5", arrays)
    fitted = fit(rows.stacks[known], truth[known], rows.recording[known])
    _save(unit, fitted, parts, settings.speaking_window_s)
    return []


def apply_fusion(unit: Unit, _settings: None) -> list[Note]:
    """Fuse one subject's traces."""
    from safetensors.numpy import load_file

    config = read_config(unit.reads["model"])
    stack, time_s = read_stack(unit, config["systems"], config.get("speaking_window_s"))
    fusion, arrays = FUSIONS[config["fusion"]], load_file(unit.reads["model"])
    method = METHODS[fusion.method]
    if fusion.by_width:
        _require_same_features(unit.reads["model"], arrays, config)
        parts = {name: PartInterval.from_arrays(arrays, f"{PART}.{name}") for name in config["systems"]}
        stack = method.weigh(stack, _widths(unit, parts, time_s))
    own = {name: array for name, array in arrays.items() if not name.startswith(f"{PART}.")}
    fused = _clip(method.load(own).predict(stack))
    write_arrays(unit.writes["trace"], {"valence_arousal": fused, "time_s": time_s})
    return []


def _require_same_features(model: Path, arrays: Mapping[str, Floats], config: Mapping[str, Any]) -> None:
    """The trees of the systems' intervals ask for features by their place: of another version, for others.

    Raises:
        ValaroError: the model was fitted by another version.
    """
    if any(name.startswith(f"{PART}.") for name in arrays) and config.get("features") != list(FEATURES):
        problem = "its intervals look at other features than this version computes"
        raise ValaroError(f"{model}: {problem}. Run `dvc repro fuse` again.")


def _widths(unit: Unit, parts: Mapping[str, PartInterval], time_s: Floats) -> Floats:
    """Widths of the systems' intervals at native frames. Shape: (N,) -> (N, M, 2)."""
    view = read_view(unit)
    found = [
        at_native(part.widths(view, on_grid(unit.reads[name], view.time_s)), view.time_s, time_s)
        if name in unit.reads
        else None
        for name, part in parts.items()
    ]
    return stack_widths(found, len(time_s))


def _save(unit: Unit, fitted: Fitted, parts: dict[str, PartInterval], speaking_window_s: float) -> None:
    fusion = unit.facts["fusion"]
    config = {"systems": unit.facts["systems"], "fusion": fusion}
    if FUSIONS[fusion].by_speech:
        config["speaking_window_s"] = speaking_window_s
    arrays = fitted.to_arrays()
    for name, part in parts.items():
        arrays |= part.to_arrays(f"{PART}.{name}")
    asked = {"features": list(FEATURES)} if parts else {}
    write_tensors(unit.writes["model"], arrays, **config, **asked)
    write_json(unit.writes["summary"], config | fitted.summary())


def _gather(unit: Unit, settings: FuseParams) -> tuple[_Rows, dict[str, PartInterval]]:
    """All frames of all validation subjects; `on_grid` marks about rows_hz of them a second.

    With them the systems' intervals, fitted on all of validation, where the stack holds their widths.
    """
    fusion, systems = FUSIONS[unit.facts["fusion"]], unit.facts["systems"]
    window_s = settings.speaking_window_s if fusion.by_speech else None
    parts, folds = [], len(set(unit.facts["folds"].values()))
    shown = {name: of_subject(unit, name) for name in unit.facts["subjects"]}
    for name, recording in unit.facts["subjects"].items():
        stack, time_s = read_stack(shown[name], systems, window_s)
        by_fold = read_stacks_by_fold(shown[name], systems, time_s, folds, window_s)
        truth = read_arrays(shown[name].reads["index"], "valence_arousal")["valence_arousal"]
        parts.append(
            (
                stack,
                by_fold,
                truth,
                time_s,
                _on_grid(time_s, settings.rows_hz),
                np.full(len(truth), recording),
                np.full(len(truth), name),
            )
        )
    stacks, by_fold, *others = zip(*parts, strict=True)
    joined = (np.concatenate(columns) for columns in others)
    rows = _Rows(np.concatenate(stacks), np.concatenate(by_fold, axis=1), *joined)
    return _weighed(unit, rows) if fusion.by_width else (rows, {})


def _weighed(unit: Unit, rows: _Rows) -> tuple[_Rows, dict[str, PartInterval]]:
    """The rows with the widths of the systems' intervals, each by fits on other recordings; the intervals."""
    from safetensors.numpy import load_file

    weigh = METHODS[FUSIONS[unit.facts["fusion"]].method].weigh
    known = {
        system: SystemWidths.from_arrays(load_file(unit.reads[f"{WIDTHS}{system}"]))
        for system in unit.facts["systems"]
    }
    times = {name: rows.time_s[rows.subject == name] for name in unit.facts["subjects"]}

    def native(fold: int | None) -> Floats:
        """Widths at all frames, by fits that exclude the fold at this position. Shape: -> (N, M, 2)."""
        parts = []
        for name, time_s in times.items():
            own = [
                at_native(each.of(name, fold), each.time_s[name], time_s) if name in each.time_s else None
                for each in known.values()
            ]
            parts.append(stack_widths(own, len(time_s)))
        return np.concatenate(parts)

    by_fold = np.stack([weigh(stacks, native(fold)) for fold, stacks in enumerate(rows.by_fold)])
    weighed = rows._replace(stacks=weigh(rows.stacks, native(None)), by_fold=by_fold)
    return weighed, {system: each.part for system, each in known.items()}


def _on_grid(time_s: Floats, rows_hz: float | None) -> Flags:
    """The first frame of every 1 / rows_hz seconds; None: every frame. (N,) -> (N,)."""
    if rows_hz is None:
        return np.ones(len(time_s), bool)
    return np.asarray(np.diff(np.floor(time_s * rows_hz + 1e-6), prepend=-1) > 0)


def _clip(fused: Floats) -> Floats:
    return np.clip(fused, -1, 1).astype(np.float32)


def width_units(
    workspace: Workspace, subjects: list[Subject], folds: dict[str, int], fusions: Collection[str] = FUSIONS
) -> list[Unit]:
    """Inputs and outputs of `fit_widths`, for every system that is part of a fusion by width.

    Args:
        workspace: where everything lies.
        subjects: of validation.
        folds: subject -> its fold, that by which the systems' epochs were picked.
        fusions: those that are fitted.
    """
    weighed = (FUSIONS[name].systems for name in fusions if FUSIONS[name].by_width)
    systems = dict.fromkeys(system for systems in weighed for system in systems)
    return [
        Unit(
            system,
            _fitted_on(workspace, subjects, (system,), SEEN),
            {"widths": _widths_file(workspace, system)},
            _validation(subjects, (system,), folds),
        )
        for system in systems
    ]


def fitting_unit(workspace: Workspace, subjects: list[Subject], fusion: str, folds: dict[str, int]) -> Unit:
    """What fitting one fusion reads and writes.

    Args:
        workspace: where everything lies.
        subjects: of validation.
        fusion: its name.
        folds: subject -> its fold, that by which the systems' epochs were picked.
    """
    systems = FUSIONS[fusion].systems
    reads = _fitted_on(workspace, subjects, systems, ("speech",) if FUSIONS[fusion].by_speech else ())
    if FUSIONS[fusion].by_width:
        reads |= {f"{WIDTHS}{system}": _widths_file(workspace, system) for system in systems}
    writes = {
        "model": workspace.model(f"fusion/{fusion}.safetensors"),
        "summary": workspace.metrics(f"fusion/{fusion}.json"),
        "out_of_fold": workspace.folder("fused", f"{fusion}{OUT_OF_FOLD}"),
    }
    return Unit(fusion, reads, writes, {"fusion": fusion, **_validation(subjects, systems, folds)})


def _widths_file(workspace: Workspace, system: str) -> Path:
    return workspace.folder("fused", "widths") / f"{system}.safetensors"


def _validation(subjects: list[Subject], systems: Sequence[str], folds: dict[str, int]) -> dict[str, Any]:
    recordings = {subject.name: subject.recording for subject in subjects}
    return {"systems": list(systems), "subjects": recordings, "folds": folds}


def _fitted_on(
    workspace: Workspace, subjects: list[Subject], systems: Sequence[str], beside: Sequence[str]
) -> dict[str, Path]:
    """Labels, traces and the results of the stages `beside`, by `<role>/<subject>`."""
    reads: dict[str, Path] = {}
    for subject in subjects:
        inputs = {"index": workspace.artefact("index", subject.name)}
        for system, path in _traces(workspace, subject, systems).items():
            inputs[system] = path
            inputs[f"{system}{OUT_OF_FOLD}"] = workspace.artefact(
                f"traces/{system}{OUT_OF_FOLD}", subject.name
            )
        inputs |= _beside(workspace, subject, beside)
        reads |= {f"{role}/{subject.name}": path for role, path in inputs.items()}
    return reads


def applying_units(
    workspace: Workspace, models: Workspace, subjects: list[Subject], fusion: str
) -> list[Unit]:
    """One unit per subject to fuse; none if the fusion isn't fitted."""
    model = models.model(f"fusion/{fusion}.safetensors")
    if read_untrained(model):
        return []
    return [
        Unit(
            f"{fusion}/{subject.name}",
            {"model": model, **inputs},
            {"trace": workspace.artefact(f"fused/{fusion}", subject.name)},
        )
        for subject in subjects
        if (inputs := _inputs(workspace, subject, fusion))
    ]


def _inputs(workspace: Workspace, subject: Subject, fusion: str) -> dict[str, Path]:
    """The existing traces by system, and what else the fusion looks at; empty where there is no trace."""
    found = _traces(workspace, subject, FUSIONS[fusion].systems)
    beside = SEEN if FUSIONS[fusion].by_width else ("speech",) if FUSIONS[fusion].by_speech else ()
    return found and found | _beside(workspace, subject, beside)


def _traces(workspace: Workspace, subject: Subject, systems: Sequence[str]) -> dict[str, Path]:
    """The existing traces by system."""
    paths = {system: workspace.artefact(f"traces/{system}", subject.name) for system in systems}
    return {system: path for system, path in paths.items() if path.is_file()}


def _beside(workspace: Workspace, subject: Subject, stages: Sequence[str]) -> dict[str, Path]:
    """Results of other stages for a subject that has a trace; speech must exist."""
    paths = {stage: workspace.artefact(stage, subject.name) for stage in stages}
    return {stage: path for stage, path in paths.items() if stage == "speech" or path.is_file()}


def unfitted(workspace: Workspace, subjects: list[Subject]) -> dict[str, Untrained]:
    """The fusions of a system without any trace, and why they aren't fitted.

    Args:
        workspace: where the traces lie.
        subjects: of validation.
    """
    remedy = "See the notes of predict in metrics/notes.json"
    singles = dict.fromkeys(system for fusion in FUSIONS.values() for system in fusion.systems)
    without = [system for system in singles if not workspace.having(subjects, f"traces/{system}")]
    return {
        name: Untrained(f"{' and '.join(missing)} predicts no validation video", remedy)
        for name, fusion in FUSIONS.items()
        if (missing := [system for system in without if system in fusion.systems])
    }


def run(
    stage: Stage,
    workspace: Workspace,
    corpus: Corpus,
    settings: FuseParams,
    crossfit: CrossfitParams,
    intervals: IntervalParams,
    compute: ComputeParams,
) -> None:
    """Fit every fusion whose systems have traces, then apply it to validation and test."""
    folds = validation_folds(workspace, corpus, crossfit)
    labelled = workspace.having(corpus.of("validation"), "traces/dynamic")
    left_out = unfitted(workspace, labelled)
    for fusion, lack in left_out.items():
        model = workspace.model(f"fusion/{fusion}.safetensors")
        write_untrained(model, lack)
        write_json(workspace.metrics(f"fusion/{fusion}.json"), {"reason": lack.reason})
        stage.note(lack.note(fusion, model))
    fusions = [name for name in FUSIONS if name not in left_out]
    stage.run(fit_widths, width_units(workspace, labelled, folds, fusions), intervals, compute=compute)
    cost = {name: (METHODS[fusion.method].thins, fusion.by_width) for name, fusion in FUSIONS.items()}
    slowest_first = sorted(fusions, key=cost.__getitem__, reverse=True)
    fitting = [fitting_unit(workspace, labelled, fusion, folds) for fusion in slowest_first]
    stage.run(fit_fusion, fitting, settings, compute=compute)
    source = read_json(workspace.corpus_file).get("source")
    write_json(workspace.model("fusion/provenance.json"), {"corpus": source})
    subjects = corpus.of("validation", "test")
    units = [unit for fusion in fusions for unit in applying_units(workspace, workspace, subjects, fusion)]
    stage.run(apply_fusion, units, compute=compute)


def fuse() -> None:
    """Run the stage on params.yaml."""
    params, workspace = load_params(), Workspace()
    with Stage("fuse", workspace.folder("fused")) as stage:
        run(
            stage,
            workspace,
            workspace.corpus(),
            params.fuse,
            params.crossfit,
            params.intervals,
            params.compute,
        )


if __name__ == "__main__":
    main("fuse")
