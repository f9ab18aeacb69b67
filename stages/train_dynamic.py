"""Train the temporal model on sequences of embeddings (system 1, "face-based end-to-end").

    python -m stages.train_dynamic          (dvc repro train_dynamic)

Reads   data/embeddings/<subject>.h5     embedding (T, 256) at fps_hz
        data/index/<subject>.h5          labels on native frames
Writes  models/dynamic/                  valence.safetensors, arousal.safetensors: the best weights by each;
                                         normalisation.safetensors
        metrics/dynamic/                 metrics.json, plots/: training curves
        data/out_of_fold/dynamic/<subject>.h5   validation by the epochs that other recordings choose
Params  dynamic, crossfit

Steps without a face are left out, marked, or taken as they are (dynamic.missing).

Paper, section 3.2.2 and figure 1. Selected by the CCC over all labelled native frames of validation, after
interpolation and smoothing; for the out-of-fold figure, by that of all folds but one (`training.crossfit`).
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from stages.core.arrays import Flags, Floats
from stages.core.artefacts import read_arrays, read_facts, write_tensors
from stages.core.corpus import Corpus, Workspace
from stages.core.errors import ValaroError
from stages.core.folds import validation_folds
from stages.core.labels import resample_labels
from stages.core.measures import TARGETS
from stages.core.notes import Note
from stages.core.params import CrossfitParams, DynamicParams, load_params
from stages.engine.stage import Stage, main
from stages.engine.units import Unit
from stages.inference.after_training import DYNAMIC, exporting
from stages.temporal.missing import Missing, fitted_on, model_input
from stages.temporal.normalisation import Normaliser
from stages.training.kept import Kept

CHOSEN_BY = ("valence_ccc", "arousal_ccc")
"""Each target has an epoch of its own."""


def train(unit: Unit, settings: DynamicParams) -> list[Note]:
    """Fit the model; keep the best weights for valence and for arousal.

    Args:
        unit: with `epochs` among its facts (score -> epoch) nothing is validated: the weights of these epochs
            are kept, and nothing else is written.
        settings: of the model.
    """
    import torch
    from torch.utils.data import DataLoader

    from stages.temporal.dynamic import DynamicModel
    from stages.training.checkpoints import save_model
    from stages.training.crossfit import chosen_epochs, kept_scores, write_out_of_fold
    from stages.training.curves import Curves
    from stages.training.loop import fit
    from stages.training.scorer import RecordingScorer
    from stages.training.until import Until

    training = [name for name in unit.facts["train"] if _ever_seen(unit, name)]
    validation, folds = unit.facts["validation"], unit.facts["folds"]
    if not training:
        raise ValaroError("no training subject whose face is ever seen; look at data/faces/notes.json")
    fps_hz = read_facts(unit.reads[f"embeddings/{training[0]}"])["fps_hz"]
    window = round(settings.window_s * fps_hz)
    missing = settings.missing
    normaliser = Normaliser.fit(settings.normalisation, (_fitted_on(unit, n, missing) for n in training))
    windows = _windows(unit, training, normaliser, window, fps_hz, missing)
    if not len(windows):
        raise ValaroError(
            f"no labelled stretch of dynamic.window_s = {settings.window_s} s in the training split"
        )
    config = _architecture(settings, windows[0].embedding.shape[1])
    torch.manual_seed(settings.optimisation.seed)
    model = DynamicModel(**config)
    batches = DataLoader(
        windows, batch_size=settings.batch_size, shuffle=True, drop_last=len(windows) > settings.batch_size
    )
    predict = _Predictor(unit, normaliser, window, missing)
    index = {name: unit.reads[f"index/{name}"] for name in validation}
    scorer = RecordingScorer(predict, index, settings.validation_smooth_s, folds)
    until = Until(unit.facts["epochs"], "mean_ccc") if "epochs" in unit.facts else None
    with Curves("dynamic", unit.scratch / "live") as curves:
        fitted = fit(
            model,
            lambda net, batch: _loss(net, batch, missing),
            batches,
            until or scorer,
            settings.optimisation,
            stop_on="mean_ccc",
            keep=kept_scores(folds, CHOSEN_BY),
            scratch=unit.scratch,
            run_id=unit.scratch.name,
            after_epoch=until.note if until else curves,
        )
        unit.writes["model"].mkdir(parents=True)
        for target in TARGETS:
            path = unit.writes["model"] / f"{target}.safetensors"
            save_model(
                path,
                fitted.restore(model, f"{target}_ccc"),
                {"model": config, "window": window, "fps_hz": fps_hz, "missing": missing},
            )
        write_tensors(unit.writes["model"] / "normalisation.safetensors", normaliser.to_arrays())
        if until:
            return []
        curves.deliver(
            fitted,
            unit.writes["plots"],
            unit.writes["metrics"],
            windows=len(windows),
            epochs_by_fold=chosen_epochs(fitted, folds, CHOSEN_BY),
        )
        names = [name for name in validation if name in folds]
        write_out_of_fold(unit.writes["out_of_fold"], fitted, model, folds, CHOSEN_BY, names, predict)
    return []


def _loss(model: Any, batch: Any, missing: Missing) -> Any:
    """1 - CCC of both targets, over the steps that count."""
    from stages.training.losses import ccc_loss

    if missing != "mask":
        return ccc_loss(model(batch.embedding), batch.target)
    return ccc_loss(model(batch.embedding, batch.valid), batch.target, batch.valid)


def _architecture(settings: DynamicParams, features: int) -> dict[str, Any]:
    return {
        "kind": settings.kind,
        "features": features,
        "d_model": settings.d_model,
        "layers": settings.layers,
        "heads": settings.heads,
        "dropout": settings.dropout,
    }


def _fitted_on(unit: Unit, name: str, missing: Missing) -> Floats:
    found = read_arrays(unit.reads[f"embeddings/{name}"], "embedding", "detected")
    return fitted_on(found["embedding"], found["detected"], missing)


def _ever_seen(unit: Unit, name: str) -> bool:
    """Whether there is a face at all; nothing can be learnt from a black image."""
    return bool(read_arrays(unit.reads[f"embeddings/{name}"], "detected")["detected"].any())


def _windows(
    unit: Unit, names: list[str], normaliser: Normaliser, window: int, fps_hz: float, missing: Missing
) -> Any:
    from stages.temporal.sequences import Sequence, SequenceWindows

    def sequences() -> Iterator[Sequence]:
        for name in names:
            embedded, index = (
                read_arrays(unit.reads[f"embeddings/{name}"]),
                read_arrays(unit.reads[f"index/{name}"]),
            )
            labels, labelled = resample_labels(
                index["valence_arousal"], index["labelled"], index["time_s"], embedded["time_s"]
            )
            shown, known = model_input(normaliser, embedded["embedding"], embedded["detected"], missing)
            yield Sequence(shown, labels, labelled, embedded["time_s"], known)

    shapes = [read_arrays(unit.reads[f"embeddings/{name}"], "embedding")["embedding"].shape for name in names]
    return SequenceWindows(
        sequences(),
        unit.scratch / "embeddings.f32",
        steps=sum(steps for steps, _ in shapes),
        features=shapes[0][1] + (missing == "input"),
        step_s=1 / fps_hz,
        window=window,
        hop=max(1, window // 2),
    )


class _Predictor:
    """One subject on the grid: model, name -> (T, 2), (T,)."""

    def __init__(self, unit: Unit, normaliser: Normaliser, window: int, missing: Missing) -> None:
        self._unit, self._normaliser, self._window, self._missing = unit, normaliser, window, missing
        self._shown = Kept(self._read_shown)

    def __call__(self, model: Any, name: str) -> tuple[Floats, Floats]:
        from stages.temporal.dynamic import saying
        from stages.temporal.recording import predict_sequence

        shown, known, time_s = self._shown(name)
        hop = max(1, self._window // 2)
        return predict_sequence(saying(model), shown, self._window, hop, known=known), time_s

    def _read_shown(self, name: str) -> tuple[Floats, Flags | None, Floats]:
        """The model's input, the steps that it may attend to, and their times."""
        embedded = read_arrays(self._unit.reads[f"embeddings/{name}"], "embedding", "detected", "time_s")
        shown, known = model_input(
            self._normaliser, embedded["embedding"], embedded["detected"], self._missing
        )
        return shown, known, embedded["time_s"]


