"""Degrade the validation recordings and predict them: hard frames from which intervals are fitted.

    python -m stages.degrade          (dvc repro degrade)

Reads   data/index, data/faces, data/decode, data/speech       of validation; its videos
        data/embeddings, data/predictions/audio, data/features/audio
        models/static, models/dynamic, models/kelm, models/cross_attention, models/fusion
Writes  data/degraded/<kind>/         faces/<subject>.h5 (the worse track, without its pictures),
                                      embeddings/<subject>.h5, traces/<system>/<subject>.h5,
                                      fused/<fusion>/<subject>.h5, as the stages write them
Params  embed, kelm.functionals, smooth, compute.engine, compute.precision

Kinds: noise and blur, a block over the face, faces lost for a while, and (to measure by alone) other light
and skin; see `vision.degradation`. Sound is left as it is. A model that takes frames or persons sees them as
they are: it loses faces alone.
"""

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from stages import embed, fuse, predict, predict_cross_attention, smooth
from stages.core.artefacts import files_of, own_folder, read_arrays, read_facts, write_arrays
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.errors import BadInput
from stages.core.notes import Note
from stages.core.params import ComputeParams, EmbedParams, Section, SmoothParams, load_params
from stages.core.systems import FUSIONS, SYSTEMS, traces_folder
from stages.engine.stage import HERE, Stage, main
from stages.engine.units import Unit, do_unit
from stages.inference.engines import engine_of
from stages.media.pictures import frame_files
from stages.vision.backbones import input_of

DEGRADED, SHIFTED = ("noise", "occlusion", "dropped"), "shifted"
KEPT = ("faces", "embeddings", *(traces_folder(name) for name in (*SYSTEMS, *FUSIONS)))
LINKED = ("index", "speech", "predictions/audio", "features/audio")


class Settings(Section):
    """What the copies are predicted with, besides the models."""

    embed: EmbedParams
    functionals: str
    smooth: SmoothParams
    compute: ComputeParams


def degrade_validation(unit: Unit, settings: Settings) -> list[Note]:
    """One kind of degradation of all of validation."""
    workspace, copy = Workspace(Path(unit.facts["root"])), Workspace(unit.scratch / "copy")
    shown = [Subject(**subject) for subject in unit.facts["subjects"]]
    films = {subject.video: unit.reads.get(f"video/{subject.name}", "") for subject in shown}
    own = Corpus(shown, {video: str(path) for video, path in films.items()})
    with own_folder(copy.root):
        _predict(workspace, copy, own, unit.name, settings)
    for stage in KEPT:
        for file in sorted(copy.folder(stage).glob("*.h5")):
            _keep(file, unit.writes["copies"] / stage / file.name)
    return []


def _keep(file: Path, target: Path) -> None:
    """Move an artefact out of the copy; a track without its pictures."""
    if file.parent.name == "faces":
        arrays = {name: array for name, array in read_arrays(file).items() if not name.startswith("jpeg")}
        write_arrays(target, arrays, **read_facts(file))
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(file, target)


def _predict(workspace: Workspace, copy: Workspace, own: Corpus, kind: str, settings: Settings) -> None:
    """Degrade every recording and go through all steps, in the copy."""
    copy.write_corpus(own)
    for seed, subject in enumerate(own.subjects):
        _lay(workspace, copy, subject, kind, seed)
    for work, units, given in steps(workspace, copy, own, settings):
        for each in units():
            try:
                do_unit(work, each, given)
            except BadInput:  # it abstains here, as it does for the recording itself
                continue


