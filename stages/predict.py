"""Let every system predict every subject: 5 predictions a second.

    python -m stages.predict          (dvc repro predict)

Reads   data/embeddings/<subject>.h5             models/dynamic/, models/kelm.safetensors
        data/voice/<video>.wav                   models/audio.safetensors
        data/speech/<subject>.h5                 windows that tile the whole video
Writes  data/predictions/dynamic/<subject>.h5    valence_arousal (T, 2) float32, time_s (T,); fps_hz
        data/predictions/kelm/<subject>.h5       the same, one value held over each window
        data/predictions/audio/<subject>.h5      the same; none for a video without sound

Overlapping windows are averaged per step (paper, section 3.2.2); silence is predicted too (table 5).
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.arrays import Floats
from stages.core.artefacts import files_of, read_arrays, read_facts, write_arrays
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.device import torch_device
from stages.core.memo import Note
from stages.core.stage import Stage, Unit, main
from stages.temporal.normalisation import Normaliser


def predict_dynamic(unit: Unit, _settings: None) -> list[Note]:
    """System 1: valence by the model best at valence, arousal by the one best at arousal."""
    from stages.temporal.dynamic import predict_sequence

    embedded = read_arrays(unit.reads["embeddings"], "embedding", "time_s")
    normalised = _normaliser(unit.reads["normalisation.safetensors"]).apply(embedded["embedding"])
    columns = []
    for column, target in enumerate(("valence", "arousal")):
        model, config = _dynamic(unit.reads[f"{target}.safetensors"])
        window = config["window"]
        columns.append(predict_sequence(model, normalised, window, max(1, window // 2))[:, column])
    _write(unit, np.column_stack(columns), embedded["time_s"])
    return []


def predict_kelm(unit: Unit, _settings: None) -> list[Note]:
    """One value per window of embeddings, held over it."""
    from stages.temporal.functionals import functionals, hold, window_of_step

    embedded = read_arrays(unit.reads["embeddings"], "embedding", "time_s")
    machine, normaliser, config = _kelm(unit.reads["model"])
    fps_hz = read_facts(unit.reads["embeddings"])["fps_hz"]
    window = window_of_step(len(embedded["time_s"]), fps_hz, config["window_s"])
    features = functionals(embedded["embedding"], window, config["functionals"])
    predicted = hold(machine.predict(normaliser.apply(features)), window)
    _write(unit, np.clip(predicted, -1, 1), embedded["time_s"])
    return []


def predict_audio(unit: Unit, _settings: None) -> list[Note]:
    """The whole recording, silence included, on the grid of the frames."""
    from stages.audio.audio_recording import predict_recording
    from stages.media.sound import read_wav, to_mono

    speech = read_arrays(unit.reads["speech"], "inference_window_s", "time_s")
    model, config = _audio(unit.reads["model"])
    waveform, rate_hz = read_wav(unit.reads["voice"])
    predicted = predict_recording(
        model,
        to_mono(waveform),
        speech["inference_window_s"],
        steps=len(speech["time_s"]),
        window_s=config["window_s"],
        step_s=1 / config["fps_hz"],
        rate_hz=rate_hz,
    ).valence_arousal
    said = np.isfinite(predicted).all(axis=1)
    _write(unit, predicted[said], speech["time_s"][said])
    return []


def _write(unit: Unit, valence_arousal: Floats, time_s: Floats) -> None:
    arrays = {"valence_arousal": valence_arousal.astype(np.float32), "time_s": time_s}
    write_arrays(unit.writes["predictions"], arrays)


@cache
def _dynamic(path: Path) -> tuple[Any, dict[str, Any]]:
    from stages.temporal.dynamic import DynamicModel
    from stages.training.checkpoints import load_config, load_model

    model = load_model(path, lambda config: DynamicModel(**config["model"]))
    return model.to(torch_device()), load_config(path)


@cache
def _normaliser(path: Path) -> Normaliser:
    from safetensors.numpy import load_file

    return Normaliser.from_arrays(load_file(path))


@cache
def _kelm(path: Path) -> tuple[Any, Normaliser, dict[str, Any]]:
    from safetensors import safe_open
    from safetensors.numpy import load_file

    from stages.temporal.kelm import Kelm

    with safe_open(path, "numpy") as file:
        config = json.loads(file.metadata()["config"])
    parts: dict[str, dict[str, Floats]] = {"kelm": {}, "normalisation": {}}
    for key, array in load_file(path).items():
        part, name = key.split(".", 1)
        parts[part][name] = array
    return Kelm.from_arrays(parts["kelm"]), Normaliser.from_arrays(parts["normalisation"]), config


@cache
def _audio(path: Path) -> tuple[Any, dict[str, Any]]:
    from stages.audio.audio_backbone import build_backbone
    from stages.audio.audio_model import AudioModel
    from stages.training.checkpoints import load_config, load_model

    model = load_model(path, lambda config: AudioModel(build_backbone(config["backbone"]), **config["head"]))
    return model.to(torch_device()), load_config(path)


def visual_units(workspace: Workspace, models: Workspace, subjects: list[Subject], system: str) -> list[Unit]:
    """One unit per subject with embeddings, for `dynamic` or `kelm`."""
    if system == "dynamic":
        weights = {path.name: path for path in files_of(models.model("dynamic"))}
    else:
        weights = {"model": models.model("kelm.safetensors")}
    return [
        Unit(
            f"{system}/{subject.name}",
            {"embeddings": workspace.artefact("embeddings", subject.name)} | weights,
            {"predictions": workspace.artefact(f"predictions/{system}", subject.name)},
        )
        for subject in workspace.having(subjects, "embeddings")
    ]


def audio_units(workspace: Workspace, models: Workspace, subjects: list[Subject]) -> list[Unit]:
    """One unit per subject whose video has sound."""
    return [
        Unit(
            f"audio/{subject.name}",
            {
                "speech": workspace.artefact("speech", subject.name),
                "voice": workspace.artefact("voice", subject.video, ".wav"),
                "model": models.model("audio.safetensors"),
            },
            {"predictions": workspace.artefact("predictions/audio", subject.name)},
        )
        for subject in workspace.having(subjects, "speech")
        if read_facts(workspace.artefact("speech", subject.name))["has_audio"]
    ]


def run(stage: Stage, workspace: Workspace, corpus: Corpus) -> None:
    """All systems, one after the other; the networks use all cores, or the GPU, by themselves."""
    dynamic = visual_units(workspace, workspace, corpus.subjects, "dynamic")
    stage.run(predict_dynamic, dynamic, jobs=1)
    stage.run(predict_kelm, visual_units(workspace, workspace, corpus.subjects, "kelm"), jobs=1)
    stage.run(predict_audio, audio_units(workspace, workspace, corpus.subjects), jobs=1)


def predict() -> None:
    """Run the stage on the models of this repository."""
    workspace = Workspace()
    with Stage("predict", workspace.folder("predictions")) as stage:
        run(stage, workspace, workspace.corpus())


if __name__ == "__main__":
    main("predict")
