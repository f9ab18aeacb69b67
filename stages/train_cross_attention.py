"""Train the model-based fusion: features of the audio and the dynamic models attend to one another.

    python -m stages.train_cross_attention          (dvc repro train_cross_attention)

Reads   data/features/dynamic/<subject>.h5   features (T, 2, d), of the models best at valence and at arousal
        data/features/audio/<subject>.h5     features (T, f); none for a video without sound
        data/speech/<subject>.h5             speaking steps
        data/index/<subject>.h5              labels on native frames
Writes  models/cross_attention/              valence.safetensors, arousal.safetensors: the best weights by
                                             each; normalisation.safetensors
        metrics/cross_attention/             metrics.json, plots/: training curves
        data/out_of_fold/cross_attention/<subject>.h5   validation by the epochs that other recordings choose
        Where nobody is both seen and heard: no weights, and why (`core.untrained`)
Params  cross_attention, crossfit

Paper, section 3.3. Only steps that both modalities describe count. Selected by the CCC over all labelled
native frames of the validation videos with sound, after interpolation and smoothing; for the out-of-fold
figure, by that of all folds but one (`training.crossfit`). Its inputs are the features of the dynamic and the
audio model whose epochs all of validation chose: of that choice its out-of-fold figure isn't free.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.arrays import Floats
from stages.core.artefacts import read_arrays, write_tensors
from stages.core.corpus import FITTED_SPLITS, Corpus, Workspace
from stages.core.folds import validation_folds
from stages.core.labels import resample_labels
from stages.core.measures import SCORED, TARGETS
from stages.core.notes import Note
from stages.core.params import CrossAttentionParams, CrossfitParams, load_params
from stages.core.untrained import Untrained
from stages.engine.stage import Stage, main
from stages.engine.units import Unit
from stages.fusion.streams import Streams, read_streams, step_of
from stages.inference.after_training import CROSS_ATTENTION, exporting
from stages.temporal.normalisation import Normaliser
from stages.training.kept import Kept

CHOSEN_BY = ("valence_ccc", "arousal_ccc")
"""Each target has an epoch of its own."""


def train(unit: Unit, settings: CrossAttentionParams) -> list[Note]:
    """Fit the model; keep the best weights for valence and for arousal. Returns a note if it can't be."""
    from stages.training.nothing_to_learn import leave_untrained

    try:
        _fit(unit, settings)
    except Untrained as lack:
        scores = [f"{target}_ccc" for target in SCORED]
        files = [f"{name}.safetensors" for name in (*TARGETS, "normalisation")]
        return leave_untrained(unit, lack, scores, files)
    return []


def _fit(unit: Unit, settings: CrossAttentionParams) -> None:
    import torch
    from torch.utils.data import DataLoader

    from stages.fusion.cross_attention import CrossAttentionModel
    from stages.training.checkpoints import save_model
    from stages.training.crossfit import chosen_epochs, kept_scores, write_out_of_fold
    from stages.training.curves import Curves
    from stages.training.loop import fit
    from stages.training.losses import ccc_loss
    from stages.training.scorer import RecordingScorer

    for split in FITTED_SPLITS:
        if not unit.facts[split]:
            lack = f"no subject of the {split} split has features of both face and voice"
            raise Untrained(lack, "See the notes of predict in metrics/notes.json")
    training = [name for name in unit.facts["train"] if _ever_seen(unit, name)]
    validation, folds = unit.facts["validation"], unit.facts["folds"]
    if not training:
        raise Untrained("no training subject with sound whose face is ever seen", "See data/faces/notes.json")
    step_s = step_of(unit.reads[f"dynamic/{training[0]}"])
    window = max(1, round(settings.window_s / step_s))
    normaliser = Normaliser.fit(settings.normalisation, (_streams(unit, n).features for n in training))
    windows = _windows(unit, training, normaliser, window, step_s)
    if not len(windows):
        raise Untrained(
            f"no labelled stretch with sound of cross_attention.window_s = {settings.window_s} s in training",
            "Choose a shorter window",
        )
    config = _architecture(settings, _streams(unit, training[0]))
    torch.manual_seed(settings.optimisation.seed)
    model = CrossAttentionModel(**config)
    model.speaking_mean.copy_(torch.from_numpy(_speaking_mean(unit, training, normaliser)))
    batches = DataLoader(
        windows, batch_size=settings.batch_size, shuffle=True, drop_last=len(windows) > settings.batch_size
    )
    predict = _Predictor(unit, normaliser, window, step_s)
    index = {name: unit.reads[f"index/{name}"] for name in validation}
    with Curves("cross_attention", unit.scratch / "live") as curves:
        fitted = fit(
            model,
            lambda net, batch: ccc_loss(net(batch.embedding), batch.target),
            batches,
            RecordingScorer(predict, index, settings.validation_smooth_s, folds),
            settings.optimisation,
            stop_on="mean_ccc",
            keep=kept_scores(folds, CHOSEN_BY),
            scratch=unit.scratch,
            run_id=unit.scratch.name,
            after_epoch=curves,
        )
        unit.writes["model"].mkdir(parents=True)
        for target in TARGETS:
            path = unit.writes["model"] / f"{target}.safetensors"
            facts = {"model": config, "window": window, "step_s": step_s}
            save_model(path, fitted.restore(model, f"{target}_ccc"), facts)
        write_tensors(unit.writes["model"] / "normalisation.safetensors", normaliser.to_arrays())
        curves.deliver(
            fitted,
            unit.writes["plots"],
            unit.writes["metrics"],
            windows=len(windows),
            validation_subjects=len(validation),
            epochs_by_fold=chosen_epochs(fitted, folds, CHOSEN_BY),
        )
        names = [name for name in validation if name in folds and len(_streams(unit, name).time_s)]
        write_out_of_fold(unit.writes["out_of_fold"], fitted, model, folds, CHOSEN_BY, names, predict)