def unit_of(workspace: Workspace, corpus: Corpus, crossfit: CrossfitParams) -> Unit:
    """The one unit of this stage: everything it reads and writes."""
    fitted = workspace.fitted(corpus, "embeddings", "embeddings")
    names: dict[str, Any] = {split: [s.name for s in subjects] for split, subjects in fitted.items()}
    reads: dict[str, Path] = {}
    for name in names["train"] + names["validation"]:
        reads[f"embeddings/{name}"] = workspace.artefact("embeddings", name)
        reads[f"index/{name}"] = workspace.artefact("index", name)
    writes = {
        "model": workspace.model("dynamic"),
        "plots": workspace.metrics("dynamic/plots"),
        "metrics": workspace.metrics("dynamic/metrics.json"),
        "out_of_fold": workspace.folder("out_of_fold", "dynamic"),
    }
    names["folds"] = validation_folds(workspace, corpus, crossfit)
    return Unit("dynamic", reads, writes, names)


def train_dynamic() -> None:
    """Run the stage on params.yaml."""
    params, workspace = load_params(), Workspace()
    unit = unit_of(workspace, workspace.corpus(), params.crossfit)
    unit = replace(unit, when_computed=exporting(DYNAMIC, params.compute))
    with Stage("train_dynamic") as stage:
        stage.run(train, [unit], params.dynamic, jobs=1)


if __name__ == "__main__":
    main("train_dynamic")
