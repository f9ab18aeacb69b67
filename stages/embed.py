"""Embed every step of every track: images -> 256-d embeddings on the time grid.

    python -m stages.embed          (dvc repro embed)

Reads   data/faces/<subject>.h5          crops, boxes
        data/decode/<video>.h5           frames, for a model that takes frames or persons; or the videos
        models/static/<backbone>.safetensors
        models/static_folds/             extractors that haven't seen some of training, for embed.folds > 0
Writes  data/embeddings/<subject>.h5     embedding (T, 256) float32; valence_arousal (T, 2) by the static
                                         model; mirrored_valence_arousal (T, 2): what it says of the mirror
                                         image, of validation and test with embed.mirrored; detected (T,)
                                         bool; time_s (T,); fps_hz
Params  embed, compute.engine, compute.precision

Where the face is missing the last crop's embedding stands (`detected` is false), before the first a black
image's (paper, section 4.2.2); likewise the last picture of the person. Whole frames are always their own.

With embed.folds: k a training recording is embedded by an extractor that was fine-tuned without it, turned
into the space of the one that embeds validation and test (see `stages.finetune_folds`).
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.artefacts import read_arrays, read_facts, read_json, write_arrays
from stages.core.corpus import Corpus, Workspace
from stages.core.errors import ValaroError
from stages.core.loaded import remembered
from stages.core.notes import Note
from stages.core.optimisation import MixedPrecision
from stages.core.params import ComputeParams, EmbedParams, load_params
from stages.engine.device import torch_device
from stages.engine.stage import Stage, main
from stages.engine.units import Unit
from stages.inference.engines import Engine, engine_of
from stages.media.pictures import frame_files, open_pictures
from stages.vision.backbones import input_of, mirrors
from stages.vision.fold_extractors import FOLDER, FOLDS, aligned, extractor_of


def embed_subject(unit: Unit, settings: EmbedParams) -> list[Note]:
    """Embed the images of one subject."""
    from safetensors.numpy import load_file

    from stages.vision.embedding import WithMirror, embed_track
    from stages.vision.views import view_of

    track = read_arrays(unit.reads["faces"], "box_xyxy", "crop_index", "detected", "time_s")
    engine = Engine.of(unit.facts)
    network = _network(
        unit.reads["model"], torch_device(), engine, settings.mixed_precision, settings.compile
    )
    network = WithMirror(network) if unit.facts.get("mirrored") else network
    view = view_of(unit.facts["shown"], track)
    with open_pictures(unit.reads.get("frames", unit.reads["faces"]), unit.reads.get("video")) as pictures:
        embedding, *said = embed_track(network, pictures, view, settings.batch_size)
    if not all(np.isfinite(values).all() for values in (embedding, *said)):
        raise _not_finite(unit, settings)
    if "alignment" in unit.reads:
        embedding = aligned(embedding, load_file(unit.reads["alignment"]))
    write_arrays(
        unit.writes["embeddings"],
        {
            "embedding": embedding,
            **dict(zip(("valence_arousal", "mirrored_valence_arousal"), said, strict=False)),
            "detected": track["detected"],
            "time_s": track["time_s"],
        },
        fps_hz=read_facts(unit.reads["faces"])["fps_hz"],
    )
    return []


def _not_finite(unit: Unit, settings: EmbedParams) -> ValaroError:
    """The fault of the model: otherwise later stages learn from it, or blame something else."""
    half = settings.mixed_precision != "no"
    other = "Train it again with a lower learning rate, or import it again"
    remedy = f'Set embed.mixed_precision to "no" (it is {settings.mixed_precision})' if half else other
    faces = unit.reads["faces"]
    return ValaroError(f"{unit.reads['model']}: its answers to {faces} are infinite or NaN. {remedy}.")


def network_of(file: Path, settings: EmbedParams, compute: ComputeParams) -> Any:
    """The static model of a file as a `StaticNetwork`, on the engine and device of the parameters."""
    engine = engine_of(compute)
    return _network(file, torch_device(), engine, settings.mixed_precision, settings.compile)


@remembered
def _network(path: Path, device: str, engine: Engine, mixed_precision: MixedPrecision, compiled: bool) -> Any:
    from stages.inference.graphs import GraphMismatch
    from stages.vision.embedding import GraphNetwork, TorchNetwork

    if engine.library == "openvino":
        with suppress(GraphMismatch):
            return GraphNetwork(path, engine)
    from stages.training.checkpoints import load_model
    from stages.vision.architectures import build_static

    model = load_model(path, build_static).to(device)
    if compiled and device != "cpu":
        model.compile()  # in place: its attributes stay reachable
    return TorchNetwork(model, mixed_precision)


def units(
    workspace: Workspace, models: Workspace, corpus: Corpus, settings: EmbedParams, compute: ComputeParams
) -> list[Unit]:
    """One unit per subject with faces."""
    model = models.model(f"static/{settings.backbone}.safetensors")
    shown, engine = input_of(model), engine_of(compute).facts()
    looks_twice = settings.mirrored and not mirrors(model)
    known = models.model(f"{FOLDER}/{FOLDS}")
    folds = read_json(known) if settings.folds and known.is_file() else {}
    return [
        Unit(
            subject.name,
            {"faces": workspace.artefact("faces", subject.name), "model": model}
            | extractor_of(models, subject.name, folds)
            | ({} if shown == "face" else frame_files(workspace, corpus, subject.video)),
            {"embeddings": workspace.artefact("embeddings", subject.name)},
            {"shown": shown, "mirrored": looks_twice and subject.split != "train"} | engine,
        )
        for subject in workspace.having(corpus.subjects, "faces")
    ]


def embed() -> None:
    """Run the stage on params.yaml."""
    params, workspace = load_params(), Workspace()
    with Stage("embed", workspace.folder("embeddings")) as stage:
        work = units(workspace, workspace, workspace.corpus(), params.embed, params.compute)
        stage.run(embed_subject, work, params.embed, jobs=1, compute=params.compute)


if __name__ == "__main__":
    main("embed")
