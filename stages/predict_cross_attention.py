"""Let the cross-attention predict every subject that is both seen and heard, 5 times a second.

    python -m stages.predict_cross_attention          (dvc repro predict_cross_attention)

Reads   data/features/dynamic/<subject>.h5               models/cross_attention/
        data/features/audio/<subject>.h5                 none for a video without sound
        data/speech/<subject>.h5                         speaking steps
Writes  data/predictions/cross_attention/<subject>.h5    valence_arousal (T, 2) float32, time_s (T,): the
                                                         steps that both modalities describe
Params  compute.engine, compute.precision

A video without sound gets no prediction: the system abstains, as audio does. If the model isn't trained, no
video gets one.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.artefacts import files_of, read_config, write_arrays
from stages.core.corpus import Subject, Workspace
from stages.core.errors import BadInput
from stages.core.loaded import remembered
from stages.core.measures import TARGETS
from stages.core.notes import Note
from stages.core.params import ComputeParams, load_params
from stages.core.untrained import Untrained, read_untrained
from stages.engine.device import torch_device
from stages.engine.stage import Stage, main
from stages.engine.units import Unit
from stages.fusion.streams import read_streams
from stages.inference.engines import Engine, engine_of
from stages.temporal.normalisation import Normaliser
from stages.temporal.recording import Say, predict_runs


def predict_subject(unit: Unit, _settings: None) -> list[Note]:
    """Valence by the model best at valence, arousal by the one best at arousal."""
    streams = read_streams(unit.reads["dynamic"], unit.reads["audio"], unit.reads["speech"])
    if not len(streams.time_s):
        raise BadInput(unit.reads["audio"], "no step of it lies in the video", "Look at the file's streams")
    scaled = streams.scaled(_normaliser(unit.reads["normalisation.safetensors"]).apply)
    columns = []
    for column, target in enumerate(TARGETS):
        say, config = _model(unit.reads[f"{target}.safetensors"], torch_device(), Engine.of(unit.facts))
        window, step_s = config["window"], config["step_s"]
        hop = max(1, window // 2)
        predicted = predict_runs(say, scaled, streams.time_s, step_s=step_s, window=window, hop=hop)
        columns.append(predicted[:, column])
    arrays = {"valence_arousal": np.column_stack(columns), "time_s": streams.time_s}
    write_arrays(unit.writes["predictions"], arrays)
    return []


@remembered
def _model(path: Path, device: str, engine: Engine) -> tuple[Say, dict[str, Any]]:
    from stages.fusion.cross_attention_graph import open_cross_attention
    from stages.inference.graphs import GraphMismatch
    from stages.inference.modules import joined_outputs

    config = read_config(path)
    if engine.library == "openvino":
        with suppress(GraphMismatch):
            return joined_outputs(open_cross_attention(path, config, engine.precision)), config
    from stages.fusion.cross_attention import CrossAttentionModel
    from stages.temporal.dynamic import saying
    from stages.training.checkpoints import load_model

    model = load_model(path, lambda config: CrossAttentionModel(**config["model"]))
    return saying(model.to(device)), config


@remembered
def _normaliser(path: Path) -> Normaliser:
    from safetensors.numpy import load_file

    return Normaliser.from_arrays(load_file(path))


def units(
    workspace: Workspace, models: Workspace, subjects: list[Subject], compute: ComputeParams
) -> list[Unit]:
    """One unit per subject with features of both modalities; none if the model isn't trained."""
    if _lack(models):
        return []
    engine = engine_of(compute).exact()
    weights = {path.name: path for path in files_of(models.model("cross_attention"))}
    return [
        Unit(
            f"cross_attention/{subject.name}",
            {
                "dynamic": workspace.artefact("features/dynamic", subject.name),
                "audio": workspace.artefact("features/audio", subject.name),
                "speech": workspace.artefact("speech", subject.name),
                **weights,
            },
            {"predictions": workspace.artefact("predictions/cross_attention", subject.name)},
            engine.facts(),
        )
        for subject in workspace.having(subjects, "features/dynamic", "features/audio", "speech")
    ]


def _lack(models: Workspace) -> Untrained | None:
    return read_untrained(models.model(f"cross_attention/{TARGETS[0]}.safetensors"))


def predict_cross_attention() -> None:
    """Run the stage on the models of this repository."""
    workspace, compute = Workspace(), load_params().compute
    with Stage("predict_cross_attention", workspace.folder("predictions/cross_attention")) as stage:
        if lack := _lack(workspace):
            stage.note(lack.note("cross_attention", workspace.model("cross_attention")))
        work = units(workspace, workspace, workspace.corpus().subjects, compute)
        stage.run(predict_subject, work, jobs=1, compute=compute)


if __name__ == "__main__":
    main("predict_cross_attention")
