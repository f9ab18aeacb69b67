"""The static models of table 3 through one interface, and the descriptions that lead to them."""

from typing import Any

import pytest
import torch

from stages.core.errors import ValaroError
from stages.core.params import BackboneParams, load_params
from stages.training.checkpoints import load_model, save_model
from stages.training.freezing import check_groups
from stages.vision.architectures import build_static, new_static
from stages.vision.augmentation import PAPER
from stages.vision.backbones import describe, header_of, input_of, require_same, static_config
from stages.vision.pose_model import PoseModel

TABLE_3: dict[str, tuple[int, str, int, float]] = {
    "efficientnet_b1": (240, "face", 10, 7.8e6 - 1.28e6),
    "efficientnet_b4": (380, "face", 10, 19.3e6 - 1.79e6),
    "vit_base_patch16_224": (224, "face", 15, 86.6e6 - 0.77e6),
    "pose_hrnet": (256, "frame", 1, 28.5e6),
}
"""Image size, what is shown, layer groups, published weights without the 1000 classes; by backbone."""


@pytest.fixture(scope="module")
def paper(repository: Any) -> Any:
    return load_params(repository / "profiles" / "affwild2.yaml").finetune


@pytest.mark.parametrize("backbone", TABLE_3)
def test_the_papers_four_at_their_full_size(paper: Any, backbone: str) -> None:
    size, shown, groups, published = TABLE_3[backbone]
    description = describe(paper, backbone)
    assert (description.image_size, description.input) == (size, shown)
    assert str(description.weights).startswith(("hub:", "models/pretrained/"))
    model = build_static(static_config(description, paper.dropout, paper.tanh_output)).eval()
    trunk = model.trunk if isinstance(model, PoseModel) else model.backbone
    parameters = sum(parameter.numel() for parameter in trunk.parameters())
    assert parameters == pytest.approx(published, rel=0.01)
    assert model.image_size == size
    found = model.layer_groups()
    assert len(found) == groups
    check_groups(model, found)
    with torch.no_grad():
        output = model(torch.randint(256, (1, 3, size, size), dtype=torch.uint8))
    assert [tuple(part.shape) for part in output] == [(1, 256), (1, 2), (1, 8)]
    assert output.embedding.abs().max() <= 1
    assert output.valence_arousal.abs().max() <= 1


def test_the_papers_profile_is_table_3_with_the_papers_constants(paper: Any, repository: Any) -> None:
    assert list(paper.backbones) == list(TABLE_3)
    assert paper.compare == ["efficientnet_b1"], (
        "a plain run makes what is submitted; other rows are commands"
    )
    for section in (paper, load_params(repository / "profiles" / "affwild2.yaml").pretrain):
        assert section.augmentation.probability == 0.05
        assert sorted(section.augmentation.names) == sorted(PAPER)
        settings = section.optimisation
        assert (settings.optimizer, settings.schedule) == ("adamw", "cyclic")
        assert (settings.learning_rate, settings.weight_decay) == (0.005, 1e-4)
        assert (settings.warmup_steps, settings.warmup_learning_rate) == (100, 5e-5)
        assert (settings.cycle_epochs, settings.min_learning_rate, settings.patience) == (5, 1e-4, 10)
        assert (settings.layer_decay, settings.layer_floor, settings.unfrozen_groups) == (0.9, 5e-5, 7)


SMALL = BackboneParams(
    architecture="test_resnet", input="face", image_size=32, weights=None, options={"channels": [8] * 4}
)
POSE = BackboneParams(
    architecture="pose_hrnet",
    input="person",
    image_size=32,
    weights=None,
    options={"width": 4, "modules": [1, 1, 1], "blocks": 1},
)


@pytest.mark.parametrize("description", [SMALL, POSE], ids=["timm", "pose"])
def test_a_file_alone_gives_the_model_back(tmp_path: Any, description: BackboneParams) -> None:
    config = static_config(description, 0.2, False)
    torch.manual_seed(0)
    model = new_static(config, None).eval()
    save_model(tmp_path / "m.safetensors", model, config)
    again = load_model(tmp_path / "m.safetensors", build_static)
    image = torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(model(image), again(image), strict=True))
    assert again.head.dropout.p == 0.2
    assert not again.head.tanh_output
    assert input_of(tmp_path / "m.safetensors") == description.input
    assert header_of(tmp_path / "m.safetensors") == config


def test_a_seed_is_a_model() -> None:
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(new_static(static_config(SMALL, 0.1, True), None).head.embed.weight)
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "resnet_of_tomorrow"}, "no backbone 'resnet_of_tomorrow'"),
        ({"options": {"depth_of_thought": 3}}, "test_resnet.*depth_of_thought"),
        ({"architecture": "pose_hrnet", "options": {"joints": 3}}, "pose_hrnet.*joints"),
        ({"architecture": "pose_hrnet", "image_size": 100, "options": {}}, "pose_hrnet.*100"),
    ],
)
def test_descriptions_that_describe_nothing(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValaroError, match=rf"finetune\.backbones: .*{message}"):
        build_static(static_config(SMALL.model_copy(update=changes), 0.1, True))


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x08" + 7 * b"\0" + b'{"a":{}}'])
def test_files_that_are_no_static_model(tmp_path: Any, content: bytes) -> None:
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(ValaroError, match=r"m\.safetensors: not a readable safetensors file"):
        header_of(tmp_path / "m.safetensors")
    with pytest.raises(ValaroError, match=r"gone\.safetensors: no such weights"):
        header_of(tmp_path / "gone.safetensors")


@pytest.mark.parametrize("weights", ["garbage", "another network's"])
def test_weights_that_are_not_the_architectures(tmp_path: Any, weights: str) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"garbage")
    if weights != "garbage":
        save_model(path, torch.nn.Linear(2, 2), {})
    with pytest.raises(ValaroError, match=r"w\.safetensors"):
        new_static(static_config(SMALL, 0.1, True), path)


def test_what_may_differ_between_a_start_and_its_end(tmp_path: Any) -> None:
    config = static_config(SMALL, 0.1, True)
    save_model(tmp_path / "m.safetensors", new_static(config, None), config)
    require_same(tmp_path / "m.safetensors", static_config(SMALL, 0.9, False))
    for key, value in (("architecture", "vit"), ("image_size", 64), ("options", {}), ("input", "frame")):
        with pytest.raises(ValaroError, match=f"{key} is .* wanted .*dvc repro pretrain"):
            require_same(tmp_path / "m.safetensors", config | {key: value})


def test_an_unknown_name_is_refused_with_those_known(paper: Any) -> None:
    with pytest.raises(ValaroError, match=r"'efficientnet_b2' is none of .*efficientnet_b1, efficientnet_b4"):
        describe(paper, "efficientnet_b2")
