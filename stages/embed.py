"""Embed every face: crops -> 256-d embeddings on the time grid.

    python -m stages.embed          (dvc repro embed)

Reads   data/faces/<subject>.h5          crops
        models/static.safetensors
Writes  data/embeddings/<subject>.h5     embedding (T, 256) float32; valence_arousal (T, 2) by the static
                                         model; detected (T,) bool; time_s (T,); fps_hz
Params  embed

Where the face is missing the last crop's embedding stands (`detected` is false), before the first a black
image's (paper, section 4.2.2).
"""

from functools import cache
from pathlib import Path
from typing import Any

from stages.core.artefacts import read_arrays, read_facts, write_arrays
from stages.core.corpus import Corpus, Workspace
from stages.core.device import torch_device
from stages.core.memo import Note
from stages.core.params import EmbedParams, load_params
from stages.core.stage import Stage, Unit, main


def embed_subject(unit: Unit, settings: EmbedParams) -> list[Note]:
    """Embed the crops of one subject."""
    from stages.vision.face_images import embed_track

    faces = read_arrays(unit.reads["faces"], "jpeg", "jpeg_offset", "crop_index", "detected", "time_s")
    model = _static(unit.reads["model"])
    embedding, valence_arousal = embed_track(
        model, faces["jpeg"], faces["jpeg_offset"], faces["crop_index"], model.image_size, settings.batch_size
    )
    write_arrays(
        unit.writes["embeddings"],
        {
            "embedding": embedding,
            "valence_arousal": valence_arousal,
            "detected": faces["detected"],
            "time_s": faces["time_s"],
        },
        fps_hz=read_facts(unit.reads["faces"])["fps_hz"],
    )
    return []


@cache
def _static(path: Path) -> Any:
    from stages.training.checkpoints import load_model
    from stages.vision.static_model import StaticModel

    return load_model(path, lambda config: StaticModel(**config)).to(torch_device())


def units(workspace: Workspace, models: Workspace, corpus: Corpus) -> list[Unit]:
    """One unit per subject with faces."""
    return [
        Unit(
            subject.name,
            {"faces": workspace.artefact("faces", subject.name), "model": models.model("static.safetensors")},
            {"embeddings": workspace.artefact("embeddings", subject.name)},
        )
        for subject in workspace.having(corpus.subjects, "faces")
    ]


def embed() -> None:
    """Run the stage on params.yaml."""
    params, workspace = load_params(), Workspace()
    with Stage("embed", workspace.folder("embeddings")) as stage:
        stage.run(embed_subject, units(workspace, workspace, workspace.corpus()), params.embed, jobs=1)


if __name__ == "__main__":
    main("embed")
