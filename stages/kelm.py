"""Fit the kernel extreme learning machine on functionals of short windows (system "functionals").

    python -m stages.kelm          (dvc repro kelm)

Reads   data/embeddings/<subject>.h5             embedding (T, 256) at fps_hz
        data/index/<subject>.h5                  labels on native frames
Writes  models/kelm/<functionals>.safetensors    the machine, the standardisation, its window and functionals
        metrics/kelm/<functionals>.json          the C and gamma chosen, and how; `validation`: table 4
        data/out_of_fold/kelm/<functionals>/<subject>.h5   validation by the C and gamma that other recordings
                                                 choose; one entry where training chose them
Params  kelm, crossfit

Paper, section 3.2.2 and equation 1: non-overlapping 2 s windows; the target is a window's mean label. The
functionals are joined by underscores (mean_min_max: table 4's three sets, and mean, min_max). Each set has a
machine of its own; what else is compared changes nothing in it. C and gamma are chosen by cross-validation
over the training videos (the default) or, as in the paper, on validation: that figure is optimistic, and
metrics say so. `validation` is what table 4 reports: the CCC over all labelled native frames of validation
after interpolation and smoothing, by the machine fitted on all training windows.

Memory: the functionals of all training windows, and for the exact solution 4 n² bytes, stated and compared
with what is free before the search starts; beyond kelm.max_exact_windows a sample of landmarks stands in.
"""

from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stages.core.arrays import Floats
from stages.core.artefacts import read_arrays, read_facts, write_arrays, write_json, write_tensors
from stages.core.corpus import LEAST_RECORDINGS, Corpus, Workspace
from stages.core.errors import ValaroError
from stages.core.folds import Groups, assign_folds, validation_folds
from stages.core.labels import resample_labels
from stages.core.measures import ccc_per_target
from stages.core.notes import Note
from stages.core.params import CrossfitParams, KelmParams, load_params
from stages.engine.device import torch_device
from stages.engine.progress import say
from stages.engine.stage import Stage, main
from stages.engine.units import Unit
from stages.fusion.postprocessing import smooth_to_native
from stages.temporal.functionals import (
    functionals,
    hold,
    nearest_described,
    window_of_step,
    window_targets,
)
from stages.temporal.kelm import Kelm, fit_kelm, gamma_scale, plan_solution
from stages.temporal.kelm_search import Candidate, search_kelm
from stages.temporal.normalisation import Normaliser

FEWEST_VIDEOS = LEAST_RECORDINGS["train"]
"""For a cross-validation by video: one to fit on, one to score on."""

WORTH_A_GPU = 5000
"""Windows; fewer are solved sooner than PyTorch is imported."""

WORTH_THREADS = 500
"""Windows; for fewer, BLAS takes three times as long on two cores, which wait for each other, as on one."""


class _Windows(NamedTuple):
    """Labelled windows of some subjects: features (W, D), targets (W, 2), video (W,)."""

    features: Floats
    targets: Floats
    video: Groups


def fit(unit: Unit, settings: KelmParams) -> list[Note]:
    """Gather the windows, choose C and gamma, fit on all training windows.

    Args:
        unit: of one set of functionals.
        settings: `common` to all.
    """
    settings = _of_set(unit, settings)
    training = _windows(unit, "train", settings)
    with _threads_for(training):
        return _fit(unit, settings, training)


def _threads_for(training: _Windows) -> AbstractContextManager[Any]:
    from threadpoolctl import threadpool_limits

    few = len(training.features) < WORTH_THREADS
    limits: AbstractContextManager[Any] = threadpool_limits(1 if few else None, user_api="blas")
    return limits


def _fit(unit: Unit, settings: KelmParams, training: _Windows) -> list[Note]:
    solution, cost = plan_solution(
        *training.features.shape,
        kernel=settings.kernel,
        max_exact_windows=settings.max_exact_windows,
        landmarks=settings.landmarks,
    )
    say(f"kelm {settings.functionals}: {cost}")
    kind = "standard" if settings.standardise else "none"
    normaliser = Normaliser.fit(kind, [training.features])
    features = normaliser.apply(training.features)
    unit_gamma = gamma_scale(features)
    gammas = [factor * unit_gamma for factor in settings.gamma_scale] if settings.kernel == "rbf" else [0.0]
    folds, optimistic = unit.facts["folds"], settings.choose_on == "validation"
    choose = partial(_search, unit, settings, normaliser, training, gammas)
    best = choose(None)
    by_fold = [choose(fold) if optimistic else best for fold in sorted(set(folds.values()))]
    points = {(each.c, each.gamma) for each in (best, *by_fold)}
    machines = {point: _machine(settings, features, training.targets, *point) for point in points}
    machine = machines[best.c, best.gamma]
    write_machine(unit.writes["model"], machine, normaliser, settings)
    figures = {
        "kernel": settings.kernel,
        "solution": solution,
        "c": best.c,
        "gamma": best.gamma,
        "gamma_scale": best.gamma / unit_gamma,
        "windows": len(features),
        "choice": {"on": settings.choose_on, **_named(*best.ccc), "optimistic": optimistic},
        "choice_by_fold": [{"c": each.c, "gamma": each.gamma} for each in by_fold],
        "validation": {**_score(unit, machine, normaliser, settings), "optimistic": optimistic},
    }
    write_json(unit.writes["metrics"], figures)
    chosen = [machines[each.c, each.gamma] for each in by_fold] if optimistic else [machine]
    _write_out_of_fold(unit, chosen, normaliser, settings)
    return []


