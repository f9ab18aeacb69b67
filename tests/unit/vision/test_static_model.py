"""The static model: the authors' outputs, layer groups by hand, both kinds of input."""

from pathlib import Path

import numpy as np
import pytest
import torch

from stages.core.errors import ValaroError
from stages.training.checkpoints import load_model, save_model, save_state
from stages.training.freezing import check_groups
from stages.vision.static_model import CLASSES, MEAN, STD, StaticModel, static_from_authors, statistics_of
from valaro.recordings.state_dicts import state_dict_of


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return StaticModel("test_resnet", image_size=48).eval()


def test_the_authors_weights_give_the_authors_estimates(shared):
    golden = np.load(shared / "golden" / "static_efficientnet_b1_io.npz")
    model = static_from_authors(state_dict_of(shared / "golden" / "static_efficientnet_b1.safetensors"))
    with torch.no_grad():
        output = model(torch.from_numpy(golden["image"]).float())
    assert np.abs(output.embedding.numpy() - golden["embedding"]).max() < 1e-4
    assert np.abs(output.valence_arousal.numpy() - golden["regression"]).max() < 1e-4
    assert golden["embedding"].std() > 0.1


def test_a_foreign_parameter_is_named(shared):
    state = state_dict_of(shared / "golden" / "static_efficientnet_b1.safetensors")
    with pytest.raises(ValueError, match="cubist_layer"):
        static_from_authors(state | {"cubist_layer.weight": torch.ones(1)})


def test_shapes_and_ranges(small):
    output = small(torch.randint(256, (5, 3, 48, 48), dtype=torch.uint8))
    assert [tuple(part.shape) for part in output] == [(5, 256), (5, 2), (5, len(CLASSES))]
    assert output.embedding.abs().max() <= 1
    assert output.valence_arousal.abs().max() <= 1


def test_pixels_are_normalised_as_the_float_input_must_be(small):
    pixels = torch.randint(256, (2, 3, 48, 48), dtype=torch.uint8)
    normalised = torch.stack([(pixels[:, c] / 255 - MEAN[c]) / STD[c] for c in range(3)], dim=1)
    assert torch.allclose(small(pixels).embedding, small(normalised).embedding, atol=1e-5)


GREY = {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16], "stem_width": 8}


@pytest.fixture(scope="module")
def grey():
    torch.manual_seed(0)
    return StaticModel("resnet18", 48, pixels="grey", options={**GREY, "stem_pool": False}).eval()


def test_a_grey_model_knows_neither_colour_nor_exposure(grey):
    """Luma by ITU-R BT.601; brighter or of more contrast is the same picture."""
    colour = torch.randint(60, 120, (2, 3, 48, 48), dtype=torch.uint8)
    luma = (colour * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)
    expected = grey(luma / 255).embedding
    assert torch.allclose(grey(colour).embedding, expected, atol=1e-4)
    assert torch.allclose(grey((luma + 70) / 255).embedding, expected, atol=1e-4)
    assert (grey(luma / 255 * 1.8).embedding - expected).abs().max() < 0.2, (
        "but for the floor of the deviation"
    )
    assert torch.isfinite(grey(torch.full((1, 3, 48, 48), 9, dtype=torch.uint8)).embedding).all()


def test_half_precision_on_disk_is_enough(grey, tmp_path):
    halved = {name: tensor.half() if tensor.is_floating_point() else tensor
              for name, tensor in grey.state_dict().items()}  # fmt: skip
    save_state(tmp_path / "m.safetensors", halved, {})
    options = {**GREY, "stem_pool": False}
    loaded = load_model(
        tmp_path / "m.safetensors", lambda _: StaticModel("resnet18", 48, pixels="grey", options=options)
    )
    picture = torch.randint(256, (4, 3, 48, 48), dtype=torch.uint8)
    assert torch.allclose(loaded(picture).valence_arousal, grey(picture).valence_arousal, atol=0.01)


def test_only_a_stem_with_pooling_can_do_without(grey):
    assert isinstance(grey.backbone.maxpool, torch.nn.Identity)
    with pytest.raises(ValueError, match="no pooling after its stem"):
        StaticModel("efficientnet_b0", 48, options={"stem_pool": False})


