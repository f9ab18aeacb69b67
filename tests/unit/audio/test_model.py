"""The audio models V1–V3: against the authors' outputs, and in how they treat padding and frozen layers."""

import json

import numpy as np
import pytest
import torch

from stages.audio.backbone import build_backbone
from stages.audio.model import AudioModel, from_authors

from .conftest import SMALL_WAV2VEC

VERSIONS = ("v1", "v2", "v3")
SMALL = SMALL_WAV2VEC | {"num_hidden_layers": 4, "hidden_dropout": 0.5}


def model_of(version: str = "v3", **options) -> AudioModel:
    torch.manual_seed(0)
    return AudioModel(build_backbone(SMALL), version, **{"heads": (4, 2)} | options)


def waves(count: int = 3, samples: int = 4000) -> torch.Tensor:
    return torch.randn(count, samples, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def authors(shared) -> dict:
    return json.loads((shared / "golden/audio_keys.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_the_authors_weights_give_the_authors_outputs(shared, authors, audio_checkpoint, version):
    golden = np.load(shared / "golden/audio_io.npz")
    model = AudioModel(build_backbone(authors["config"]), version).eval()
    model.load_state_dict(from_authors(audio_checkpoint(version)))
    waveform = torch.from_numpy(golden["waveform"].astype(np.float32))
    with torch.inference_mode():
        hidden = model.backbone(waveform).last_hidden_state[:, :4, :32]
        predicted, features = model(waveform, torch.ones_like(waveform, dtype=torch.bool))
    np.testing.assert_allclose(hidden, golden[f"{version}_backbone_head"], atol=1e-4)
    np.testing.assert_allclose(predicted, golden[f"{version}_valence_arousal"], atol=1e-4)
    assert features.shape == (2, 20, 256 if version == "v1" else 1024)


@pytest.mark.parametrize(
    ("version", "millions", "trained_millions"),
    [("v1", 165.99, 26.90), ("v2", 182.13, 43.04), ("v3", 182.13, 68.23)],
)
def test_parameters_number_and_are_named_as_the_authors(authors, version, millions, trained_millions):
    with torch.device("meta"):
        model = AudioModel(build_backbone(authors["config"]), version)
        theirs = {key: torch.empty(shape) for key, shape in authors["keys"][version].items()}
    ours = {key: value.shape for key, value in model.state_dict().items()}
    assert {key: value.shape for key, value in from_authors(theirs).items()} == ours
    parameters = list(model.parameters())
    assert sum(p.numel() for p in parameters) / 1e6 == pytest.approx(millions, abs=0.005)
    trained = sum(p.numel() for p in parameters if p.requires_grad) / 1e6
    assert trained == pytest.approx(trained_millions, abs=0.005)


def test_names_from_before_torch_2_are_understood_and_strangers_are_not():
    stem = "wav2vec2.encoder.pos_conv_embed.conv."
    renamed = from_authors({stem + "weight_g": torch.ones(1), stem + "weight_v": torch.ones(2)})
    ours = "backbone.encoder.pos_conv_embed.conv.parametrizations.weight."
    assert set(renamed) == {ours + "original0", ours + "original1"}
    with pytest.raises(ValueError, match=r"nobody\.weight"):
        from_authors({"nobody.weight": torch.ones(1)})
    with pytest.raises(KeyError, match="tl1"):
        from_authors({"tl1.self_attention.query_w.weight": torch.ones(1)})


@pytest.mark.parametrize(
    ("version", "options", "features"),
    [("v1", {}, 4), ("v1", {"gru_features": 6}, 6), ("v2", {}, 16), ("v3", {"steps": 10}, 16)],
)
def test_shapes_and_range(version, options, features):
    predicted, hidden = model_of(version, **options)(waves())
    steps = options.get("steps", 20)
    assert predicted.shape == (3, steps, 2)
    assert hidden.shape == (3, steps, features)
    assert predicted.abs().max() < 1
    assert hidden.min() >= 0  # after ReLU


def test_the_tail_by_hand():
    """Convolution (5, stride 3, dilation 2), batch norm, means over adaptive bins, ReLU, linear, Tanh."""
    model = model_of("v2").eval().double()
    conv, norm, linear = model.aggregate[0], model.aggregate[1], model.head[0]
    norm.running_mean.uniform_(-1, 1)
    norm.running_var.uniform_(0.5, 2)
    frames = torch.randn(1, 99, 16, dtype=torch.float64)
    places = np.arange(0, 99 - 8, 3)
    taps = torch.stack([frames[0, places + 2 * k] for k in range(5)], dim=-1)  # (31, 16, 5)
    mixed = torch.einsum("tik,oik->to", taps, conv.weight) + conv.bias
    mixed = (mixed - norm.running_mean) / (norm.running_var + 1e-5).sqrt() * norm.weight + norm.bias
    bins = [(31 * k // 20, -(-31 * (k + 1) // 20)) for k in range(20)]
    features = torch.stack([mixed[a:b].mean(0) for a, b in bins]).clamp(min=0)
    expected = torch.tanh(features @ linear.weight.T + linear.bias)
    model.temporal.forward = lambda x, valid: x
    model.backbone.forward = lambda x: type("Output", (), {"last_hidden_state": frames})
    predicted, hidden = model(waves(1).double())
    torch.testing.assert_close(hidden[0], features)
    torch.testing.assert_close(predicted[0], expected)


@pytest.mark.parametrize("version", VERSIONS)
def test_padding_cannot_be_heard(version):
    model, waveform = model_of(version).eval(), waves()
    mask = torch.arange(4000) < torch.tensor([[2400], [4000], [0]])
    with torch.inference_mode():
        once, _ = model(waveform, mask)
        again, _ = model(torch.where(mask, waveform, 1e6), mask)
        unmasked, _ = model(waveform)
    assert torch.equal(once, again)
    assert torch.isfinite(once).all()
    torch.testing.assert_close(once[1], unmasked[1], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(once[0], unmasked[0])


@pytest.mark.parametrize(
    ("version", "option", "opened"),
    [("v1", None, 2), ("v2", None, 2), ("v3", None, 4), ("v3", 1, 1), ("v3", 0, 0)],
)
def test_only_the_last_layers_train_and_the_rest_stands_still(version, option, opened):
    model = model_of(version, trainable_layers=option).train()
    layers = model.backbone.encoder.layers
    free = {name for name, p in model.backbone.named_parameters() if p.requires_grad}
    assert {name.split(".")[2] for name in free} == {str(4 - k) for k in range(1, opened + 1)}
    assert [layer.training for layer in layers] == [False] * (4 - opened) + [True] * opened
    assert not model.backbone.training
    assert not model.backbone.encoder.dropout.training
    before = {name: p.clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    model(waves())[0].square().sum().backward()
    optimizer.step()
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert {name.removeprefix("backbone.") for name in changed if name.startswith("backbone.")} <= free
    assert any(name.startswith("head.") for name in changed)


def test_frozen_layers_give_the_same_features_twice_in_training():
    model, waveform = model_of("v3", trainable_layers=0).train(), waves()
    frames = [model.backbone(waveform).last_hidden_state for _ in range(2)]
    assert torch.equal(*frames)
    assert not torch.equal(model(waveform)[0], model(waveform)[0])  # the head's own dropout is on


def test_all_trains_down_to_the_first_convolution():
    model = model_of("v3", trainable_layers="all").train()
    assert model.backbone.training
    model(waves(), torch.arange(4000) < torch.tensor([[2400], [4000], [3000]]))[0].sum().backward()
    assert model.backbone.feature_extractor.conv_layers[0].conv.weight.grad.abs().sum() > 0
    assert not model.eval().backbone.training


def test_further_linear_layers_are_a_parameter():
    model = model_of("v1", fc_features=(5,))
    assert [type(layer).__name__ for layer in model.head] == ["Linear", "ReLU", "Linear", "Tanh"]
    assert model.head[0].weight.shape == (5, 4)
    assert model(waves())[0].shape == (3, 20, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"version": "v4"}, "version is 'v4'"),
        ({"heads": (32, 16)}, "multiple of heads"),
        ({"trainable_layers": 5}, "trainable_layers is 5, must be 0–4"),
        ({"trainable_layers": -1}, "trainable_layers is -1"),
    ],
)
def test_misuse_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        model_of(**options)


@pytest.mark.parametrize("family", ["hubert", "wavlm"])
def test_heads_and_unfreezing_fit_wav2vec_s_siblings(family):
    """Their last layers train, the others stand still in eval mode."""
    model = AudioModel(
        build_backbone(SMALL | {"model_type": family}), "v3", heads=(4, 2), trainable_layers=1
    ).train()
    mask = torch.arange(4000) < torch.tensor([[2400], [4000], [3000]])
    model(waves(), mask)[0].square().sum().backward()
    moved = {name.split(".")[2] for name, p in model.backbone.named_parameters() if p.grad is not None}
    assert moved == {"3"}
    assert [layer.training for layer in model.backbone.encoder.layers] == [False, False, False, True]
