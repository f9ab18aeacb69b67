"""Train the audio model on voiced windows: wav2vec 2.0, a temporal block, a head.

    python -m stages.train_audio          (dvc repro train_audio)

Reads   data/voice/<video>.wav           16 kHz mono
        data/speech/<subject>.h5         training windows with targets and masks at fps_hz
Writes  models/audio.safetensors         the best weights by the mean CCC
        metrics/audio/                   metrics.json, plots/: training curves
Params  audio

Paper, section 3.1. The CCC here is the one of the paper's table 2: 4 s windows of voiced, labelled time, each
window by itself. It can't be compared with the whole-video CCC of `evaluate` (table 5).
"""

from pathlib import Path
from typing import Any

import numpy as np

from stages.core.artefacts import read_arrays, read_facts
from stages.core.corpus import FITTED_SPLITS, Corpus, Workspace
from stages.core.errors import ValaroError
from stages.core.measures import ccc_per_target
from stages.core.memo import Note
from stages.core.params import AudioParams, load_params
from stages.core.stage import Stage, Unit, main


def train(unit: Unit, settings: AudioParams) -> list[Note]:
    """Fit the model; keep the best weights by the mean CCC over gated validation windows."""
    import torch
    from torch.utils.data import DataLoader

    from stages.audio.augmentation import WaveAugmentation
    from stages.training.checkpoints import save_model
    from stages.training.curves import Curves
    from stages.training.loop import fit
    from stages.training.losses import ccc_loss

    training, facts = _windows(unit, "train")
    validation, _ = _windows(unit, "validation")
    torch.manual_seed(settings.optimisation.seed)
    model, config = _new_model(settings, steps=training.targets.shape[1])
    augment = WaveAugmentation(**settings.augmentation.model_dump())

    def loss(net: Any, batch: Any) -> torch.Tensor:
        draws = torch.Generator().manual_seed(int(torch.randint(2**31, ())))  # follows the epoch's seed
        waveform = augment(batch.waveform, batch.sample_mask, generator=draws)
        return ccc_loss(net(waveform, batch.sample_mask)[0], batch.targets, batch.valid)

    few = len(training) <= settings.batch_size
    batches = DataLoader(training, batch_size=settings.batch_size, shuffle=True, drop_last=not few)
    with Curves("audio", unit.scratch / "live") as curves:
        fitted = fit(
            model,
            loss,
            batches,
            lambda net: _score(net, validation, settings.batch_size),
            settings.optimisation,
            stop_on="voiced_window_mean_ccc",
            scratch=unit.scratch,
            run_id=unit.scratch.name,
            groups=_groups(model),
            after_epoch=curves,
        )
        best = fitted.restore(model, "voiced_window_mean_ccc")
        save_model(unit.writes["model"], best, config | facts)
        curves.deliver(fitted, unit.writes["plots"], unit.writes["metrics"], windows=len(training))
    return []


def _new_model(settings: AudioParams, steps: int) -> tuple[Any, dict[str, Any]]:
    from stages.audio.audio_backbone import build_backbone, plain_config
    from stages.audio.audio_model import AudioModel

    backbone = build_backbone(settings.backbone, seed=settings.optimisation.seed)
    head: dict[str, Any] = {
        "version": settings.version,
        "heads": list(settings.heads),
        "gru_features": settings.gru_features,
        "trainable_layers": settings.trainable_layers,
        "fc_features": list(settings.fc_features),
        "steps": steps,
    }
    return AudioModel(backbone, **head), {"backbone": plain_config(backbone), "head": head}


def _groups(model: Any) -> list[list[Any]]:
    """The trainable parameters as one group: the head and the opened layers share a learning rate."""
    return [[parameter for parameter in model.parameters() if parameter.requires_grad]]


def _windows(unit: Unit, split: str) -> tuple[Any, dict[str, Any]]:
    from stages.audio.audio_windows import AudioWindows

    files, parts, facts = [], [], {}
    for name, video in unit.facts[split].items():
        path = unit.reads[f"speech/{name}"]
        parts.append(read_arrays(path, "training_window_s", "targets", "valid"))
        files += [unit.reads[f"voice/{video}"]] * len(parts[-1]["targets"])
        facts = {key: read_facts(path)[key] for key in ("fps_hz", "window_s")}
    if not files:
        raise ValaroError(f"no voiced, labelled window in the {split} split; see speech.* and data/speech")
    joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    windows = AudioWindows(
        files, joined["training_window_s"], joined["targets"], joined["valid"], window_s=facts["window_s"]
    )
    return windows, facts


def _score(model: Any, windows: Any, batch_size: int) -> dict[str, float]:
    """CCC over all valid steps of the gated windows, each window counted by itself (table 2)."""
    import torch
    from torch.utils.data import DataLoader

    device = next(model.parameters()).device
    truth, predicted = [], []
    for batch in DataLoader(windows, batch_size=batch_size):
        with torch.no_grad():
            output = model(batch.waveform.to(device), batch.sample_mask.to(device))[0].float().cpu()
        truth.append(batch.targets[batch.valid].numpy())
        predicted.append(output[batch.valid].numpy())
    valence, arousal = ccc_per_target(np.concatenate(truth), np.concatenate(predicted)).tolist()
    scores = {"valence_ccc": valence, "arousal_ccc": arousal, "mean_ccc": (valence + arousal) / 2}
    return {f"voiced_window_{name}": value for name, value in scores.items()}


def unit_of(workspace: Workspace, corpus: Corpus) -> Unit:
    """The one unit of this stage: everything it reads and writes."""
    names: dict[str, Any] = {
        split: {s.name: s.video for s in workspace.having(corpus.of(split), "speech")}
        for split in FITTED_SPLITS
    }
    reads: dict[str, Path] = {}
    for name, video in [*names["train"].items(), *names["validation"].items()]:
        reads[f"speech/{name}"] = workspace.artefact("speech", name)
        reads[f"voice/{video}"] = workspace.artefact("voice", video, ".wav")
    writes = {
        "model": workspace.model("audio.safetensors"),
        "plots": workspace.metrics("audio/plots"),
        "metrics": workspace.metrics("audio/metrics.json"),
    }
    return Unit("audio", reads, writes, names)


def train_audio() -> None:
    """Run the stage on params.yaml."""
    settings, workspace = load_params().audio, Workspace()
    with Stage("train_audio") as stage:
        stage.run(train, [unit_of(workspace, workspace.corpus())], settings, jobs=1)


if __name__ == "__main__":
    main("train_audio")
