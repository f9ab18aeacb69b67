"""Graphs answer as their modules do, are found again by what decides them, and never lie."""

import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from joblib.externals.loky.backend.reduction import dumps

from stages.audio import audio_graph
from stages.audio.audio_graph import open_audio
from stages.audio.networks import GraphAudio, TorchAudio
from stages.audio.recording import predict_recording
from stages.core.errors import ValaroError
from stages.core.params import ComputeParams
from stages.fusion import cross_attention_graph
from stages.fusion.cross_attention_graph import open_cross_attention
from stages.inference import engines, graphs
from stages.inference.engines import TORCH, Engine, engine_of, graphs_folder
from stages.inference.graphs import Exported, GraphMismatch, graph_file, open_graph
from stages.inference.modules import joined_outputs
from stages.separation import spleeter_graph
from stages.separation.spleeter_graph import open_spleeter
from stages.temporal import dynamic_graph
from stages.temporal.dynamic import saying
from stages.temporal.dynamic_graph import open_dynamic
from stages.training.checkpoints import save_model
from stages.vision import retinaface_graph, static_graph
from stages.vision.retinaface_graph import open_retinaface
from stages.vision.static_graph import open_static

pytestmark = pytest.mark.long

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
    run = open_graph(graph_file(weights(tmp_path), exported(Twice()), CODE), "float32")
    assert run(np.full((5, 3), 1.5, np.float32))[0].tolist() == [[3.0] * 3] * 5

    def never():
        raise AssertionError("it is there")

    again = open_graph(graph_file(weights(tmp_path), never, CODE), "float32")
    assert again(np.ones((5, 3), np.float32))[0].shape == (5, 3)
    with pytest.raises(AssertionError):
        graph_file(weights(tmp_path, b"others"), never, CODE)


@pytest.mark.parametrize(("module", "tolerance"), [(Moody(), 1e-3), (Twice(), -1.0)])
def test_a_graph_that_differs_from_its_module_is_refused_and_not_kept(
    tmp_path, monkeypatch, module, tolerance
):
    monkeypatch.setattr(graphs, "TOLERANCE", tolerance)
    with pytest.raises(GraphMismatch, match=r"differs by (0.5, over 0.001|0, over -1)"):
        graph_file(weights(tmp_path), exported(module), CODE)
    assert not list(graphs_folder().rglob("*.xml"))


def test_who_needs_a_graph_at_the_same_time_waits_for_it(tmp_path):
    built = []
    file = weights(tmp_path)

    def build():
        built.append(time.sleep(0.3))
        return Twice()

    def open_it(_):
        example = [np.ones((2, 3), np.float32)]
        return graph_file(file, lambda: Exported(CODE, build, example), CODE)

    with ThreadPoolExecutor(3) as threads:
        files = set(threads.map(open_it, range(3)))
    assert len(files) == len(built) == 1
    assert next(iter(files)).is_file()


def test_the_graphs_used_longest_ago_go_first(tmp_path, monkeypatch):
    monkeypatch.setattr(graphs, "MOST_GRAPHS", 2)
    for content in (b"1", b"2", b"3"):
        graph_file(weights(tmp_path, content), exported(Twice()), CODE)
    assert len(list(graphs_folder().iterdir())) == 2


@pytest.mark.parametrize("without", ["a home", "a cache that can be written"])
def test_where_nothing_can_be_written_graphs_lie_in_a_temporary_folder(tmp_path, monkeypatch, without):
    """In a container, say: predictions go on."""

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", "" if without == "a home" else str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = graphs_folder()
    assert folder.is_relative_to(tmp_path)
    assert graphs_folder() == folder, "workers find the same"
    graph_file(weights(tmp_path), exported(Twice()), CODE)
    assert len(list(folder.iterdir())) == 1


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


@pytest.fixture
def audio(tmp_path):
    """An audio model of a few neurons in PyTorch, and the file that it was saved in."""
    from stages.audio.backbone import build_backbone
    from stages.audio.model import AudioModel

    small = {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
        "conv_dim": [16, 16], "conv_kernel": [40, 5], "conv_stride": [16, 2], "conv_bias": True,
        "feat_extract_norm": "layer", "do_stable_layer_norm": True, "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4,
    }  # fmt: skip
    head = {"version": "v3", "heads": [2, 2], "trainable_layers": 0, "steps": 5}
    config = {"backbone": small, "head": head, "window_s": 0.2}
    torch.manual_seed(0)
    model = AudioModel(build_backbone(small), **head).eval()
    save_model(tmp_path / "v3.safetensors", model, config)
    return TorchAudio(model), GraphAudio(tmp_path / "v3.safetensors", config, Engine("openvino", "float32"))


def test_an_audio_model_is_deaf_to_padded_samples_as_a_graph_too(audio):
    waveform = np.random.default_rng(1).standard_normal((3, 3200)).astype(np.float32)
    real = np.ones((3, 3200), bool)
    real[1, 2000:] = real[2, 100:] = False
    wanted, found = (network.windows(waveform, real) for network in audio)
    assert found.shape == (3, 5, 2 + 16)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    np.testing.assert_array_equal(audio[1].windows(np.where(real, waveform, 9e9), real), found)


