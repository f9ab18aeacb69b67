"""Train the temporal model on sequences of embeddings (system 1, "face-based end-to-end").

    python -m stages.train_dynamic          (dvc repro train_dynamic)

Reads   data/embeddings/<subject>.h5     embedding (T, 256) at fps_hz
        data/index/<subject>.h5          labels on native frames
Writes  models/dynamic/                  valence.safetensors, arousal.safetensors: the best weights by each;
                                         normalisation.safetensors
        metrics/dynamic/                 metrics.json, plots/: training curves
Params  dynamic

Paper, section 3.2.2 and figure 1. Selected by the CCC over all labelled native frames of validation, after
interpolation and smoothing.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.arrays import Floats
from stages.core.artefacts import read_arrays, read_facts, write_tensors
from stages.core.corpus import Corpus, Workspace
from stages.core.errors import ValaroError
from stages.core.labels import resample_labels
from stages.core.measures import ccc_per_target
from stages.core.notes import Note
from stages.core.params import DynamicParams, load_params
from stages.engine.stage import Stage, Unit, main
from stages.fusion.postprocessing import smooth_to_native
from stages.temporal.normalisation import Normaliser


def train(unit: Unit, settings: DynamicParams) -> list[Note]:
    """Fit the model; keep the best weights for valence and for arousal."""
    import torch
    from torch.utils.data import DataLoader

    from stages.temporal.dynamic import DynamicModel
    from stages.training.checkpoints import save_model
    from stages.training.curves import Curves
    from stages.training.loop import fit
    from stages.training.losses import ccc_loss

    training = [name for name in unit.facts["train"] if _ever_seen(unit, name)]
    validation = unit.facts["validation"]
    if not training:
        raise ValaroError("no training subject whose face is ever seen; look at data/faces/notes.json")
    fps_hz = read_facts(unit.reads[f"embeddings/{training[0]}"])["fps_hz"]
    window = round(settings.window_s * fps_hz)
    normaliser = Normaliser.fit(settings.normalisation, (_embedding(unit, name) for name in training))
    windows = _windows(unit, training, normaliser, window, fps_hz)
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
    scorer = _Scorer(unit, validation, normaliser, window, settings.validation_smooth_s)
    with Curves("dynamic", unit.scratch / "live") as curves:
        fitted = fit(
            model,
            lambda net, batch: ccc_loss(net(batch.embedding), batch.target),
            batches,
            scorer,
            settings.optimisation,
            stop_on="mean_ccc",
            keep=("valence_ccc", "arousal_ccc"),
            scratch=unit.scratch,
            run_id=unit.scratch.name,
            after_epoch=curves,
        )
        unit.writes["model"].mkdir(parents=True)
        for target in ("valence", "arousal"):
            path = unit.writes["model"] / f"{target}.safetensors"
            save_model(
                path,
                fitted.restore(model, f"{target}_ccc"),
                {"model": config, "window": window, "fps_hz": fps_hz},
            )
        write_tensors(unit.writes["model"] / "normalisation.safetensors", normaliser.to_arrays())
        curves.deliver(fitted, unit.writes["plots"], unit.writes["metrics"], windows=len(windows))
    return []


def _architecture(settings: DynamicParams, features: int) -> dict[str, Any]:
    return {
        "kind": settings.kind,
        "features": features,
        "d_model": settings.d_model,
        "layers": settings.layers,
        "heads": settings.heads,
        "dropout": settings.dropout,
    }


def _embedding(unit: Unit, name: str) -> Floats:
    return read_arrays(unit.reads[f"embeddings/{name}"], "embedding")["embedding"]


def _ever_seen(unit: Unit, name: str) -> bool:
    """Whether there is a face at all; a black image's embedding teaches nothing."""
    return bool(read_arrays(unit.reads[f"embeddings/{name}"], "detected")["detected"].any())


def _windows(unit: Unit, names: list[str], normaliser: Normaliser, window: int, fps_hz: float) -> Any:
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
            yield Sequence(normaliser.apply(embedded["embedding"]), labels, labelled, embedded["time_s"])

    shapes = [_embedding(unit, name).shape for name in names]
    return SequenceWindows(
        sequences(),
        unit.scratch / "embeddings.f32",
        steps=sum(steps for steps, _ in shapes),
        features=shapes[0][1],
        step_s=1 / fps_hz,
        window=window,
        hop=max(1, window // 2),
    )


class _Scorer:
    """CCC of whole validation videos at native rate (paper, section 4.3)."""

    def __init__(
        self, unit: Unit, names: list[str], normaliser: Normaliser, window: int, smooth_s: float
    ) -> None:
        self._unit, self._names, self._normaliser = unit, names, normaliser
        self._window, self._smooth_s = window, smooth_s

    def __call__(self, model: Any) -> dict[str, float]:
        from stages.temporal.dynamic import predict_sequence

        truth, traces = [], []
        for name in self._names:
            embedded = read_arrays(self._unit.reads[f"embeddings/{name}"])
            index = read_arrays(self._unit.reads[f"index/{name}"])
            normalised = self._normaliser.apply(embedded["embedding"])
            predicted = predict_sequence(model, normalised, self._window, max(1, self._window // 2))
            traces.append(smooth_to_native(predicted, embedded["time_s"], index["time_s"], self._smooth_s))
            truth.append(index["valence_arousal"])
        valence, arousal = ccc_per_target(np.concatenate(truth), np.concatenate(traces)).tolist()
        return {"valence_ccc": valence, "arousal_ccc": arousal, "mean_ccc": (valence + arousal) / 2}


def unit_of(workspace: Workspace, corpus: Corpus) -> Unit:
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
    }
    return Unit("dynamic", reads, writes, names)


def train_dynamic() -> None:
    """Run the stage on params.yaml."""
    settings, workspace = load_params().dynamic, Workspace()
    with Stage("train_dynamic") as stage:
        stage.run(train, [unit_of(workspace, workspace.corpus())], settings, jobs=1)


if __name__ == "__main__":
    main("train_dynamic")
