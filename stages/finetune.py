"""Fine-tune a static model: one image -> 256-d embedding -> valence and arousal.

    python -m stages.finetune efficientnet_b1          (dvc repro finetune)

Reads   models/pretrained_static/<backbone>.safetensors    where it starts
        data/faces/<subject>.h5, data/index/<subject>.h5   crops and boxes, labels
        data/decode/<video>.h5, or the videos              frames, for models that take frames or persons
Writes  models/static/<backbone>.safetensors               the best weights by the mean RMSE on validation
        metrics/finetune/<backbone>/                       metrics.json, plots/: training curves
        data/out_of_fold/static/<backbone>/<subject>.h5    validation by epochs that other recordings choose
Params  finetune: all but compare and the other backbones; crossfit

Paper, sections 3.2.1 and 4.4: LogCosh loss, AdamW, warm-up and cyclic rate, discriminative learning, gradual
unfreezing. It learns and is scored on labelled grid frames whose face was really seen, whatever the model is
shown, so that the rows of table 3 compare. (The paper takes every 5th frame to train and every 3rd to
validate; ours are the frames of the common 5 Hz grid for both.)

Where decode keeps no frames, what a model of frames or persons is shown is cut from the videos before it
trains, as JPEGs of its own size in the stage's scratch.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.arrays import Floats, Integers
from stages.core.artefacts import read_arrays
from stages.core.corpus import Corpus, Workspace
from stages.core.errors import ValaroError
from stages.core.folds import validation_folds
from stages.core.labels import resample_labels
from stages.core.notes import Note
from stages.core.params import CrossfitParams, FinetuneParams, load_params
from stages.engine.device import torch_device
from stages.engine.launch import processes, trainings_at_once
from stages.engine.stage import Stage, main
from stages.engine.units import Unit
from stages.inference.after_training import STATIC, exporting
from stages.media.pictures import frame_files, open_pictures
from stages.vision.backbones import Input, describe, only, require_same, static_config, with_statistics_of

CHOSEN_BY = ("mean_rmse", "mean_rmse")
"""Both targets have one epoch."""
SCORED_AT_ONCE = 4
"""Times the images that train at once: nothing is kept for gradients, and larger batches take less time."""


def train(unit: Unit, settings: FinetuneParams) -> list[Note]:
    """Fit the model; keep the weights with the lowest mean RMSE.

    Args:
        unit: curves, figures and out-of-fold predictions are written where it asks for them.
        settings: of this backbone alone.
    """
    from stages.training.checkpoints import save_model
    from stages.training.crossfit import chosen_epochs, kept_scores, write_out_of_fold
    from stages.training.curves import Curves
    from stages.training.loop import fit
    from stages.training.losses import log_cosh_loss
    from stages.vision.augmentation import build_augmentation
    from stages.vision.batches import training_batches

    augment = build_augmentation(settings.augmentation.names, settings.augmentation.probability)
    training, validation = _images(unit, "train", settings, augment), _images(unit, "validation", settings)
    scored_at_once = SCORED_AT_ONCE * (settings.images_at_once or settings.batch_size)
    folds = unit.facts["folds"] if "out_of_fold" in unit.writes else {}
    names = unit.facts["validation"]
    fold_of_image = np.array([folds.get(name, -1) for name in names])[validation.file_index]
    model, config = _start(unit, settings)
    if settings.frozen_draws and hasattr(model, "upper_body") and processes() == 1:
        training, validation = _heat_maps(unit, settings, model, training, validation)
    with Curves(f"finetune {unit.name}", unit.scratch / "live") as curves:
        fitted = fit(
            model,
            lambda net, batch: log_cosh_loss(net(batch.image).valence_arousal, batch.target),
            training_batches(training, settings.batch_size, settings.max_frames_per_epoch),
            lambda net: _score(net, validation, scored_at_once, fold_of_image),
            settings.optimisation,
            stop_on="mean_rmse",
            keep=kept_scores(folds, CHOSEN_BY),
            lower_is_better=True,
            scratch=unit.scratch,
            run_id=unit.scratch.name,
            groups=model.layer_groups(),
            after_epoch=curves,
            at_once=settings.images_at_once,
        )
        save_model(unit.writes["model"], fitted.restore(model, "mean_rmse"), config)
        images = {"train_images": len(training), "validation_images": len(validation)}
        if "plots" in unit.writes:
            by_fold = {"epochs_by_fold": chosen_epochs(fitted, folds, CHOSEN_BY)}
            curves.deliver(fitted, unit.writes["plots"], unit.writes["metrics"], **images, **by_fold)
    if "out_of_fold" in unit.writes:
        scored = [name for name in names if name in folds]
        predict = _predictor(unit, settings)
        write_out_of_fold(unit.writes["out_of_fold"], fitted, model, folds, CHOSEN_BY, scored, predict)
    return []


def _heat_maps(unit: Unit, settings: FinetuneParams, model: Any, training: Any, validation: Any) -> Any:
    """The outputs of a frozen trunk, in place of the pictures: it computes each once, not in every epoch."""
    from stages.training.loop import epoch_seed
    from stages.training.threads import threads_for
    from stages.vision.frozen_maps import keep_maps

    model.to(torch_device())
    at_once, precision = settings.images_at_once or settings.batch_size, settings.optimisation.mixed_precision
    draws = range(settings.frozen_draws or 0)
    seeds = [epoch_seed(settings.optimisation.seed, epoch) for epoch in draws]
    files = (unit.scratch / "maps_train.bin", unit.scratch / "maps_validation.bin")
    with threads_for(model):
        return (
            keep_maps(model, training, files[0], seeds, at_once, precision),
            keep_maps(model, validation, files[1], seeds[:1], at_once, precision),
        )


def _predictor(unit: Unit, settings: FinetuneParams) -> Callable[[Any, str], tuple[Floats, Floats]]:
    """What predicts every step of a validation subject as the stage embed does. Shape: -> (T, 2), (T,)."""
    from stages.vision.embedding import TorchNetwork, embed_track
    from stages.vision.views import view_of

    shown = describe(settings, unit.facts["backbone"]).input

    def predict(model: Any, name: str) -> tuple[Floats, Floats]:
        path = unit.reads[f"faces/{name}"]
        track = read_arrays(path, "box_xyxy", "crop_index", "detected", "time_s")
        view = view_of(shown, track)
        files = unit.reads.get(f"frames/{name}", path), unit.reads.get(f"video/{name}")
        with open_pictures(*files) as pictures:
            said = embed_track(TorchNetwork(model), pictures, view, settings.batch_size)
        return np.clip(said[1], -1, 1), track["time_s"]

    return predict


def _start(unit: Unit, settings: FinetuneParams) -> tuple[Any, dict[str, Any]]:
    """The pre-trained model, and the configuration that builds it.

    Raises:
        ValaroError: the file holds another architecture.
    """
    import torch

    from stages.training.checkpoints import load_model
    from stages.vision.architectures import build_static

    config = static_config(describe(settings, unit.facts["backbone"]), settings.dropout, settings.tanh_output)
    start = unit.reads["start"]
    require_same(start, config)
    config = with_statistics_of(start, config)
    torch.manual_seed(settings.optimisation.seed)
    return load_model(start, lambda _: build_static(config)), config


def _images(unit: Unit, split: str, settings: FinetuneParams, augment: Any = None) -> Any:
    """The labelled images of a split in which the face was really detected."""
    from stages.vision.face_images import FaceImages
    from stages.vision.view_pictures import cut_views
    from stages.vision.views import View, view_of

    description = describe(settings, unit.facts["backbone"])
    files: list[Path] = []
    file_index, pictures, boxes, targets = [], [], [], []
    for name in unit.facts[split]:
        path = unit.reads[f"faces/{name}"]
        faces = read_arrays(path, "box_xyxy", "detected", "crop_index", "time_s")
        index = read_arrays(unit.reads[f"index/{name}"])
        labels, labelled = resample_labels(
            index["valence_arousal"], index["labelled"], index["time_s"], faces["time_s"]
        )
        usable = labelled & faces["detected"]
        whole = view_of(description.input, faces)
        box_xyxy = None if whole.box_xyxy is None else whole.box_xyxy[usable]
        view = View(whole.picture[usable], box_xyxy, whole.antialias)
        frames = unit.reads.get(f"frames/{name}", path)
        if (video := unit.reads.get(f"video/{name}")) is not None:
            cut = unit.scratch / "views" / f"{name}.h5"
            view, frames = cut_views(cut, frames, video, view, description.image_size), cut
        file_index.append(np.full(len(view.picture), len(files)))
        pictures.append(view.picture)
        if view.box_xyxy is not None:
            boxes.append(view.box_xyxy)
        targets.append(labels[usable])
        files.append(frames)
    if not sum(map(len, targets)):
        raise ValaroError(f"no labelled frame with a face in the {split} split; see data/*/notes.json")
    parts = (np.concatenate(file_index), np.concatenate(pictures), np.concatenate(targets))
    shown_xyxy = np.concatenate(boxes) if boxes else None
    antialias = description.input == "square"
    return FaceImages(files, *parts, description.image_size, augment, shown_xyxy, antialias)


def _score(model: Any, images: Any, at_once: int, fold: Integers) -> dict[str, float]:
    """RMSE (paper, table 3) and CCC over all validation images; the mean RMSE outside each fold.

    Args:
        model: to be scored.
        images: of validation.
        at_once: images at a time.
        fold: (N,) of each image's recording; -1 of one without.
    """
    import torch

    from stages.training.crossfit import WITHOUT
    from stages.vision.batches import image_scores, scoring_batches

    device = next(model.parameters()).device
    truth, estimated = [], []
    for batch in scoring_batches(images, at_once):
        with torch.no_grad():
            estimated.append(model(batch.image.to(device)).valence_arousal.float().cpu().numpy())
        truth.append(batch.target.numpy())
    labels, said = np.concatenate(truth), np.concatenate(estimated)
    scores = image_scores(labels, said)
    for each in np.unique(fold[fold >= 0]):
        others = fold != each
        known = image_scores(labels[others], said[others]) if others.any() else {"mean_rmse": float("nan")}
        scores[f"mean_rmse{WITHOUT}{each}"] = known["mean_rmse"]
    return scores


def unit_of(
    workspace: Workspace, corpus: Corpus, backbone: str, shown: Input, crossfit: CrossfitParams
) -> Unit:
    """The one unit of this stage: everything it reads and writes."""
    subjects = workspace.fitted(corpus, "a track of its face", "faces")
    reads = {"start": workspace.model(f"pretrained_static/{backbone}.safetensors")}
    for subject in [*subjects["train"], *subjects["validation"]]:
        reads[f"faces/{subject.name}"] = workspace.artefact("faces", subject.name)
        reads[f"index/{subject.name}"] = workspace.artefact("index", subject.name)
        if shown != "face":
            files = frame_files(workspace, corpus, subject.video)
            reads |= {f"{role}/{subject.name}": path for role, path in files.items()}
    writes = {
        "model": workspace.model(f"static/{backbone}.safetensors"),
        "plots": workspace.metrics(f"finetune/{backbone}/plots"),
        "metrics": workspace.metrics(f"finetune/{backbone}/metrics.json"),
        "out_of_fold": workspace.folder("out_of_fold", "static", backbone),
    }
    names: dict[str, Any] = {split: [subject.name for subject in found] for split, found in subjects.items()}
    names |= {"backbone": backbone, "folds": validation_folds(workspace, corpus, crossfit)}
    return Unit(backbone, reads, writes, names)


def finetune(backbone: str) -> None:
    """Run the stage on params.yaml for one of finetune.compare."""
    params, workspace = load_params(), Workspace()
    corpus, settings = workspace.corpus(), params.finetune

    def described(backbone: str) -> tuple[Unit, FinetuneParams]:
        shown = describe(settings, backbone).input
        unit = unit_of(workspace, corpus, backbone, shown, params.crossfit)
        if not unit.reads["start"].is_file():
            raise ValaroError(f"{unit.reads['start']} is missing. Run `dvc repro pretrain` first.")
        if backbone == params.embed.backbone:
            unit = replace(unit, when_computed=exporting(STATIC, params.compute))
        return unit, only(settings, backbone)

    with Stage("finetune") as stage:
        stage.run_entry(train, backbone, settings.compare, described, trainings_at_once(params.compute))


if __name__ == "__main__":
    main("finetune")
