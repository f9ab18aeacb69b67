"""Weights on disk: one safetensors file per model, with its configuration; equal weights give equal bytes."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from stages.core.artefacts import read_config, whole
from stages.core.errors import BadInput
from stages.core.former_names import present_name

Model = TypeVar("Model", bound=nn.Module)


def save_model(path: Path, model: nn.Module, config: Mapping[str, Any]) -> None:
    """Write the weights and the arguments that build the model; the file appears only when complete.

    Args:
        path: the file, ending in .safetensors; missing folders are created.
        model: its state dict is written, from any device.
        config: keyword arguments for the model's constructor, of JSON types.
    """
    save_state(path, model.state_dict(), config)


def save_state(path: Path, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """`save_model` for a bare state dict, such as one kept by the training loop."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    metadata = {"config": json.dumps(dict(config), sort_keys=True)}
    with whole(path) as partial:
        save_file(tensors, partial, metadata)


def load_model(path: Path, build: Callable[[dict[str, Any]], Model]) -> Model:
    """Load a model saved by `save_model`, in eval mode on the CPU.

    Args:
        path: the safetensors file.
        build: makes the model from the saved configuration, e.g. `lambda c: DynamicModel(**c)`.

    Raises:
        BadInput: the file is missing, wasn't written by `save_model`, or doesn't fit the model it describes.
    """
    model = build(read_config(path))
    try:
        model.load_state_dict({present_name(name): tensor for name, tensor in load_file(path).items()})
    except RuntimeError as mismatch:
        raise BadInput(path, f"weights don't fit the model: {mismatch}", "Train this model again") from None
    return model.eval()