def _lay(workspace: Workspace, copy: Workspace, subject: Subject, kind: str, seed: int) -> None:
    """The worse track, and links to what stays as it is."""
    from stages.vision.degradation import degrade

    source = workspace.artefact("faces", subject.name)
    track, facts = read_arrays(source), read_facts(source)
    changed = degrade(track, kind, seed, facts["fps_hz"])
    write_arrays(copy.artefact("faces", subject.name), changed, **facts)
    for stage, name in [*((stage, subject.name) for stage in LINKED), ("decode", subject.video)]:
        path = workspace.artefact(stage, name)
        if path.is_file():
            target = copy.artefact(stage, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            target.symlink_to(path.absolute())


Step = tuple[Callable[..., list[Note]], Callable[[], list[Unit]], Any]


def steps(workspace: Workspace, copy: Workspace, own: Corpus, settings: Settings) -> Iterator[Step]:
    """Work, its units (to be listed when the steps before are done), settings; in the order of dvc.yaml."""
    shown = own.subjects
    embedding = partial(embed.units, copy, workspace, own, settings.embed, settings.compute)
    yield embed.embed_subject, embedding, settings.embed
    static_units = partial(predict.static_units, copy, workspace, shown, settings.embed.backbone)
    yield predict.predict_static, static_units, None
    stepped = partial(predict.dynamic_units, copy, workspace, shown, settings.compute)
    yield predict.predict_dynamic, stepped, None
    kelm_units = partial(predict.kelm_units, copy, workspace, shown, settings.functionals)
    yield predict.predict_kelm, kelm_units, None
    crossed = partial(predict_cross_attention.units, copy, workspace, shown, settings.compute)
    yield predict_cross_attention.predict_subject, crossed, None
    yield smooth.smooth_subject, lambda: smooth.units(copy, own), settings.smooth
    for fusion in FUSIONS:
        yield fuse.apply_fusion, partial(fuse.applying_units, copy, workspace, shown, fusion), None


def units(workspace: Workspace, corpus: Corpus, backbone: str, functionals: str) -> list[Unit]:
    """One unit per kind.

    Args:
        workspace: of the run.
        corpus: whose validation subjects.
        backbone: of the embeddings.
        functionals: of the KELM that goes on.
    """
    shown = workspace.having(corpus.of("validation"), "index", "faces", "embeddings")
    static = workspace.model(f"static/{backbone}.safetensors")
    sees_frames = static.is_file() and input_of(static) != "face"
    reads = {}
    for subject in shown:
        for stage in ("faces", *LINKED):
            reads[f"{stage}/{subject.name}"] = workspace.artefact(stage, subject.name)
        if sees_frames:
            files = frame_files(workspace, corpus, subject.video)
            reads |= {f"{role}/{subject.name}": path for role, path in files.items()}
    models = [
        static,
        workspace.model(f"kelm/{functionals}.safetensors"),
        *(workspace.model(f"fusion/{fusion}.safetensors") for fusion in FUSIONS),
        *(path for name in ("dynamic", "cross_attention") for path in files_of(workspace.model(name))),
    ]
    reads |= {f"model {path}": path for path in models}
    reads = {role: path for role, path in reads.items() if path.is_file()}
    facts = {"subjects": [vars(subject) for subject in shown], "root": str(workspace.root)}
    return [
        Unit(kind, reads, {"copies": workspace.folder("degraded", kind)}, facts)
        for kind in (SHIFTED, *DEGRADED)  # what takes least comes last
    ]


def degrade() -> None:
    """Run the stage on the models of this repository."""
    params, workspace = load_params(), Workspace()
    functionals = params.kelm.functionals
    chosen = {"engine": params.compute.engine, "precision": params.compute.precision}
    compute = HERE.model_copy(update=chosen)  # where the work is done doesn't change the result
    settings = Settings(embed=params.embed, functionals=functionals, smooth=params.smooth, compute=compute)
    # PyTorch's last digits depend on the threads, of which workers have fewer, and a GPU takes one process.
    jobs = params.compute.jobs if engine_of(compute).library == "openvino" else 1
    with Stage("degrade", workspace.folder("degraded")) as stage:
        work = units(workspace, workspace.corpus(), params.embed.backbone, functionals)
        stage.run(degrade_validation, work, settings, jobs=jobs)


if __name__ == "__main__":
    main("degrade")