def write_machine(path: Path, machine: Kelm, normaliser: Normaliser, settings: KelmParams) -> None:
    """The machine, its standardisation, and what makes its features."""
    arrays = {f"kelm.{name}": array for name, array in machine.to_arrays().items()}
    arrays |= {f"normalisation.{name}": array for name, array in normaliser.to_arrays().items()}
    write_tensors(path, arrays, window_s=settings.window_s, functionals=names_of(settings))


def constants_of(path: Path) -> tuple[float, float]:
    """C and gamma of a KELM that `write_machine` wrote, exact (the metrics file has six decimals).

    Args:
        path: models/kelm/<functionals>.safetensors.
    """
    from safetensors.numpy import load_file

    machine = Kelm.from_arrays({name.removeprefix("kelm."): array for name, array in load_file(path).items()})
    return machine.c, machine.gamma


def refit(unit: Unit, settings: KelmParams) -> list[Note]:
    """Fit on all windows of the split `train` of a unit, with the C and gamma among its facts."""
    settings = _of_set(unit, settings)
    training = _windows(unit, "train", settings)
    normaliser = Normaliser.fit("standard" if settings.standardise else "none", [training.features])
    features = normaliser.apply(training.features)
    machine = _machine(settings, features, training.targets, unit.facts["c"], unit.facts["gamma"])
    write_machine(unit.writes["model"], machine, normaliser, settings)
    return []


def _of_set(unit: Unit, settings: KelmParams) -> KelmParams:
    return settings.model_copy(update={"functionals": unit.facts["functionals"]})


def _machine(settings: KelmParams, features: Floats, targets: Floats, c: float, gamma: float) -> Kelm:
    return fit_kelm(
        features,
        targets,
        kernel=settings.kernel,
        c=c,
        gamma=gamma,
        max_exact_windows=settings.max_exact_windows,
        landmarks=settings.landmarks,
        seed=settings.seed,
        device=torch_device() if len(features) >= WORTH_A_GPU else "cpu",
    )


def _write_out_of_fold(
    unit: Unit, machines: list[Kelm], normaliser: Normaliser, settings: KelmParams
) -> None:
    """Validation by the machine of each fold; by the only one where training chose C and gamma."""
    folder = unit.writes["out_of_fold"]
    folder.mkdir(parents=True, exist_ok=True)
    for name, fold in unit.facts["folds"].items():
        if f"embeddings/{name}" in unit.reads:
            said = [_predicted(unit, name, machine, normaliser, settings) for machine in machines]
            arrays = {"by_fold": np.array([each for each, _ in said], np.float32), "time_s": said[0][1]}
            write_arrays(folder / f"{name}.h5", arrays, fold=fold)


def names_of(settings: KelmParams) -> list[str]:
    """The functionals by themselves: mean_min -> mean, min."""
    return settings.functionals.split("_")


def _named(valence: float, arousal: float) -> dict[str, float]:
    return {"valence_ccc": valence, "arousal_ccc": arousal, "mean_ccc": (valence + arousal) / 2}


def _score(unit: Unit, machine: Kelm, normaliser: Normaliser, settings: KelmParams) -> dict[str, Any]:
    """CCC of whole validation videos at native rate (paper, section 4.3), labelled frames only."""
    truth, traces = [], []
    for name in unit.facts["validation"]:
        predicted, time_s = _predicted(unit, name, machine, normaliser, settings)
        index = read_arrays(unit.reads[f"index/{name}"], "valence_arousal", "time_s")
        traces.append(smooth_to_native(predicted, time_s, index["time_s"], settings.validation_smooth_s))
        truth.append(index["valence_arousal"])
    frames = np.concatenate(truth)
    figures = ccc_per_target(frames, np.concatenate(traces)).tolist()
    return {**_named(*figures), "labelled_frames": int((~np.isnan(frames).any(axis=1)).sum())}


