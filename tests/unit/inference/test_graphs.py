"""Graphs answer as their modules do, are found again by what decides them, and never lie."""

import numpy as np
import pytest
import torch

from stages.core.errors import ValaroError
from stages.core.params import ComputeParams
from stages.inference import engines, graphs
from stages.inference.engines import TORCH, Engine, engine_of, graphs_folder
from stages.inference.graphs import Exported, GraphMismatch, open_graph
from stages.inference.networks import batched, open_audio, open_dynamic
from stages.training.checkpoints import save_model

CODE = "stages.training.attention"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)


class Twice(torch.nn.Module):
    def forward(self, x):
        return 2 * x


class Moody(torch.nn.Module):
    """Answers otherwise each time: no graph can agree with it."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x + self.calls


def exported(module):
    return lambda: Exported(CODE, lambda: module, [np.ones((2, 3), np.float32)])


def weights(tmp_path, content=b"weights"):
    file = tmp_path / "weights"
    file.write_bytes(content)
    return file


def test_a_graph_takes_any_number_of_rows_and_is_exported_once(tmp_path):
    run = open_graph(weights(tmp_path), exported(Twice()), CODE, "float32")
    assert run(np.full((5, 3), 1.5, np.float32))[0].tolist() == [[3.0] * 3] * 5

    def never():
        raise AssertionError("it is there")

    again = open_graph(weights(tmp_path), never, CODE, "float32")
    assert [part.shape for part in batched(again, 2, np.ones((5, 3), np.float32))] == [(5, 3)]
    with pytest.raises(AssertionError):
        open_graph(weights(tmp_path, b"others"), never, CODE, "float32")


@pytest.mark.parametrize(("module", "tolerance"), [(Moody(), 1e-3), (Twice(), -1.0)])
def test_a_graph_that_differs_from_its_module_is_refused_and_not_kept(
    tmp_path, monkeypatch, module, tolerance
):
    monkeypatch.setattr(graphs, "TOLERANCE", tolerance)
    with pytest.raises(GraphMismatch, match=r"can't be exported|off by 0, over -1"):
        open_graph(weights(tmp_path), exported(module), CODE, "float32")
    assert not list(graphs_folder().rglob("*.xml"))


def test_the_graphs_used_longest_ago_go_first(tmp_path, monkeypatch):
    monkeypatch.setattr(graphs, "MOST_GRAPHS", 2)
    for content in (b"1", b"2", b"3"):
        open_graph(weights(tmp_path, content), exported(Twice()), CODE, "float32")
    assert len(list(graphs_folder().iterdir())) == 2


def settings(engine="auto", precision="auto"):
    return ComputeParams(
        jobs=None, backend="local", address=None, unit_time_limit_s=None, engine=engine, precision=precision
    )


@pytest.mark.parametrize(
    ("device", "engine", "precision", "found"),
    [
        ("cpu", "auto", "auto", Engine("openvino", "bfloat16")),
        ("cpu", "auto", "float32", Engine("openvino", "float32")),
        ("cpu", "torch", "bfloat16", TORCH),
        ("cuda", "auto", "auto", TORCH),
    ],
)
def test_the_engine_follows_the_parameters_and_the_machine(monkeypatch, device, engine, precision, found):
    monkeypatch.setenv("VALARO_DEVICE", device)
    monkeypatch.setattr(engines, "has_bfloat16", lambda: True)
    assert engine_of(settings(engine, precision)) == found


def test_openvino_on_a_gpu_is_refused(monkeypatch):
    monkeypatch.setenv("VALARO_DEVICE", "cuda")
    with pytest.raises(ValaroError, match="VALARO_DEVICE=cpu"):
        engine_of(settings("openvino"))


@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_a_dynamic_model_hears_no_padding_as_a_graph_either(tmp_path, kind):
    from stages.temporal.dynamic import DynamicModel

    torch.manual_seed(0)
    config = {
        "window": 6,
        "model": {"kind": kind, "features": 8, "d_model": 16, "layers": 2, "heads": 2},
    }
    model = DynamicModel(**config["model"]).eval()
    file = tmp_path / "valence.safetensors"
    save_model(file, model, config)
    values = np.random.default_rng(1).standard_normal((3, 6, 8)).astype(np.float32)
    valid = np.ones((3, 6), bool)
    valid[0, :2] = valid[2, :4] = False
    said, _ = open_dynamic(file, config, "float32")(values, valid)
    with torch.no_grad():
        wanted = model(torch.from_numpy(values), torch.from_numpy(valid)).numpy()
    np.testing.assert_allclose(said[valid], wanted[valid], atol=1e-5)


def test_an_audio_model_is_deaf_to_padded_samples_as_a_graph_too(tmp_path):
    from stages.audio.backbone import build_backbone
    from stages.audio.model import AudioModel

    small = {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
        "conv_dim": [16, 16], "conv_kernel": [40, 5], "conv_stride": [16, 2], "conv_bias": True,
        "feat_extract_norm": "layer", "do_stable_layer_norm": True, "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4,
    }  # fmt: skip
    config = {
        "backbone": small,
        "head": {"version": "v3", "heads": [2, 2], "trainable_layers": 0, "steps": 5},
    }
    torch.manual_seed(0)
    model = AudioModel(build_backbone(small), **config["head"]).eval()
    file = tmp_path / "v3.safetensors"
    save_model(file, model, config)
    waveform = np.random.default_rng(1).standard_normal((3, 3200)).astype(np.float32)
    real = np.ones((3, 3200), bool)
    real[1, 2000:] = real[2, 100:] = False
    found = open_audio(file, 3200, "float32")(waveform * real, real)
    with torch.no_grad():
        wanted = model(torch.from_numpy(waveform * real), torch.from_numpy(real))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other.numpy(), atol=1e-5)