@pytest.mark.parametrize("normalisation", ["window", "recording"])
def test_a_recording_sounds_alike_to_both(audio, normalisation):
    waveform = np.random.default_rng(2).standard_normal(10_000).astype(np.float32)
    windows_s = np.array([[start, min(start + 0.2, 0.625)] for start in (0, 0.1, 0.2, 0.3, 0.4, 0.5)])
    wanted, found = (
        predict_recording(
            network, waveform, windows_s, steps=16, window_s=0.2, step_s=0.04, normalisation=normalisation
        )
        for network in audio
    )
    np.testing.assert_allclose(found.valence_arousal, wanted.valence_arousal, atol=1e-5)
    np.testing.assert_allclose(found.features, wanted.features, atol=1e-5)


@pytest.mark.parametrize("silence", ["speaking_mean", "as_heard"])
def test_a_cross_attention_heeds_speech_and_padding_as_a_graph_too(tmp_path, silence):
    from stages.fusion.cross_attention import CrossAttentionModel

    torch.manual_seed(0)
    sizes = {"video_features": 4, "audio_features": 3, "d_model": 8, "heads": 2, "silence": silence}
    config = {"window": 6, "model": sizes}
    model = CrossAttentionModel(**sizes).eval()
    model.speaking_mean += 1.0
    file = tmp_path / "valence.safetensors"
    save_model(file, model, config)
    random = np.random.default_rng(1)
    values = random.standard_normal((4, 6, 12)).astype(np.float32)
    values[..., -1] = random.random((4, 6)) > 0.5
    values[3, :, -1] = 0  # nobody speaks: what training heard stands in
    valid = np.ones((4, 6), bool)
    valid[0, :2] = valid[2, :4] = False
    found = joined_outputs(open_cross_attention(file, config, "float32"))(values, valid)
    np.testing.assert_allclose(found[valid], saying(model)(values, valid)[valid], atol=1e-5)


OPENED = {
    "static": lambda file: open_static(file, {"image_size": 32}, "float32"),
    "audio": lambda file: open_audio(file, {"window_s": 0.025}, "float32"),
    "dynamic": lambda file: open_dynamic(file, {"window": 6, "model": {}}, "float32"),
    "cross_attention": lambda file: open_cross_attention(file, {"window": 6, "model": {}}, "float32"),
    "spleeter": lambda file: open_spleeter(file, "float32", 64),
    "retinaface": lambda file: open_retinaface(file, 1),
}


@pytest.mark.parametrize("network", OPENED)
def test_every_network_can_be_exported_elsewhere(tmp_path, monkeypatch, network):
    sent = []

    def send(exported, folder):
        sent.append(bytes(dumps(exported)))
        folder.mkdir(parents=True)

    monkeypatch.setattr(graphs, "_export_apart", send)
    for module in (audio_graph, cross_attention_graph, dynamic_graph, spleeter_graph, static_graph):
        monkeypatch.setattr(module, "open_graph", lambda *_: None)
    monkeypatch.setattr(retinaface_graph, "compile_retinaface", lambda *_: None)
    OPENED[network](weights(tmp_path))
    assert len(sent) == (2 if network == "audio" else 1)


GRU = {"window": 6, "model": {"kind": "gru", "features": 8, "d_model": 16, "layers": 1, "heads": 2}}
APART = f"""
import os, sys
from pathlib import Path

import numpy as np

from stages.core.errors import ValaroError
from stages.inference.graphs import GraphMismatch, graph_file
from stages.temporal.dynamic_graph import open_dynamic

def dies():
    os._exit(3)

def refuses():
    raise GraphMismatch("no such layer")

file = Path("valence.safetensors")
for exported in (refuses, dies):
    try:
        graph_file(file, exported, "stages.temporal.dynamic_graph")
    except ValaroError as error:
        print(type(error).__name__, error)
said, _ = open_dynamic(file, {GRU}, "float32")(np.ones((1, 6, 8), np.float32), np.ones((1, 6), bool))
np.save("said.npy", said)
print("torch" in sys.modules)
"""


@pytest.mark.long
def test_a_process_without_pytorch_stays_so_when_it_exports(tmp_path):
    from stages.temporal.dynamic import DynamicModel

    torch.manual_seed(0)
    model = DynamicModel(**GRU["model"]).eval()
    save_model(tmp_path / "valence.safetensors", model, GRU)
    done = subprocess.run((sys.executable, "-c", APART), capture_output=True, text=True, check=True)
    refused, died, imported = done.stdout.splitlines()
    assert refused == "GraphMismatch no such layer", "then PyTorch takes over"
    assert died.startswith("ValaroError")
    assert "compute.engine: torch" in died
    assert imported == "False"
    with torch.no_grad():
        wanted = model(torch.ones(1, 6, 8), torch.ones(1, 6, dtype=torch.bool)).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "said.npy"), wanted, atol=1e-5)