def _architecture(settings: CrossAttentionParams, streams: Streams) -> dict[str, Any]:
    return {
        "video_features": streams.seen.shape[2],
        "audio_features": streams.heard.shape[1],
        "d_model": settings.d_model,
        "heads": settings.heads,
        "dropout": settings.dropout,
        "aggregation": settings.aggregation,
        "silence": settings.silence,
    }


def _streams(unit: Unit, name: str) -> Streams:
    return read_streams(*(unit.reads[f"{kind}/{name}"] for kind in ("dynamic", "audio", "speech")))


def _ever_seen(unit: Unit, name: str) -> bool:
    """Whether there is a face at all; nothing can be learnt from black images."""
    return bool(read_arrays(unit.reads[f"dynamic/{name}"], "detected")["detected"].any())


def _speaking_mean(unit: Unit, names: list[str], normaliser: Normaliser) -> Any:
    """(f,) float32: mean audio features of all speaking steps of training, scaled; else of all steps."""
    sums, counts = np.zeros((2, 1)), np.zeros(2)
    for name in names:
        streams = _streams(unit, name)
        audio = normaliser.apply(streams.features)[:, -streams.heard.shape[1] :].astype(np.float64)
        sums = sums + np.stack([audio[streams.speaking].sum(axis=0), audio.sum(axis=0)])
        counts += streams.speaking.sum(), len(audio)
    chosen = 0 if counts[0] else 1
    return (sums[chosen] / counts[chosen]).astype(np.float32)


def _windows(unit: Unit, names: list[str], normaliser: Normaliser, window: int, step_s: float) -> Any:
    from stages.temporal.sequences import Sequence, SequenceWindows

    def sequences() -> Iterator[Sequence]:
        for name in names:
            streams, index = _streams(unit, name), read_arrays(unit.reads[f"index/{name}"])
            labels, labelled = resample_labels(
                index["valence_arousal"], index["labelled"], index["time_s"], streams.time_s
            )
            yield Sequence(streams.scaled(normaliser.apply), labels, labelled, streams.time_s)

    shapes = [_streams(unit, name).features.shape for name in names]
    return SequenceWindows(
        sequences(),
        unit.scratch / "streams.f32",
        steps=sum(steps for steps, _ in shapes),
        features=shapes[0][1] + 1,
        step_s=step_s,
        window=window,
        hop=max(1, window // 2),
    )


class _Predictor:
    """One subject on the grid, the steps that both modalities describe: model, name -> (T, 2), (T,)."""

    def __init__(self, unit: Unit, normaliser: Normaliser, window: int, step_s: float) -> None:
        self._unit, self._normaliser, self._window, self._step_s = unit, normaliser, window, step_s
        self._shown = Kept(self._read_shown)

    def __call__(self, model: Any, name: str) -> tuple[Floats, Floats]:
        from stages.temporal.dynamic import saying
        from stages.temporal.recording import predict_runs

        shown, time_s = self._shown(name)
        hop = max(1, self._window // 2)
        predicted = predict_runs(
            saying(model), shown, time_s, step_s=self._step_s, window=self._window, hop=hop
        )
        return predicted, time_s

    def _read_shown(self, name: str) -> tuple[Floats, Floats]:
        """The model's input, and its times."""
        streams = _streams(self._unit, name)
        return streams.scaled(self._normaliser.apply), streams.time_s


def unit_of(workspace: Workspace, corpus: Corpus, crossfit: CrossfitParams) -> Unit:
    """The one unit of this stage: everything it reads and writes."""
    needed = ("features/dynamic", "features/audio", "speech")
    names: dict[str, Any] = {
        split: [subject.name for subject in workspace.having(corpus.of(split), *needed)]
        for split in FITTED_SPLITS
    }
    reads: dict[str, Path] = {}
    for name in names["train"] + names["validation"]:
        reads[f"dynamic/{name}"] = workspace.artefact("features/dynamic", name)
        reads[f"audio/{name}"] = workspace.artefact("features/audio", name)
        reads[f"speech/{name}"] = workspace.artefact("speech", name)
        reads[f"index/{name}"] = workspace.artefact("index", name)
    writes = {
        "model": workspace.model("cross_attention"),
        "plots": workspace.metrics("cross_attention/plots"),
        "metrics": workspace.metrics("cross_attention/metrics.json"),
        "out_of_fold": workspace.folder("out_of_fold", "cross_attention"),
    }
    names["folds"] = validation_folds(workspace, corpus, crossfit)
    return Unit("cross_attention", reads, writes, names)


def train_cross_attention() -> None:
    """Run the stage on params.yaml."""
    params, workspace = load_params(), Workspace()
    unit = unit_of(workspace, workspace.corpus(), params.crossfit)
    unit = replace(unit, when_computed=exporting(CROSS_ATTENTION, params.compute))
    with Stage("train_cross_attention") as stage:
        stage.run(train, [unit], params.cross_attention, jobs=1)


if __name__ == "__main__":
    main("train_cross_attention")
