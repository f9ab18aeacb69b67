"""Let the single systems predict every subject, 5 times a second, and keep the features they see.

    python -m stages.predict          (dvc repro predict)

Reads   data/embeddings/<subject>.h5             models/dynamic/, models/kelm/<functionals>.safetensors
        data/voice/<video>.wav                   models/audio/<version>.safetensors
        data/speech/<subject>.h5                 windows that tile the whole video
Writes  data/predictions/static/<subject>.h5     valence_arousal (T, 2) float32, time_s (T,): the static
                                                 model's estimate of every step by itself; half_width
                                                 (T, 2) of the 90 % interval, if there is one (`vision.doubt`)
        data/predictions/dynamic/<subject>.h5    valence_arousal (T, 2) float32, time_s (T,)
        data/predictions/kelm/<subject>.h5       the same, one value held over each window
        data/predictions/audio/<subject>.h5      the same; none for a video without sound, and none at all if
                                                 the audio model isn't trained
        data/features/dynamic/<subject>.h5       features (T, 2, d) float16: of the model best at valence,
                                                 then of the one best at arousal; detected (T,), time_s (T,),
                                                 fps_hz
        data/features/audio/<subject>.h5         features (T, f) float16, time_s (T,), fps_hz
Params  embed.backbone, kelm.functionals, audio.version: which of those compared go on; compute.engine,
        compute.precision

Overlapping windows are averaged per step (paper, section 3.2.2); silence is predicted too (table 5). The
features are what the last layers make predictions of, for the cross-attention (section 3.3). They are bounded
by a layer norm or a batch norm, so half precision is off by 0.05 % at most; it halves 3.7 GB on Aff-Wild2.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from stages.audio.networks import AudioNetwork
from stages.core.arrays import Floats
from stages.core.artefacts import Arrays, files_of, read_arrays, read_config, read_facts, remove, write_arrays
from stages.core.corpus import Subject, Workspace
from stages.core.loaded import remembered
from stages.core.measures import TARGETS
from stages.core.notes import Note
from stages.core.params import ComputeParams, load_params
from stages.core.untrained import read_untrained
from stages.engine.device import torch_device
from stages.engine.stage import Stage, main
from stages.engine.units import Unit, Work
from stages.inference.engines import Engine, engine_of
from stages.temporal.missing import model_input
from stages.temporal.normalisation import Normaliser
from stages.temporal.recording import Say, predict_sequence
from stages.vision.doubt import Seen, read_doubt

LARGEST = float(np.finfo(np.float16).max)


def predict_static(unit: Unit, _settings: None) -> list[Note]:
    """The static model's own valence and arousal, step by step."""
    embedded = read_arrays(unit.reads["embeddings"], "embedding", "valence_arousal", "time_s")
    said = np.clip(embedded["valence_arousal"], -1, 1).astype(np.float32)
    arrays: Arrays = {"valence_arousal": said, "time_s": embedded["time_s"]}
    if doubt := read_doubt(unit.reads["model"]):
        faces = read_arrays(unit.reads["faces"], "box_xyxy", "score", "turned")
        facts = read_facts(unit.reads["faces"])
        doubtful = (facts["unsure_score"], facts["sure_score"])
        seen = Seen(faces["box_xyxy"], faces["score"], faces["turned"], doubtful)
        arrays["half_width"] = doubt.half_width(embedded["embedding"], said, seen)
    write_arrays(unit.writes["predictions"], arrays)
    return []


