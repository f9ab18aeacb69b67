"""Fine-tune the static model: one face -> 256-d embedding -> valence and arousal.

    python -m stages.finetune          (dvc repro finetune)

Reads   data/faces/<subject>.h5          crops
        data/index/<subject>.h5          labels
Writes  models/static.safetensors        the best weights by the mean RMSE on validation
        metrics/finetune/                metrics.json, plots/: training curves
Params  finetune

Paper, sections 3.2.1 and 4.4: LogCosh loss, AdamW, warm-up and cyclic rate, discriminative learning, gradual
unfreezing. It learns and is scored on labelled grid frames whose face was really seen. (The paper takes every
5th frame to train and every 3rd to validate; ours are the frames of the common 5 Hz grid for both.)
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.artefacts import read_arrays
from stages.core.corpus import FITTED_SPLITS, Corpus, Workspace
from stages.core.device import torch_device
from stages.core.errors import ValaroError
from stages.core.labels import resample_labels
from stages.core.mapping import cores
from stages.core.measures import ccc_per_target, rmse_per_target
from stages.core.memo import Note
from stages.core.params import FinetuneParams, load_params
from stages.core.stage import Stage, Unit, main

TARGETS = ("valence", "arousal")


def train(unit: Unit, settings: FinetuneParams) -> list[Note]:
    """Fit the model; keep the weights with the lowest mean RMSE."""
    import torch

    from stages.training.checkpoints import save_model
    from stages.training.curves import Curves
    from stages.training.loop import fit
    from stages.training.losses import log_cosh_loss
    from stages.vision.augmentation import build_augmentation
    from stages.vision.static_model import StaticModel, layer_groups

    augment = build_augmentation(settings.augmentation.names, settings.augmentation.probability)
    training, validation = _images(unit, "train", settings, augment), _images(unit, "validation", settings)
    config: dict[str, Any] = {
        "backbone": settings.backbone,
        "image_size": settings.image_size,
        "dropout": settings.dropout,
        "tanh_output": settings.tanh_output,
    }
    torch.manual_seed(settings.optimisation.seed)
    model = StaticModel(**config, weights=unit.reads.get("weights"))
    batches = _loader(training, settings, drop_last=len(training) > settings.batch_size)
    with Curves("static", unit.scratch / "live") as curves:
        fitted = fit(
            model,
            lambda net, batch: log_cosh_loss(net(batch.image).valence_arousal, batch.target),
            batches,
            lambda net: _score(net, validation, settings),
            settings.optimisation,
            stop_on="mean_rmse",
            lower_is_better=True,
            scratch=unit.scratch,
            run_id=unit.scratch.name,
            groups=layer_groups(model),
            after_epoch=curves,
        )
        save_model(unit.writes["model"], fitted.restore(model, "mean_rmse"), config)
        images = {"train_images": len(training), "validation_images": len(validation)}
        curves.deliver(fitted, unit.writes["plots"], unit.writes["metrics"], **images)
    return []


def _images(unit: Unit, split: str, settings: FinetuneParams, augment: Any = None) -> Any:
    """The labelled, really detected faces of a split."""
    from stages.vision.face_images import FaceImages

    files: list[Path] = []
    file_index, crop_index, targets = [], [], []
    for name in unit.facts[split]:
        path = unit.reads[f"faces/{name}"]
        faces = read_arrays(path, "detected", "crop_index", "time_s")
        index = read_arrays(unit.reads[f"index/{name}"])
        labels, labelled = resample_labels(
            index["valence_arousal"], index["labelled"], index["time_s"], faces["time_s"]
        )
        usable = labelled & faces["detected"]
        file_index.append(np.full(int(usable.sum()), len(files)))
        crop_index.append(faces["crop_index"][usable])
        targets.append(labels[usable])
        files.append(path)
    if not sum(map(len, targets)):
        raise ValaroError(f"no labelled frame with a face in the {split} split; see data/*/notes.json")
    parts = (np.concatenate(file_index), np.concatenate(crop_index), np.concatenate(targets))
    return FaceImages(files, *parts, settings.image_size, augment)


def _loader(images: Any, settings: FinetuneParams, drop_last: bool) -> Any:
    """Batches of training images, an epoch of at most max_frames_per_epoch."""
    from torch.utils.data import DataLoader, RandomSampler

    limit = settings.max_frames_per_epoch
    fewer = limit is not None and limit < len(images)
    return DataLoader(
        images,
        batch_size=settings.batch_size,
        shuffle=not fewer,
        sampler=RandomSampler(images, num_samples=limit) if fewer else None,
        drop_last=drop_last,
        num_workers=_workers(),
        persistent_workers=_workers() > 0,
    )


def _workers() -> int:
    """Processes that decode images beside a GPU; a CPU has better things to do."""
    return (
        0
        if torch_device() == "cpu"
        else max(1, min(8, cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1)) - 1))
    )


def _score(model: Any, images: Any, settings: FinetuneParams) -> dict[str, float]:
    """RMSE (paper, table 3) and CCC over all validation images."""
    import torch
    from torch.utils.data import DataLoader

    device = next(model.parameters()).device
    truth, predicted = [], []
    for batch in DataLoader(images, batch_size=settings.batch_size, num_workers=_workers()):
        with torch.no_grad():
            predicted.append(model(batch.image.to(device)).valence_arousal.float().cpu().numpy())
        truth.append(batch.target.numpy())
    pair = np.concatenate(truth), np.concatenate(predicted)
    scores: dict[str, float] = {}
    for measure, values in (("rmse", rmse_per_target(*pair)), ("ccc", ccc_per_target(*pair))):
        scores |= {f"{target}_{measure}": float(value) for target, value in zip(TARGETS, values, strict=True)}
        scores[f"mean_{measure}"] = float(np.mean(values))
    return scores


def unit_of(workspace: Workspace, corpus: Corpus, settings: FinetuneParams) -> Unit:
    """The one unit of this stage: everything it reads and writes."""
    names: dict[str, Any] = {
        split: [subject.name for subject in workspace.having(corpus.of(split), "faces")]
        for split in FITTED_SPLITS
    }
    reads: dict[str, Path] = {"weights": _weights(Path(settings.weights))} if settings.weights else {}
    for name in names["train"] + names["validation"]:
        reads[f"faces/{name}"] = workspace.artefact("faces", name)
        reads[f"index/{name}"] = workspace.artefact("index", name)
    writes = {
        "model": workspace.model("static.safetensors"),
        "plots": workspace.metrics("finetune/plots"),
        "metrics": workspace.metrics("finetune/metrics.json"),
    }
    return Unit("static", reads, writes, names)


def _weights(path: Path) -> Path:
    """The weights to start from: at their path, or under their name in a folder of VALARO_WEIGHTS."""
    folders = [Path(folder) for folder in os.environ.get("VALARO_WEIGHTS", "").split(os.pathsep) if folder]
    for candidate in (path, *(folder / path.name for folder in folders)):
        if candidate.is_file():
            return candidate
    raise ValaroError(
        f"finetune.weights: {path} is missing. models/README.md says where to get it; null starts at random."
    )


def finetune() -> None:
    """Run the stage on params.yaml."""
    settings, workspace = load_params().finetune, Workspace()
    with Stage("finetune") as stage:
        stage.run(train, [unit_of(workspace, workspace.corpus(), settings)], settings, jobs=1)


if __name__ == "__main__":
    main("finetune")