def _predicted(
    unit: Unit, name: str, machine: Kelm, normaliser: Normaliser, settings: KelmParams
) -> tuple[Floats, Floats]:
    """One subject on the grid. Shape: -> (T, 2), (T,)."""
    embedded = read_arrays(unit.reads[f"embeddings/{name}"], "embedding", "detected", "time_s")
    fps_hz = read_facts(unit.reads[f"embeddings/{name}"])["fps_hz"]
    window = window_of_step(len(embedded["time_s"]), fps_hz, settings.window_s)
    described = functionals(embedded["embedding"], window, names_of(settings), embedded["detected"])
    features = normaliser.apply(nearest_described(described))
    return np.clip(hold(machine.predict(features), window), -1, 1), embedded["time_s"]


def _search(
    unit: Unit,
    settings: KelmParams,
    normaliser: Normaliser,
    training: _Windows,
    gammas: list[float],
    without: int | None,
) -> Candidate:
    """The best C and gamma; chosen on validation, by the recordings outside one fold."""
    features, targets = training.features, training.targets
    counted = None
    if settings.choose_on == "validation":
        validation = _windows(unit, "validation", settings)
        scored_in = np.repeat([-1, 0], [len(features), len(validation.features)])
        features = np.concatenate([features, validation.features])
        targets = np.concatenate([targets, validation.targets])
        if without is not None:
            folds_of = {
                unit.facts["validation"][name]: fold
                for name, fold in unit.facts["folds"].items()
                if name in unit.facts["validation"]
            }
            others = [folds_of.get(recording) != without for recording in validation.video.tolist()]
            counted = np.concatenate([np.zeros(len(training.features), bool), others])
    else:
        videos = len(set(training.video.tolist()))
        if videos < FEWEST_VIDEOS:
            raise ValaroError(
                f"kelm.choose_on: train needs {FEWEST_VIDEOS} labelled training recordings, there is "
                f"{videos}. Set it to validation (the paper's way), or add videos."
            )
        folds = min(settings.folds, videos)
        scored_in = assign_folds(training.video, folds, settings.seed)
    return search_kelm(
        normaliser.apply(features),
        targets,
        scored_in,
        kernel=settings.kernel,
        c=settings.c,
        gamma=gammas,
        landmarks=settings.landmarks,
        seed=settings.seed,
        counted=counted,
    )[0]


def _windows(unit: Unit, split: str, settings: KelmParams) -> _Windows:
    """Functionals and mean labels of every labelled window of a split."""
    features, targets, videos = [], [], []
    for name, video in unit.facts[split].items():
        embedded, index = (
            read_arrays(unit.reads[f"embeddings/{name}"]),
            read_arrays(unit.reads[f"index/{name}"]),
        )
        fps_hz = read_facts(unit.reads[f"embeddings/{name}"])["fps_hz"]
        labels, labelled = resample_labels(
            index["valence_arousal"], index["labelled"], index["time_s"], embedded["time_s"]
        )
        window = window_of_step(len(embedded["time_s"]), fps_hz, settings.window_s)
        target = window_targets(labels, labelled, window)
        described = functionals(embedded["embedding"], window, names_of(settings), embedded["detected"])
        known = np.isfinite(target).all(axis=1) & np.isfinite(described).all(axis=1)
        features.append(described[known])
        targets.append(target[known])
        videos += [video] * int(known.sum())
    if not videos:
        raise ValaroError(f"no labelled window of kelm.window_s = {settings.window_s} s in the {split} split")
    return _Windows(np.concatenate(features), np.concatenate(targets), np.array(videos))


def unit_of(workspace: Workspace, corpus: Corpus, functionals_name: str, crossfit: CrossfitParams) -> Unit:
    """One set of functionals: everything that its machine reads and writes."""
    fitted = workspace.fitted(corpus, "embeddings", "embeddings")
    names: dict[str, Any] = {
        split: {s.name: s.recording for s in subjects} for split, subjects in fitted.items()
    }
    reads: dict[str, Path] = {}
    for name in [*names["train"], *names["validation"]]:
        reads[f"embeddings/{name}"] = workspace.artefact("embeddings", name)
        reads[f"index/{name}"] = workspace.artefact("index", name)
    writes = {
        "model": workspace.model(f"kelm/{functionals_name}.safetensors"),
        "metrics": workspace.metrics(f"kelm/{functionals_name}.json"),
        "out_of_fold": workspace.folder("out_of_fold", "kelm", functionals_name),
    }
    names |= {"folds": validation_folds(workspace, corpus, crossfit), "functionals": functionals_name}
    return Unit(f"kelm/{functionals_name}", reads, writes, names)


def common(settings: KelmParams) -> KelmParams:
    """What all sets of functionals share: which others are compared changes nothing in the result of one."""
    return settings.model_copy(update={"compare": [], "functionals": ""})


def kelm() -> None:
    """Run the stage on params.yaml, for each set of functionals."""
    params, workspace = load_params(), Workspace()
    corpus = workspace.corpus()
    units = [unit_of(workspace, corpus, name, params.crossfit) for name in params.kelm.compare]
    with Stage("kelm") as stage:
        stage.run(fit, units, common(params.kelm), jobs=1)


if __name__ == "__main__":
    main("kelm")
