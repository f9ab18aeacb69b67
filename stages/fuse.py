"""Fuse the systems: Dirichlet-weighted fusion and random forest, fitted on validation.

    python -m stages.fuse          (dvc repro fuse)

Reads   data/traces/<system>/<subject>.h5         native-rate traces
        data/speech/<subject>.h5                  speaking steps, for weights that follow the voice
        data/index/<subject>.h5                   labels
Writes  models/fusion/<fusion>.safetensors        weights, or trees
        models/fusion/provenance.json             the corpus that the models learnt from
        data/fused/<fusion>.grouped/<subject>.h5  validation, each video fused by what other videos taught
        data/fused/<fusion>/<subject>.h5          validation and test, fused by what all of validation taught
        metrics/fusion/<fusion>.json              weights, or what the forest was chosen by
Params  fuse

Paper, sections 3.3 and 5: face + audio by DWF, face + audio + functionals by DWF, the same by a forest chosen
out of bag. Two of ours beside them: face + audio by weights that follow the share of speaking time around a
frame (`fusion.voice`), and a forest chosen by video-grouped folds.
A system that has nothing to say for a video (audio without sound) abstains: the mean of the others stands in.
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages.core.arrays import Flags, Floats
from stages.core.artefacts import read_arrays, read_config, read_json, write_arrays, write_json, write_tensors
from stages.core.corpus import LEAST_RECORDINGS, Corpus, Subject, Workspace
from stages.core.errors import ValaroError
from stages.core.notes import Note
from stages.core.params import FuseParams, load_params
from stages.core.systems import FUSIONS, GROUPED
from stages.engine.stage import Stage, Unit, main
from stages.fusion.grouped import Groups, assign_folds, cross_fitted
from stages.fusion.methods import METHODS, Fitted
from stages.fusion.voice import speaking_share, split_by_voice

FEWEST_VIDEOS = LEAST_RECORDINGS["validation"]
"""One to score on, two to fit on: the forest's own choice holds one of these out again."""


class _Rows(NamedTuple):
    """Frames of some subjects: stacks (N, M, 2), or (N, 2 M, 2) split by voice; truth (N, 2); others (N,)."""

    stacks: Floats
    truth: Floats
    time_s: Floats
    on_grid: Flags
    video: Groups
    subject: Groups


def fit_fusion(unit: Unit, settings: FuseParams) -> list[Note]:
    """Fit one fusion on all of validation, and predict every validation video by a fit on the others."""
    rows = _gather(unit, settings)
    videos = len(np.unique(rows.video))
    if videos < FEWEST_VIDEOS:
        raise ValaroError(f"fusion needs {FEWEST_VIDEOS} labelled validation recordings, there are {videos}")
    truth = rows.truth
    fusion = FUSIONS[unit.facts["fusion"]]
    method = METHODS[fusion.method]
    if method.thins:  # neighbouring frames are near-duplicates: a thinner grid says it all
        truth = np.where(rows.on_grid[:, None], truth, np.nan)
    known = ~np.isnan(truth).any(axis=1)
    fit = partial(method.fit, settings, 2 if fusion.by_speech else 1)
    fold = assign_folds(rows.video, min(settings.folds, videos), settings.seed, known)
    out_of_fold = cross_fitted(
        fit, lambda fitted, stacks: fitted.predict(stacks), rows.stacks, truth, rows.video, fold
    )
    for name in unit.facts["subjects"]:
        own = rows.subject == name
        arrays = {"valence_arousal": _clip(out_of_fold[own]), "time_s": rows.time_s[own]}
        write_arrays(unit.writes["grouped"] / f"{name}.h5", arrays)
    _save(unit, fit(rows.stacks[known], truth[known], rows.video[known]), settings.speaking_window_s)
    return []


def apply_fusion(unit: Unit, _settings: None) -> list[Note]:
    """Fuse one subject's traces."""
    from safetensors.numpy import load_file

    config = read_config(unit.reads["model"])
    stack, time_s = read_stack(unit, config["systems"], config.get("speaking_window_s"))
    method = METHODS[FUSIONS[config["fusion"]].method]
    fused = _clip(method.load(load_file(unit.reads["model"])).predict(stack))
    write_arrays(unit.writes["trace"], {"valence_arousal": fused, "time_s": time_s})
    return []


