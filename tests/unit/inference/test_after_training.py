"""What a training exports is what later stages look for; nothing where they use PyTorch, or nothing can be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from stages.audio.audio_graph import open_audio
from stages.audio.backbone import build_backbone
from stages.audio.model import AudioModel
from stages.core.artefacts import write_tensors
from stages.engine.stage import HERE
from stages.engine.units import Unit
from stages.fusion.cross_attention import CrossAttentionModel
from stages.fusion.cross_attention_graph import open_cross_attention
from stages.inference import graphs
from stages.inference.after_training import AUDIO, CROSS_ATTENTION, DYNAMIC, STATIC, exporting
from stages.inference.engines import graphs_folder
from stages.inference.graphs import Run
from stages.temporal.dynamic import DynamicModel
from stages.temporal.dynamic_graph import open_dynamic
from stages.training.checkpoints import save_model
from stages.vision.architectures import new_static
from stages.vision.static_graph import open_static

pytestmark = pytest.mark.long

FACES = {"architecture": "test_resnet", "image_size": 32, "dropout": 0.1, "tanh_output": True, "options": {}}
STEPS = {"features": 8, "d_model": 16, "layers": 1, "heads": 2}
SOUND = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "conv_dim": [16, 16], "conv_kernel": [40, 5], "conv_stride": [16, 2], "conv_bias": True,
    "feat_extract_norm": "layer", "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip
HEAD = {"version": "v3", "heads": [2, 2], "trainable_layers": 0, "steps": 5}
STREAMS = {"video_features": 4, "audio_features": 3, "d_model": 8, "heads": 2}
NETWORKS: dict[str, tuple[Callable[[], nn.Module], dict[str, Any], Callable[..., Run | tuple[Run, Run]]]] = {
    STATIC: (lambda: new_static(FACES, None), FACES, open_static),
    DYNAMIC: (lambda: DynamicModel(**STEPS), {"model": STEPS, "window": 6}, open_dynamic),
    AUDIO: (
        lambda: AudioModel(build_backbone(SOUND), **HEAD),
        {"backbone": SOUND, "head": HEAD, "window_s": 0.2},
        open_audio,
    ),
    CROSS_ATTENTION: (
        lambda: CrossAttentionModel(**STREAMS),
        {"model": STREAMS, "window": 6},
        open_cross_attention,
    ),
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("VALARO_DEVICE", "cpu")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)


def trained(network: str) -> Unit:
    """A folder of weights and of a normalisation, as a training writes it."""
    build, config, _ = NETWORKS[network]
    save_model(Path("model/valence.safetensors"), build(), config)
    write_tensors(Path("model/normalisation.safetensors"), {"mean": np.zeros(3, np.float32)})
    return Unit(network, {}, {"model": Path("model")})


@pytest.mark.parametrize("network", NETWORKS)
def test_later_stages_find_what_the_training_exported(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, config, opened = NETWORKS[network]
    exporting(network, HERE)(trained(network))

    def never(*_: object) -> None:
        raise AssertionError("it is there")

    monkeypatch.setattr(graphs, "_export_apart", never)
    assert opened(Path("model/valence.safetensors"), config, "bfloat16")


@pytest.mark.parametrize(("engine", "device"), [("torch", "cpu"), ("auto", "cuda"), ("openvino", "cuda")])
def test_nothing_is_exported_that_no_stage_would_run(
    engine: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALARO_DEVICE", device)
    exporting(DYNAMIC, HERE.model_copy(update={"engine": engine}))(trained(DYNAMIC))
    assert not graphs_folder().exists()


def test_a_training_succeeds_whose_network_cannot_be_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "TOLERANCE", -1.0)
    exporting(DYNAMIC, HERE)(trained(DYNAMIC))
    assert not list(graphs_folder().rglob("*.xml"))
