"""Train the audio model on speaking windows: wav2vec 2.0, a temporal block, a head.

    python -m stages.train_audio v3          (dvc repro train_audio)

Reads   data/voice/<video>.wav                16 kHz mono
        data/speech/<subject>.h5              training windows with targets and masks at fps_hz; windows that
                                              tile the whole video
Writes  models/audio/<version>.safetensors    the best weights by the mean CCC
        metrics/audio/<version>/              metrics.json, plots/: training curves
        data/out_of_fold/audio/<version>/<subject>.h5   validation, whole videos, by the epochs that other
                                              recordings choose
        Where training or validation has no window of speech: no weights, and why (`core.untrained`)
Params  audio, crossfit

Paper, section 3.1: V1, V2 and V3, each a run of its own; what else is compared changes nothing in it.

The CCC here is the one of the paper's table 2, `speaking_window_ccc` in metrics.json: 4 s windows of
labelled speaking time, each window by itself, at the epoch best by the mean. It measures speech only, and
can't be compared with the CCC over whole videos, silence included, that `evaluate` gives for the system
`audio` (table 5's protocol; metrics/evaluate.json).
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.arrays import Floats
from stages.core.artefacts import read_arrays, read_facts
from stages.core.corpus import Corpus, Workspace
from stages.core.errors import BadInput, ValaroError
from stages.core.folds import validation_folds
from stages.core.measures import SCORED, moments_per_target
from stages.core.notes import Note
from stages.core.params import AudioParams, CrossfitParams, load_params
from stages.core.untrained import Untrained
from stages.engine.device import torch_device
from stages.engine.launch import trainings_at_once
from stages.engine.prefetch import loader_workers
from stages.engine.stage import Stage, main
from stages.engine.units import Unit
from stages.inference.after_training import AUDIO, exporting

PREFIX = "speaking_window_"
MEAN = f"{PREFIX}mean_ccc"
CHOSEN_BY = (MEAN, MEAN)
"""Both targets share an epoch."""


def train(unit: Unit, settings: AudioParams) -> list[Note]:
    """Fit the model; keep the best weights by the mean CCC over gated validation windows.

    Args:
        unit: with `epochs` among its facts (score -> epoch) nothing is validated: the weights of that epoch
            are kept, and nothing else is written.
        settings: of the version.

    Returns:
        A note where there is nothing to train on or to choose an epoch by.
    """
    from stages.training.nothing_to_learn import leave_untrained

    try:
        _fit(unit, settings)
    except Untrained as lack:
        return leave_untrained(unit, lack, [f"{PREFIX}{target}_ccc" for target in SCORED])
    return []


def _fit(unit: Unit, settings: AudioParams) -> None:
    import torch
    from torch.utils.data import DataLoader

    from stages.audio.augmentation import WaveAugmentation
    from stages.training.checkpoints import save_model
    from stages.training.crossfit import chosen_epochs, kept_scores, write_out_of_fold
    from stages.training.curves import Curves
    from stages.training.loop import fit
    from stages.training.losses import ccc_loss
    from stages.training.until import Until

    training, _, facts = _windows(unit, "train", settings)
    until = Until(unit.facts["epochs"], "rising") if "epochs" in unit.facts else None
    validation: Any = []
    owners: list[str] = []
    if not until:
        validation, owners, _ = _windows(unit, "validation", settings)
    folds = unit.facts["folds"]
    torch.manual_seed(settings.optimisation.seed)
    model, config = _new_model(settings, steps=training.targets.shape[1])
    augment = WaveAugmentation(**settings.augmentation.model_dump())

    def loss(net: Any, batch: Any) -> torch.Tensor:
        draws = torch.Generator().manual_seed(int(torch.randint(2**31, ())))  # follows the epoch's seed
        waveform = augment(batch.waveform, batch.sample_mask, generator=draws)
        return ccc_loss(net(waveform, batch.sample_mask)[0], batch.targets, batch.valid)

    score = until or _Scorer(model, validation, owners, settings, folds)
    few = len(training) <= settings.batch_size
    workers = loader_workers()
    batches = DataLoader(
        training,
        batch_size=settings.batch_size,
        shuffle=True,
        drop_last=not few,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    with Curves(f"audio {settings.version}", unit.scratch / "live") as curves:
        fitted = fit(
            model,
            loss,
            batches,
            score,
            settings.optimisation,
            stop_on="rising" if until else MEAN,
            keep=kept_scores(folds, [MEAN]),
            scratch=unit.scratch,
            run_id=unit.scratch.name,
            groups=_groups(model),
            after_epoch=until.note if until else curves,
        )
        save_model(unit.writes["model"], fitted.restore(model, MEAN), config | facts)
        if until:
            return
        gated = fitted.history[fitted.best[MEAN].epoch - 1].scores
        facts_of_run = {
            "windows": len(training),
            "validation_windows": len(validation),
            "speaking_window_ccc": {
                target: gated[f"speaking_window_{target}_ccc"] for target in ("valence", "arousal", "mean")
            },
            "epochs_by_fold": chosen_epochs(fitted, folds, CHOSEN_BY),
        }
        curves.deliver(fitted, unit.writes["plots"], unit.writes["metrics"], **facts_of_run)

        def predict(net: Any, name: str) -> tuple[Floats, Floats]:
            return _whole(unit, net, name, facts | {"normalisation": settings.normalisation})

        heard = [name for name in unit.facts["heard"] if name in folds]
        write_out_of_fold(unit.writes["out_of_fold"], fitted, model, folds, CHOSEN_BY, heard, predict)


def _whole(unit: Unit, model: Any, name: str, facts: dict[str, Any]) -> tuple[Floats, Floats]:
    """A whole validation video on the grid, silence included, as the stage predict does it."""
    from stages.audio.networks import TorchAudio
    from stages.audio.recording import predict_video

    voice = unit.reads[f"voice/{unit.facts['heard'][name]}"]
    said = predict_video(TorchAudio(model), unit.reads[f"speech/{name}"], voice, facts)
    return said.valence_arousal, said.time_s


def _new_model(settings: AudioParams, steps: int) -> tuple[Any, dict[str, Any]]:
    from stages.audio.backbone import build_backbone, plain_config
    from stages.audio.model import AudioModel

    try:
        backbone = build_backbone(settings.backbone, seed=settings.optimisation.seed)
    except (BadInput, ValueError) as refusal:  # nothing to set aside and go on without
        raise ValaroError(f"audio.backbone: {refusal}") from None
    chosen = settings.versions[settings.version]
    head: dict[str, Any] = {"version": settings.version, **chosen.model_dump(mode="json"), "steps": steps}
    try:
        return AudioModel(backbone, **head), {
            "backbone": plain_config(backbone),
            "head": head,
            "normalisation": settings.normalisation,
        }
    except ValueError as refusal:
        raise ValaroError(f"audio.versions.{settings.version}: {refusal}") from None


def _groups(model: Any) -> list[list[Any]]:
    """The trainable parameters as one group: the head and the opened layers share a learning rate."""
    return [[parameter for parameter in model.parameters() if parameter.requires_grad]]


def _windows(unit: Unit, split: str, settings: AudioParams) -> tuple[Any, list[str], dict[str, Any]]:
    """The windows of a split, whose each one is, and their rate and length.

    Raises:
        Untrained: there is none.
    """
    from stages.audio.windows import AudioWindows

    files: list[Path] = []
    owners: list[str] = []
    parts, facts = [], {}
    for name, video in unit.facts[split].items():
        path = unit.reads[f"speech/{name}"]
        parts.append(read_arrays(path, "training_window_s", "targets", "valid"))
        files += [unit.reads[f"voice/{video}"]] * len(parts[-1]["targets"])
        owners += [name] * len(parts[-1]["targets"])
        facts = {key: read_facts(path)[key] for key in ("fps_hz", "window_s")}
    if not files:
        found = f"no speaking, labelled window in the {split} split"
        raise Untrained(found, "See data/speech for who was found to speak, and speech.* in params.yaml")
    joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    windows = AudioWindows(
        files,
        joined["training_window_s"],
        joined["targets"],
        joined["valid"],
        window_s=facts["window_s"],
        normalisation=settings.normalisation,
    )
    return windows, owners, facts


class _Scorer:
    """CCC over all valid steps of the gated windows, each window counted by itself (table 2).

    Windows are read once, as far as 128 MB hold them all, and pass frozen convolutions once.

    Args:
        model: before its training.
        windows: of validation.
        owners: the recording of each.
        settings: of the version.
        folds: recording -> its fold.
    """

    def __init__(
        self, model: Any, windows: Any, owners: list[str], settings: AudioParams, folds: dict[str, int]
    ) -> None:
        self._windows, self._owner, self._folds = windows, np.array(owners), folds
        self._batch_size = settings.batch_size
        self._kept: list[tuple[Any, Any]] | None = None
        trained = any(weight.requires_grad for weight in model.backbone.feature_extractor.parameters())
        exact = settings.optimisation.mixed_precision == "no" and torch_device() == "cpu"
        self._shares = exact and not trained

    def __call__(self, model: Any) -> dict[str, float]:
        """The scores, as `fold_scores` names them."""
        import torch

        from stages.training.crossfit import fold_scores

        device = next(model.parameters()).device
        truth, predicted = [], []
        for batch, convolved in self._kept or self._batches(model):
            with torch.no_grad():
                output = model(batch.waveform.to(device), batch.sample_mask.to(device), convolved)[0]
            truth.append(torch.where(batch.valid[..., None], batch.targets, torch.nan).numpy())
            predicted.append(output.float().cpu().numpy())
        target, said = np.concatenate(truth), np.concatenate(predicted)
        parts = {
            name: moments_per_target(
                target[self._owner == name].reshape(-1, 2), said[self._owner == name].reshape(-1, 2)
            )
            for name in dict.fromkeys(self._owner.tolist())
        }
        return fold_scores(parts, self._folds, PREFIX)

    def _batches(self, model: Any) -> Iterator[tuple[Any, Any]]:
        """Batches, each with what the convolutions make of it where they are frozen, else None."""
        import torch
        from torch.utils.data import DataLoader

        from stages.audio.backbone import convolve
        from stages.training.kept import MOST_BYTES

        read, room = [], MOST_BYTES
        for batch in DataLoader(self._windows, batch_size=self._batch_size, num_workers=loader_workers()):
            with torch.no_grad():
                convolved = convolve(model.backbone, batch.waveform) if self._shares else None
            room -= sum(array.nbytes for array in (*batch, convolved) if array is not None)
            if room >= 0:
                read.append((batch, convolved))
            yield batch, convolved
        self._kept = read if room >= 0 else None


def unit_of(workspace: Workspace, corpus: Corpus, version: str, crossfit: CrossfitParams) -> Unit:
    """The one unit of this stage: everything it reads and writes."""
    fitted = workspace.fitted(corpus, "windows of speech", "speech")
    names: dict[str, Any] = {split: {s.name: s.video for s in subjects} for split, subjects in fitted.items()}
    reads: dict[str, Path] = {}
    for name, video in [*names["train"].items(), *names["validation"].items()]:
        reads[f"speech/{name}"] = workspace.artefact("speech", name)
        reads[f"voice/{video}"] = workspace.artefact("voice", video, ".wav")
    writes = {
        "model": workspace.model(f"audio/{version}.safetensors"),
        "plots": workspace.metrics(f"audio/{version}/plots"),
        "metrics": workspace.metrics(f"audio/{version}/metrics.json"),
        "out_of_fold": workspace.folder("out_of_fold", "audio", version),
    }
    names["folds"] = validation_folds(workspace, corpus, crossfit)
    names["heard"] = {
        subject.name: subject.video
        for subject in fitted["validation"]
        if read_facts(reads[f"speech/{subject.name}"])["has_audio"]
    }
    return Unit(f"audio/{version}", reads, writes, names)


def settings_of(settings: AudioParams, version: str) -> AudioParams:
    """The settings of one version, as though it were the only one.

    Raises:
        ValaroError: it isn't among those compared.
    """
    if version not in settings.compare:
        legal = ", ".join(settings.compare)
        raise ValaroError(f"train_audio: {version!r} is none of audio.compare: {legal}.")
    alone = {"compare": [version], "version": version, "versions": {version: settings.versions[version]}}
    return settings.model_copy(update=alone)


def train_audio(version: str = "") -> None:
    """Run the stage on params.yaml, for one version of the model."""
    params, workspace = load_params(), Workspace()
    corpus = workspace.corpus()

    def described(version: str) -> tuple[Unit, AudioParams]:
        settings = settings_of(params.audio, version)
        unit = unit_of(workspace, corpus, version, params.crossfit)
        if version == params.audio.version:
            unit = replace(unit, when_computed=exporting(AUDIO, params.compute))
        return unit, settings

    with Stage("train_audio") as stage:
        stage.run_entry(train, version, params.audio.compare, described, trainings_at_once(params.compute))


if __name__ == "__main__":
    main("train_audio")
