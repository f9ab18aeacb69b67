"""Every picture of a track is embedded once, and stands at every step that shows it; graphs agree with PyTorch."""

import numpy as np
import pytest
import torch

from stages.inference.engines import Engine
from stages.media.jpeg import pack_jpegs
from stages.media.pictures import KeptPictures
from stages.training.checkpoints import save_model
from stages.vision import embedding, static_graph
from stages.vision.architectures import new_static
from stages.vision.embedding import GraphNetwork, TorchNetwork, WithMirror, embed_track
from stages.vision.static_model import StaticModel, StaticOutput
from stages.vision.views import View

LEFT, RIGHT = [0, 0, 20, 20], [24, 2, 36, 14]


def crops_of(levels):
    return pack_jpegs(np.full((20, 30, 3), level, np.uint8) for level in levels)


def halves():
    """A picture whose left half is dark and whose right half is light."""
    picture = np.full((20, 40, 3), 30, np.uint8)
    picture[:, 20:] = 220
    return picture


class MeanLevel(torch.nn.Module):
    """Stands for a static model: says the mean grey level; counts the images it saw."""

    def __init__(self):
        super().__init__()
        self.image_size = 30
        self.parameter, self.seen = torch.nn.Parameter(torch.zeros(1)), 0

    def forward(self, image):
        self.seen += len(image)
        mean = image.float().mean((1, 2, 3))[:, None]
        return StaticOutput(mean.expand(-1, 256), mean.expand(-1, 2), mean)


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_a_track_is_embedded_step_by_step_and_each_crop_once(batch_size):
    crop_index = np.array([-1, -1, 0, 1, 1, 1, 2, 0])
    model = MeanLevel()
    pictures, view = crops_of([30, 120, 210]), View(crop_index, None)
    embedding, estimate = embed_track(TorchNetwork(model), KeptPictures(*pictures), view, batch_size)
    expected = np.array([0, 0, 30, 120, 120, 120, 210, 30]) * 20 / 30  # a third of the square is black
    assert embedding.shape == (8, 256)
    assert embedding[:, 7] == pytest.approx(expected, abs=1.5)
    assert estimate[:, 1] == pytest.approx(expected, abs=1.5)
    assert model.seen == 4


class LeftLevel(MeanLevel):
    """Says the grey level of the left third."""

    def forward(self, image):
        return super().forward(image[:, :, :, : image.shape[3] // 3])


def test_a_mirrored_network_sees_the_right_where_the_other_sees_the_left():
    network, view = TorchNetwork(LeftLevel()), View(np.array([0, 0]), None)
    pictures = KeptPictures(*pack_jpegs([halves()[:, 10:30]]))  # a square, dark at the left
    embedding, left, right = (part[0, 0] for part in embed_track(WithMirror(network), pictures, view, 2))
    alone = embed_track(network, pictures, view, 2)
    assert (embedding, left) == tuple(part[0, 0] for part in alone)
    assert left == pytest.approx(30, abs=5)
    assert right == pytest.approx(220, abs=5)


@pytest.mark.gpu
@pytest.mark.parametrize("compiled", [False, True])
def test_half_precision_on_a_gpu_gives_nearly_the_same_embeddings(cuda, compiled):
    torch.manual_seed(0)
    model = StaticModel("resnet10t", image_size=64).eval()
    pictures, view = crops_of(range(0, 250, 25)), View(np.arange(10), None)
    exact = embed_track(TorchNetwork(model), KeptPictures(*pictures), view, 4)
    model.to(cuda)
    if compiled:
        model.compile()
    for one, other in zip(
        exact, embed_track(TorchNetwork(model, "fp16"), KeptPictures(*pictures), view, 4), strict=True
    ):
        assert one.shape == other.shape  # the last batch was filled up, and cut again
        assert other == pytest.approx(one, abs=5e-3)


def test_parts_of_a_track_are_embedded_by_their_boxes():
    view = View(np.array([-1, 0, 1, 1]), np.array([LEFT, LEFT, RIGHT, RIGHT], float))
    model = MeanLevel()
    _, estimate = embed_track(TorchNetwork(model), KeptPictures(*pack_jpegs([halves(), halves()])), view, 2)
    assert estimate[:, 0] == pytest.approx([0, 30, 220, 220], abs=3)
    assert model.seen == 3


def test_a_graph_meets_few_sizes_of_batch(tmp_path, monkeypatch):
    asked = []

    def run(images):
        asked.append(len(images))
        mean = images.mean((1, 2, 3), dtype=np.float32)[:, None]
        return [np.repeat(mean, 256, axis=1), np.repeat(mean, 2, axis=1)]

    monkeypatch.setattr(static_graph, "open_static", lambda *_: run)
    monkeypatch.setattr(embedding, "header_of", lambda _: {"image_size": 16})
    network = GraphNetwork(tmp_path, Engine("openvino", "float32"))
    pictures = KeptPictures(*crops_of(range(0, 200, 5)))
    for length in range(1, 41):
        track, _ = embed_track(network, pictures, View(np.arange(length), None), 64)
        assert len(track) == length
    assert max(asked) <= 8


CONFIG = {"architecture": "resnet10t", "image_size": 64, "dropout": 0.1, "tanh_output": True, "options": {}}


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.05)])
def test_a_graph_says_what_pytorch_says(tmp_path, monkeypatch, precision, tolerance):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model = new_static(CONFIG, None).eval()
    save_model(tmp_path / "model.safetensors", model, CONFIG)
    pictures, view = crops_of(range(0, 250, 25)), View(np.arange(10), None)
    exact = embed_track(TorchNetwork(model), KeptPictures(*pictures), view, 4)
    for _ in range(2):  # exported, then found again
        graph = GraphNetwork(tmp_path / "model.safetensors", Engine("openvino", precision))
        for one, other in zip(exact, embed_track(graph, KeptPictures(*pictures), view, 4), strict=True):
            np.testing.assert_allclose(one, other, atol=tolerance)
    assert len(list((tmp_path / "valaro/graphs").iterdir())) == 1
