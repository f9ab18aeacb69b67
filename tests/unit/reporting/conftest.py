"""Models of every kind, one number each, and what their stages measured."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.core.artefacts import write_json, write_tensors
from stages.core.corpus import Workspace
from stages.core.params import Params, load_params
from stages.core.systems import FUSIONS

LayModels = Callable[[Workspace], Params]


def lay_models(workspace: Workspace, params: Params) -> None:
    """What the stages that train leave: weights, figures, the curves of fine-tuning."""
    fusions = [f"fusion/{fusion}" for fusion in FUSIONS]
    pairs = [f"{system}/{part}" for system in ("dynamic", "cross_attention") for part in PARTS]
    for name in [*fusions, *pairs]:
        lay_weights(workspace, name)
    best = {f"{target}_ccc": {"epoch": 3, "value": 0.5} for target in ("valence", "arousal", "mean")}
    for system in ("dynamic", "cross_attention"):
        counts = {"windows": 7, "validation_subjects": 2}
        write_json(workspace.metrics(f"{system}/metrics.json"), {"best": best, "epochs": 4} | counts)
    for backbone in params.finetune.compare:
        lay_static(workspace, backbone)
    for functionals in params.kelm.compare:
        lay_weights(workspace, f"kelm/{functionals}")
        figures = {f"{target}_ccc": 0.25 for target in ("valence", "arousal", "mean")}
        choice = {"on": "train", "optimistic": False}
        content = {"choice": choice, "validation": figures, "windows": 5}
        write_json(workspace.metrics(f"kelm/{functionals}.json"), content)
    for version in params.audio.compare:
        lay_weights(workspace, f"audio/{version}")
        ccc = {"valence": 0.1, "arousal": 0.3, "mean": 0.2}
        kept: dict[str, Any] = {"best": {"speaking_window_mean_ccc": {"epoch": 2, "value": 0.2}}}
        counts = {"windows": 9, "validation_windows": 4}
        content = kept | counts | {"speaking_window_ccc": ccc}
        write_json(workspace.metrics(f"audio/{version}/metrics.json"), content)


PARTS = ("valence", "arousal", "normalisation")


def lay_static(workspace: Workspace, backbone: str) -> None:
    """Pre-training that handed on its start, and fine-tuning of which the second epoch was kept."""
    for kind in ("pretrained_static", "static"):
        lay_weights(workspace, f"{kind}/{backbone}")
    nothing = {"corpora": {}, "reason": "no pre-training corpus is there", "start": "weights drawn at random"}
    write_json(workspace.metrics(f"pretrain/{backbone}/metrics.json"), nothing)
    best = {"mean_rmse": {"epoch": 2, "value": 0.3}}
    counts = {"train_images": 12, "validation_images": 6}
    write_json(workspace.metrics(f"finetune/{backbone}/metrics.json"), {"best": best} | counts)
    curves = workspace.metrics(f"finetune/{backbone}/plots/validation")
    curves.mkdir(parents=True)
    for score, values in {"mean_rmse": (0.4, 0.3), "valence_ccc": (0.1, 0.625)}.items():
        rows = "".join(f"{step}\t{value}\n" for step, value in enumerate(values))
        (curves / f"{score}.tsv").write_text(f"step\t{score}\n{rows}", encoding="utf-8")


def lay_weights(workspace: Workspace, name: str) -> None:
    """A file of six numbers."""
    write_tensors(workspace.model(f"{name}.safetensors"), {"weight": np.zeros((2, 3), np.float32)})


@pytest.fixture(name="lay_models", scope="session")
def lay_models_fixture(repository: Path) -> LayModels:
    """Put the sample's parameters and its models into a workspace that lies in the current folder."""

    def lay(workspace: Workspace) -> Params:
        shutil.copy(repository / "profiles" / "sample.yaml", "params.yaml")
        params = load_params()
        lay_models(workspace, params)
        return params

    return lay
