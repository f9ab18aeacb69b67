"""Fine-tune one extractor per fold of training recordings: embeddings of recordings that it has not seen.

    python -m stages.finetune_folds          (dvc repro finetune_folds)

Reads   models/pretrained_static/<backbone>.safetensors    where each starts, as in finetune
        models/static/<backbone>.safetensors               the model fitted on all of training
        data/faces/<subject>.h5, data/index/<subject>.h5, data/decode/<video>.h5, videos      as finetune
Writes  models/static_folds/fold_<k>.safetensors           fitted on training without fold k
        models/static_folds/alignment_<k>.safetensors      from its embeddings to those of the whole model
        models/static_folds/folds.json                     training subject -> fold; {} for embed.folds: 0
Params  embed.backbone, embed.folds, crossfit.seed, finetune

A model that learns from embeddings of the recordings that the extractor was fine-tuned on meets features that
were fitted to their labels; those of validation and test weren't. With embed.folds: k, the stage embed takes
the embeddings of a training recording from the extractor that hasn't seen it. It costs k more fine-tunings.

The k embeddings are turned into the space of the whole model's, since one model learns from all of them and
is applied to the latter: by the rotation that fits best (orthogonal Procrustes; Schönemann, 1966) on
recordings that both have seen.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.arrays import Floats
from stages.core.artefacts import read_arrays, write_json, write_tensors
from stages.core.corpus import Corpus, Workspace
from stages.core.errors import ValaroError
from stages.core.folds import assign_folds
from stages.core.notes import Note
from stages.core.params import FinetuneParams, Params, load_params
from stages.engine.device import torch_device
from stages.engine.launch import trainings_at_once
from stages.engine.mapping import network_threads
from stages.engine.stage import Stage, main
from stages.engine.units import Unit
from stages.finetune import train, unit_of
from stages.inference.after_training import STATIC, exporting
from stages.media.pictures import open_pictures
from stages.vision.backbones import describe, only
from stages.vision.fold_extractors import FOLDER, FOLDS, alignment

MOST_PICTURES = 2000
"""That an alignment is fitted on: a rotation of 256 dimensions needs no more."""


def train_fold(unit: Unit, settings: FinetuneParams) -> list[Note]:
    """Fine-tune without one fold, then turn its embeddings into the whole model's space."""
    notes = train(unit, settings)
    pairs = [_embedded(unit, unit.writes["model"], settings), _embedded(unit, unit.reads["whole"], settings)]
    write_tensors(unit.writes["alignment"], alignment(*pairs))
    return notes


def _embedded(unit: Unit, weights: Path, settings: FinetuneParams) -> Floats:
    """Embeddings of detected steps of the recordings that both extractors have seen. Shape: -> (N, 256)."""
    from stages.training.checkpoints import load_model
    from stages.vision.architectures import build_static
    from stages.vision.embedding import TorchNetwork, embed_track

    network = TorchNetwork(load_model(weights, build_static).to(torch_device()))
    parts = [
        embed_track(network, pictures, view, settings.batch_size)[0]
        for pictures, view in _tracks(unit, settings)
    ]
    return np.concatenate(parts).astype(np.float64)


def _tracks(unit: Unit, settings: FinetuneParams) -> Iterator[tuple[Any, Any]]:
    """Pictures and detected steps of training subjects outside the fold, few of each."""
    from stages.vision.views import View, view_of

    names = unit.facts["train"]
    each = max(1, MOST_PICTURES // len(names))
    for name in names:
        path = unit.reads[f"faces/{name}"]
        track = read_arrays(path, "box_xyxy", "crop_index", "detected", "time_s")
        seen = np.flatnonzero(track["detected"])
        if len(seen):
            steps = seen[np.unique(np.linspace(0, len(seen) - 1, min(each, len(seen))).astype(int))]
            view = view_of(describe(settings, unit.facts["backbone"]).input, track)
            boxes = None if view.box_xyxy is None else view.box_xyxy[steps]
            files = unit.reads.get(f"frames/{name}", path), unit.reads.get(f"video/{name}")
            with open_pictures(*files) as pictures:
                yield pictures, View(view.picture[steps], boxes)


def training_folds(corpus: Corpus, names: list[str], folds: int, seed: int) -> dict[str, int]:
    """Training subject -> fold of its recording; empty for 0 folds.

    Raises:
        ValaroError: there are more folds than recordings.
    """
    if not folds:
        return {}
    recordings = {subject.name: subject.recording for subject in corpus.of("train")}
    groups = np.array([recordings[name] for name in names])
    if folds > len(set(groups.tolist())):
        raise ValaroError(f"embed.folds is {folds}, training has {len(set(groups.tolist()))} recordings")
    return dict(zip(names, assign_folds(groups, folds, seed).tolist(), strict=True))


def fold_units(workspace: Workspace, corpus: Corpus, params: Params) -> tuple[list[Unit], dict[str, int]]:
    """One unit per fold, and training subject -> fold."""
    backbone = params.embed.backbone
    whole = workspace.model(f"static/{backbone}.safetensors")
    shown = describe(params.finetune, backbone).input
    template = unit_of(workspace, corpus, backbone, shown, params.crossfit)
    folds = training_folds(corpus, template.facts["train"], params.embed.folds, params.crossfit.seed)
    units = []
    for fold in sorted(set(folds.values())):
        kept = [name for name in template.facts["train"] if folds[name] != fold]
        wanted = {"start", *(f"{kind}/{name}" for kind in ("faces", "index", "frames", "video")
                             for name in [*kept, *template.facts["validation"]])}  # fmt: skip
        reads = {role: path for role, path in template.reads.items() if role in wanted}
        writes = {
            "model": workspace.model(f"{FOLDER}/fold_{fold}.safetensors"),
            "alignment": workspace.model(f"{FOLDER}/alignment_{fold}.safetensors"),
        }
        facts = template.facts | {"train": kept, "folds": {}}
        unit = Unit(f"{backbone} without fold {fold}", reads | {"whole": whole}, writes, facts)
        units.append(replace(unit, when_computed=exporting(STATIC, params.compute)))
    return units, folds


def finetune_folds() -> None:
    """Run the stage on params.yaml."""
    params, workspace = load_params(), Workspace()
    units, folds = fold_units(workspace, workspace.corpus(), params)
    with Stage("finetune_folds", workspace.model(FOLDER)) as stage:
        settings, at_once = only(params.finetune, params.embed.backbone), trainings_at_once(params.compute)
        stage.run(train_fold, units, settings, jobs=at_once, threads=network_threads())
        write_json(workspace.model(f"{FOLDER}/{FOLDS}"), folds)
        stage.claim(workspace.model(f"{FOLDER}/{FOLDS}"))


if __name__ == "__main__":
    main("finetune_folds")
