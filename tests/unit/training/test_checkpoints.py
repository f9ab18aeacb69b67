"""Weights survive the disk; damaged and foreign files are named."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from stages.core.artefacts import read_config
from stages.core.errors import BadInput
from stages.training.checkpoints import load_model, save_model


def build(config):
    return nn.Linear(config["features"], 2)


def test_a_model_comes_back_whole_and_in_eval_mode(tmp_path):
    model, path = build({"features": 3}), tmp_path / "deep" / "m.safetensors"
    save_model(path, model, {"features": 3, "kind": "linear"})
    loaded = load_model(path, build)
    assert not loaded.training
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), loaded.state_dict().values(), strict=True)
    )
    assert read_config(path) == {"features": 3, "kind": "linear"}
    assert [p.name for p in path.parent.iterdir()] == ["m.safetensors"]


def test_the_same_model_gives_the_same_bytes(tmp_path):
    model = build({"features": 3})
    save_model(tmp_path / "a", model, {"x": 1, "y": [2, None]})
    save_model(tmp_path / "b", model, {"y": [2, None], "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "no such weights"),
        (b"", "not a readable safetensors file"),
        (b"x" * 100, "not a readable safetensors file"),
    ],
)
def test_what_is_no_checkpoint_is_named(tmp_path, content, problem):
    path = tmp_path / "m.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=problem):
        read_config(path)


def test_foreign_and_mismatched_weights_are_named(tmp_path):
    foreign, mismatched = tmp_path / "foreign.safetensors", tmp_path / "mismatched.safetensors"
    save_file({"x": torch.ones(1)}, foreign)
    with pytest.raises(BadInput, match="has no model configuration"):
        load_model(foreign, build)
    save_model(mismatched, nn.Linear(3, 2), {"features": 4})
    with pytest.raises(BadInput, match="weights don't fit the model"):
        load_model(mismatched, build)


def test_a_configuration_that_is_none_is_named(tmp_path):
    save_file({"w": torch.zeros(1)}, tmp_path / "m.safetensors", {"config": "[1]"})
    with pytest.raises(BadInput, match=r"m\.safetensors: its configuration is \[1\]"):
        read_config(tmp_path / "m.safetensors")
