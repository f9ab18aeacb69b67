"""Fit the kernel extreme learning machine on functionals of short windows (system "functionals").

    python -m stages.kelm          (dvc repro kelm)

Reads   data/embeddings/<subject>.h5     embedding (T, 256) at fps_hz
        data/index/<subject>.h5          labels on native frames
Writes  models/kelm.safetensors          the machine, the standardisation, its window and functionals
        metrics/kelm.json                the C and gamma chosen, and the CCC they were chosen by
Params  kelm

Paper, section 3.2.2 and equation 1: non-overlapping 2 s windows; the target is a window's mean label. C and
gamma are chosen by cross-validation over the training videos, or, as in the paper, on validation.

Memory: the functionals of all training windows; for the exact solution 4 n² bytes (kelm.max_exact_windows).
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stages.core.arrays import Floats
from stages.core.artefacts import read_arrays, read_facts, write_json
from stages.core.corpus import FITTED_SPLITS, Corpus, Workspace
from stages.core.errors import ValaroError
from stages.core.labels import resample_labels
from stages.core.memo import Note
from stages.core.params import KelmParams, load_params
from stages.core.stage import Stage, Unit, main
from stages.fusion.grouped import Groups, assign_folds
from stages.temporal.functionals import functionals, window_of_step, window_targets
from stages.temporal.kelm import fit_kelm, gamma_scale
from stages.temporal.kelm_search import Candidate, search_kelm
from stages.temporal.normalisation import Normaliser


class _Windows(NamedTuple):
    """Labelled windows of some subjects: features (W, D), targets (W, 2), video (W,)."""

    features: Floats
    targets: Floats
    video: Groups


def fit(unit: Unit, settings: KelmParams) -> list[Note]:
    """Gather the windows, choose C and gamma, fit on all training windows."""
    from safetensors.numpy import save_file

    training = _windows(unit, "train", settings)
    kind = "standard" if settings.standardise else "none"
    normaliser = Normaliser.fit(kind, [training.features])
    features = normaliser.apply(training.features)
    unit_gamma = gamma_scale(features)
    gammas = [factor * unit_gamma for factor in settings.gamma_scale] if settings.kernel == "rbf" else [0.0]
    best = _search(unit, settings, normaliser, training, gammas)
    machine = fit_kelm(
        features,
        training.targets,
        kernel=settings.kernel,
        c=best.c,
        gamma=best.gamma,
        max_exact_windows=settings.max_exact_windows,
        landmarks=settings.landmarks,
        seed=settings.seed,
    )
    arrays = {f"kelm.{name}": np.asarray(array) for name, array in machine.to_arrays().items()}
    arrays |= {f"normalisation.{name}": array for name, array in normaliser.to_arrays().items()}
    config = {"window_s": settings.window_s, "functionals": list(settings.functionals)}
    save_file(arrays, unit.writes["model"], {"config": json.dumps(config, sort_keys=True)})
    score = {"valence": best.ccc[0], "arousal": best.ccc[1], "mean": best.mean}
    chosen_on = f"{settings.choose_on}_ccc"
    facts = {"c": best.c, "gamma": best.gamma, "windows": len(features), chosen_on: score}
    write_json(unit.writes["metrics"], facts)
    return []


def _search(
    unit: Unit, settings: KelmParams, normaliser: Normaliser, training: _Windows, gammas: list[float]
) -> Candidate:
    features, targets = training.features, training.targets
    if settings.choose_on == "validation":
        validation = _windows(unit, "validation", settings)
        scored_in = np.repeat([-1, 0], [len(features), len(validation.features)])
        features = np.concatenate([features, validation.features])
        targets = np.concatenate([targets, validation.targets])
    else:
        folds = min(settings.folds, len(set(training.video.tolist())))
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
    )[0]


def _windows(unit: Unit, split: str, settings: KelmParams) -> _Windows:
    """Functionals and mean labels of every labelled window of a split."""
    features, targets, videos = [], [], []
    for name, video in unit.facts[split].items():
        embedded, index = (
            read_arrays(unit.reads[f"embeddings/{name}"]),
            read_arrays(unit.reads[f"index/{name}"]),
        )
        if not embedded["detected"].any():
            continue  # no face at all: a black image's embedding teaches nothing
        fps_hz = read_facts(unit.reads[f"embeddings/{name}"])["fps_hz"]
        labels, labelled = resample_labels(
            index["valence_arousal"], index["labelled"], index["time_s"], embedded["time_s"]
        )
        window = window_of_step(len(embedded["time_s"]), fps_hz, settings.window_s)
        target = window_targets(labels, labelled, window)
        known = np.isfinite(target).all(axis=1)
        features.append(functionals(embedded["embedding"], window, settings.functionals)[known])
        targets.append(target[known])
        videos += [video] * int(known.sum())
    if not videos:
        raise ValaroError(f"no labelled window of kelm.window_s = {settings.window_s} s in the {split} split")
    return _Windows(np.concatenate(features), np.concatenate(targets), np.array(videos))


def unit_of(workspace: Workspace, corpus: Corpus) -> Unit:
    """The one unit of this stage: everything it reads and writes."""
    names: dict[str, Any] = {
        split: {s.name: s.video for s in workspace.having(corpus.of(split), "embeddings")}
        for split in FITTED_SPLITS
    }
    reads: dict[str, Path] = {}
    for name in [*names["train"], *names["validation"]]:
        reads[f"embeddings/{name}"] = workspace.artefact("embeddings", name)
        reads[f"index/{name}"] = workspace.artefact("index", name)
    return Unit(
        "kelm",
        reads,
        {"model": workspace.model("kelm.safetensors"), "metrics": workspace.metrics("kelm.json")},
        names,
    )


def kelm() -> None:
    """Run the stage on params.yaml."""
    settings, workspace = load_params().kelm, Workspace()
    with Stage("kelm") as stage:
        stage.run(fit, [unit_of(workspace, workspace.corpus())], settings, jobs=1)


if __name__ == "__main__":
    main("kelm")