@pytest.mark.parametrize(
    ("architecture", "file", "mean"),
    [
        ("efficientnet_b1", "efficientnet_b1.ft_in1k", MEAN),
        ("efficientnet_b1", "efficientnet_b1.ra4_e3600_r240_in1k", (0.5,) * 3),
        ("vit_base_patch16_224", "vit_base_patch16_224.augreg2_in21k_ft_in1k", (0.5,) * 3),
        ("test_resnet", "any name: it has one tag", (0.5,) * 3),
    ],
)
def test_pixel_statistics_are_those_of_the_weights(architecture, file, mean):
    pixels = statistics_of(architecture, Path(f"{file}.safetensors"))
    assert tuple(pixels["mean"]) == pytest.approx(mean)


def test_a_name_that_could_mean_either_statistics_is_refused():
    with pytest.raises(ValaroError, match="Name the file as timm does"):
        statistics_of("efficientnet_b1", Path("efficientnet_b1.safetensors"))


def test_the_models_own_pixel_statistics_count():
    pixels = torch.randint(256, (2, 3, 48, 48), dtype=torch.uint8)
    torch.manual_seed(0)
    half = StaticModel(
        "test_resnet", image_size=48, statistics={"mean": (0.5,) * 3, "std": (0.5,) * 3}
    ).eval()
    assert torch.allclose(half(pixels).embedding, half(pixels / 127.5 - 1).embedding, atol=1e-5)


@pytest.mark.parametrize("architecture", ["mobilenetv3_small_050", "test_efficientnet"])
def test_the_width_is_what_the_backbone_gives(architecture):
    """MobileNetV3 widens its features behind `num_features`."""
    output = StaticModel(architecture, image_size=32).eval()(torch.zeros(1, 3, 32, 32))
    assert output.embedding.shape == (1, 256)


def test_without_the_tanh_estimates_are_linear_in_the_embedding():
    model = StaticModel("test_resnet", image_size=48, tanh_output=False).eval()
    output = model(torch.randint(256, (2, 3, 48, 48), dtype=torch.uint8))
    expected = output.embedding @ model.head.regression.weight.T + model.head.regression.bias
    assert torch.allclose(output.valence_arousal, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("backbone", "names"),
    [
        ("efficientnet_b1", ["conv_stem", *(f"blocks.{i}.0" for i in range(7)), "conv_head"]),
        ("vit_tiny_patch16_224", ["cls_token", *(f"blocks.{i}.norm1" for i in range(12)), "norm"]),
        ("test_resnet", ["conv1.0", *(f"layer{i}.0.conv1" for i in (1, 2, 3, 4))]),
    ],
)
def test_layer_groups_go_from_the_stem_to_the_added_layers(backbone, names):
    model = StaticModel(backbone, image_size=64)
    groups = model.layer_groups()
    check_groups(model, groups)
    name_of = {id(parameter): name for name, parameter in model.backbone.named_parameters()}
    firsts = [name_of[id(group[0])] for group in groups[:-1]]
    assert len(firsts) == len(names)
    assert all(first.startswith(name) for first, name in zip(firsts, names, strict=True)), firsts
    assert {id(p) for p in groups[-1]} == {id(p) for p in model.head.parameters()}


def test_options_reach_the_backbone():
    """Half the width: about a quarter of the weights."""
    halved = {"channels": [32, 64, 128, 256], "stem_width": 16}
    whole, half = (StaticModel("resnet10t", image_size=48, options=options) for options in (None, halved))
    count = [sum(p.numel() for p in model.backbone.parameters()) for model in (whole, half)]
    assert count[1] == pytest.approx(count[0] / 4, rel=0.05)
    assert half.head.embed.in_features == 256
    check_groups(half, half.layer_groups())


def test_it_starts_from_given_weights_and_comes_back_from_disk(small, tmp_path):
    save_model(tmp_path / "timm.safetensors", small.backbone, {})
    model = StaticModel("test_resnet", image_size=48, weights=tmp_path / "timm.safetensors").eval()
    image = torch.randint(256, (2, 3, 48, 48), dtype=torch.uint8)
    assert torch.equal(model.backbone(image.float()), small.backbone(image.float()))
    save_model(tmp_path / "m.safetensors", model, {"architecture": "test_resnet", "image_size": 48})
    loaded = load_model(tmp_path / "m.safetensors", lambda config: StaticModel(**config))
    assert torch.equal(loaded(image).embedding, model(image).embedding)


def test_an_unknown_backbone_is_refused():
    with pytest.raises(ValueError, match="no backbone 'efficientnet_z9'"):
        StaticModel("efficientnet_z9", image_size=48)