def read_stack(
    unit: Unit, systems: list[str], speaking_window_s: float | None = None
) -> tuple[Floats, Floats]:
    """The traces of some systems side by side, and their times; abstentions filled.

    Args:
        unit: reads the traces by their systems, and `speech` if the stack is to be split.
        systems: their order in the stack.
        speaking_window_s: split the stack by the share of speaking time in this window; None: don't.

    Returns:
        (N, M, 2), or (N, 2 M, 2) if split; (N,).
    """
    traces = {s: read_arrays(unit.reads[s], "valence_arousal", "time_s") for s in systems if s in unit.reads}
    if not traces:
        raise ValaroError(f"{unit.name}: none of {', '.join(systems)} has a trace to fuse")
    mean = np.mean([trace["valence_arousal"] for trace in traces.values()], axis=0)
    columns = [traces[system]["valence_arousal"] if system in traces else mean for system in systems]
    stack, time_s = np.stack(columns, axis=1), next(iter(traces.values()))["time_s"]
    if speaking_window_s is None:
        return stack, time_s
    speech = read_arrays(unit.reads["speech"], "speaking", "time_s")
    return split_by_voice(
        stack, speaking_share(speech["speaking"], speech["time_s"], time_s, speaking_window_s)
    ), time_s


def _save(unit: Unit, fitted: Fitted, speaking_window_s: float) -> None:
    fusion = unit.facts["fusion"]
    config = {"systems": unit.facts["systems"], "fusion": fusion}
    if FUSIONS[fusion].by_speech:
        config["speaking_window_s"] = speaking_window_s
    write_tensors(unit.writes["model"], fitted.to_arrays(), **config)
    write_json(unit.writes["summary"], config | fitted.summary())


def _gather(unit: Unit, settings: FuseParams) -> _Rows:
    """All frames of all validation subjects; `on_grid` marks about rows_hz of them a second."""
    window_s = settings.speaking_window_s if FUSIONS[unit.facts["fusion"]].by_speech else None
    parts = []
    for name, video in unit.facts["subjects"].items():
        own = {
            role.split("/", 1)[0]: path for role, path in unit.reads.items() if role.split("/", 1)[1] == name
        }
        stack, time_s = read_stack(Unit(name, own, {}), unit.facts["systems"], window_s)
        truth = read_arrays(own["index"], "valence_arousal")["valence_arousal"]
        parts.append(
            (
                stack,
                truth,
                time_s,
                _on_grid(time_s, settings.rows_hz),
                np.full(len(truth), video),
                np.full(len(truth), name),
            )
        )
    return _Rows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _on_grid(time_s: Floats, rows_hz: float | None) -> Flags:
    """The first frame of every 1 / rows_hz seconds; None: every frame. (N,) -> (N,)."""
    if rows_hz is None:
        return np.ones(len(time_s), bool)
    return np.asarray(np.diff(np.floor(time_s * rows_hz + 1e-6), prepend=-1) > 0)


def _clip(fused: Floats) -> Floats:
    return np.clip(fused, -1, 1).astype(np.float32)


def fitting_unit(workspace: Workspace, subjects: list[Subject], fusion: str) -> Unit:
    """What fitting one fusion reads and writes."""
    reads = {}
    for subject in subjects:
        reads[f"index/{subject.name}"] = workspace.artefact("index", subject.name)
        reads |= {
            f"{role}/{subject.name}": path for role, path in _inputs(workspace, subject, fusion).items()
        }
    writes = {
        "model": workspace.model(f"fusion/{fusion}.safetensors"),
        "summary": workspace.metrics(f"fusion/{fusion}.json"),
        "grouped": workspace.folder("fused", f"{fusion}{GROUPED}"),
    }
    names = {subject.name: subject.recording for subject in subjects}
    return Unit(
        fusion, reads, writes, {"fusion": fusion, "systems": list(FUSIONS[fusion].systems), "subjects": names}
    )


def applying_units(
    workspace: Workspace, models: Workspace, subjects: list[Subject], fusion: str
) -> list[Unit]:
    """One unit per subject to fuse."""
    return [
        Unit(
            f"{fusion}/{subject.name}",
            {"model": models.model(f"fusion/{fusion}.safetensors"), **inputs},
            {"trace": workspace.artefact(f"fused/{fusion}", subject.name)},
        )
        for subject in subjects
        if (inputs := _inputs(workspace, subject, fusion))
    ]


def _inputs(workspace: Workspace, subject: Subject, fusion: str) -> dict[str, Path]:
    """The existing traces by system, and speech if the fusion needs it; empty where there is no trace."""
    systems = FUSIONS[fusion].systems
    paths = {system: workspace.artefact(f"traces/{system}", subject.name) for system in systems}
    found = {system: path for system, path in paths.items() if path.is_file()}
    if found and FUSIONS[fusion].by_speech:
        found["speech"] = workspace.artefact("speech", subject.name)
    return found


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