def predict_dynamic(unit: Unit, _settings: None) -> list[Note]:
    """System 1: valence by the model best at valence, arousal by the one best at arousal."""
    embedded = read_arrays(unit.reads["embeddings"], "embedding", "detected", "time_s")
    normaliser = _normaliser(unit.reads["normalisation.safetensors"])
    columns, features = [], []
    for column, target in enumerate(TARGETS):
        say, config = _dynamic(unit.reads[f"{target}.safetensors"], torch_device(), Engine.of(unit.facts))
        window, missing = config["window"], config.get("missing", "as_seen")  # imported ones say nothing
        shown, known = model_input(normaliser, embedded["embedding"], embedded["detected"], missing)
        said = predict_sequence(say, shown, window, max(1, window // 2), known=known)
        columns.append(said[:, column])
        features.append(said[:, 2:])
    _write(unit, np.column_stack(columns), embedded["time_s"])
    fps_hz = read_facts(unit.reads["embeddings"])["fps_hz"]
    described = {"features": np.stack(features, axis=1), "detected": embedded["detected"]}
    _write_features(unit, described, embedded["time_s"], fps_hz)
    return []


def predict_kelm(unit: Unit, _settings: None) -> list[Note]:
    """One value per window of embeddings, held over it."""
    from stages.temporal.functionals import functionals, hold, nearest_described, window_of_step

    embedded = read_arrays(unit.reads["embeddings"], "embedding", "detected", "time_s")
    machine, normaliser, config = _kelm(unit.reads["model"])
    fps_hz = read_facts(unit.reads["embeddings"])["fps_hz"]
    window = window_of_step(len(embedded["time_s"]), fps_hz, config["window_s"])
    features = functionals(embedded["embedding"], window, config["functionals"], embedded["detected"])
    predicted = hold(machine.predict(normaliser.apply(nearest_described(features))), window)
    _write(unit, np.clip(predicted, -1, 1), embedded["time_s"])
    return []


def predict_audio(unit: Unit, _settings: None) -> list[Note]:
    """The whole recording, silence included, on the grid of the frames."""
    from stages.audio.recording import predict_video

    network, config = _audio(unit.reads["model"], torch_device(), Engine.of(unit.facts))
    said = predict_video(network, unit.reads["speech"], unit.reads["voice"], config)
    _write(unit, said.valence_arousal, said.time_s)
    _write_features(unit, {"features": said.features}, said.time_s, config["fps_hz"])
    return []


def _write(unit: Unit, valence_arousal: Floats, time_s: Floats) -> None:
    arrays = {"valence_arousal": valence_arousal.astype(np.float32), "time_s": time_s}
    write_arrays(unit.writes["predictions"], arrays)


def _write_features(unit: Unit, described: Arrays, time_s: Floats, fps_hz: float) -> None:
    halved = np.clip(described["features"], -LARGEST, LARGEST).astype(np.float16)
    arrays = described | {"features": halved, "time_s": time_s}
    write_arrays(unit.writes["features"], arrays, fps_hz=fps_hz)


@remembered
def _dynamic(path: Path, device: str, engine: Engine) -> tuple[Say, dict[str, Any]]:
    """A dynamic model that gives its predictions and, behind them, its features."""
    from stages.inference.graphs import GraphMismatch
    from stages.inference.modules import joined_outputs
    from stages.temporal.dynamic_graph import open_dynamic

    config = read_config(path)
    if engine.library == "openvino":
        with suppress(GraphMismatch):
            return joined_outputs(open_dynamic(path, config, engine.precision)), config
    from stages.temporal.dynamic import DynamicModel, describing
    from stages.training.checkpoints import load_model

    model = load_model(path, lambda config: DynamicModel(**config["model"]))
    return describing(model.to(device)), config


@remembered
def _normaliser(path: Path) -> Normaliser:
    from safetensors.numpy import load_file

    return Normaliser.from_arrays(load_file(path))


@remembered
def _kelm(path: Path) -> tuple[Any, Normaliser, dict[str, Any]]:
    from safetensors.numpy import load_file

    from stages.temporal.kelm import Kelm

    config = read_config(path)
    parts: dict[str, dict[str, Floats]] = {"kelm": {}, "normalisation": {}}
    for key, array in load_file(path).items():
        part, name = key.split(".", 1)
        parts[part][name] = array
    return Kelm.from_arrays(parts["kelm"]), Normaliser.from_arrays(parts["normalisation"]), config


@remembered
def _audio(path: Path, device: str, engine: Engine) -> tuple[AudioNetwork, dict[str, Any]]:
    from stages.audio.networks import GraphAudio, TorchAudio
    from stages.inference.graphs import GraphMismatch

    config = read_config(path)
    if engine.library == "openvino":
        with suppress(GraphMismatch):
            return GraphAudio(path, config, engine), config
    from stages.audio.backbone import build_backbone
    from stages.audio.model import AudioModel
    from stages.training.checkpoints import load_model

    model = load_model(path, lambda config: AudioModel(build_backbone(config["backbone"]), **config["head"]))
    return TorchAudio(model.to(device)), config


def static_units(
    workspace: Workspace, models: Workspace, subjects: list[Subject], backbone: str
) -> list[Unit]:
    """One unit per subject with embeddings."""
    return [
        Unit(
            f"static/{subject.name}",
            {
                "embeddings": workspace.artefact("embeddings", subject.name),
                "faces": workspace.artefact("faces", subject.name),
                "model": models.model(f"static/{backbone}.safetensors"),
            },
            _writes(workspace, "static", subject, "predictions"),
        )
        for subject in workspace.having(subjects, "embeddings")
    ]


def dynamic_units(
    workspace: Workspace, models: Workspace, subjects: list[Subject], compute: ComputeParams
) -> list[Unit]:
    """One unit per subject with embeddings."""
    engine = engine_of(compute).exact()
    weights = {path.name: path for path in files_of(models.model("dynamic"))}
    return [
        Unit(
            f"dynamic/{subject.name}",
            {"embeddings": workspace.artefact("embeddings", subject.name)} | weights,
            _writes(workspace, "dynamic", subject, "predictions", "features"),
            engine.facts(),
        )
        for subject in workspace.having(subjects, "embeddings")
    ]


def kelm_units(
    workspace: Workspace, models: Workspace, subjects: list[Subject], functionals: str
) -> list[Unit]:
    """One unit per subject with embeddings."""
    return [
        Unit(
            f"kelm/{subject.name}",
            {
                "embeddings": workspace.artefact("embeddings", subject.name),
                "model": models.model(f"kelm/{functionals}.safetensors"),
            },
            _writes(workspace, "kelm", subject, "predictions"),
        )
        for subject in workspace.having(subjects, "embeddings")
    ]


def audio_units(
    workspace: Workspace, models: Workspace, subjects: list[Subject], version: str, compute: ComputeParams
) -> list[Unit]:
    """One unit per subject whose video has sound; none if the model isn't trained."""
    engine, model = engine_of(compute), models.model(f"audio/{version}.safetensors")
    if read_untrained(model):
        return []
    return [
        Unit(
            f"audio/{subject.name}",
            {
                "speech": workspace.artefact("speech", subject.name),
                "voice": workspace.artefact("voice", subject.video, ".wav"),
                "model": model,
            },
            _writes(workspace, "audio", subject, "predictions", "features"),
            engine.facts(),
        )
        for subject in workspace.having(subjects, "speech")
        if read_facts(workspace.artefact("speech", subject.name))["has_audio"]
    ]


def _writes(workspace: Workspace, system: str, subject: Subject, *kinds: str) -> dict[str, Path]:
    return {kind: workspace.artefact(f"{kind}/{system}", subject.name) for kind in kinds}


def run(
    workspace: Workspace, system: str, work: Work, units: list[Unit], compute: ComputeParams, *notes: Note
) -> None:
    """One system after the other; the networks use all cores, or the GPU, by themselves.

    Each has a folder of predictions to itself, since those of the cross-attention are a later stage's.
    """
    with Stage("predict", workspace.folder("predictions", system)) as stage:
        stage.note(*notes)
        stage.run(work, units, jobs=1, compute=compute)
    wanted = {unit.writes["features"] for unit in units if "features" in unit.writes}
    for stray in set(workspace.folder("features", system).glob("*")) - wanted:
        remove(stray)


def predict() -> None:
    """Run the stage on the models of this repository."""
    params, workspace = load_params(), Workspace()
    functionals, version, compute = params.kelm.functionals, params.audio.version, params.compute
    subjects = workspace.corpus().subjects
    for system in ("dynamic", "audio"):
        workspace.folder("features", system).mkdir(parents=True, exist_ok=True)
    still = static_units(workspace, workspace, subjects, params.embed.backbone)
    run(workspace, "static", predict_static, still, compute)
    steps = dynamic_units(workspace, workspace, subjects, compute)
    run(workspace, "dynamic", predict_dynamic, steps, compute)
    run(workspace, "kelm", predict_kelm, kelm_units(workspace, workspace, subjects, functionals), compute)
    sounds = audio_units(workspace, workspace, subjects, version, compute)
    lack = read_untrained(path := workspace.model(f"audio/{version}.safetensors"))
    run(workspace, "audio", predict_audio, sounds, compute, *([lack.note("audio", path)] if lack else []))


if __name__ == "__main__":
    main("predict")
