"""Spleeter's published checkpoints, turned from TensorFlow's form into safetensors and into networks.

What must hold before a number is used: the checkpoint's own checksums, and exactly the variables of the
network, in their shapes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from stages.core.artefacts import whole
from stages.core.errors import BadInput
from stages.separation.spleeter_converted import AGAIN, digest, read_converted
from stages.separation.spleeter_net import LEVELS, MODELS, SpleeterNet, sub_pixel_kernel
from stages.separation.tensorbundle import read_bundle

NORM_THEIRS = ("gamma", "beta", "moving_mean", "moving_variance")
NORM_OURS = ("weight", "bias", "running_mean", "running_var")

Variables = Mapping[str, NDArray[Any]]


def convert(prefix: Path, name: str, path: Path, source_sha256: str) -> None:
    """Turn a checkpoint into safetensors; the same checkpoint and source give the same bytes.

    Raises:
        BadInput: damaged, or not a checkpoint of this model.
    """
    variables = read_bundle(prefix)
    try:
        state = state_of(variables, len(MODELS[name].instruments))
        filters = filters_of(variables)
        SpleeterNet(filters, MODELS[name]).load_state_dict(state)
    except (KeyError, RuntimeError, ValueError) as error:
        raise BadInput(prefix, f"not a checkpoint of Spleeter's {name}: {error}", AGAIN) from error
    hashes = {
        "source_sha256": source_sha256,
        "tensors_sha256": digest({name: tensor.numpy() for name, tensor in state.items()}),
    }
    facts = {"filters": filters, "model": name, **hashes}
    with whole(path) as partial:
        save_file(state, partial, {"spleeter": json.dumps(facts, sort_keys=True)})


def load_net(path: Path) -> SpleeterNet:
    """The networks of converted weights, in eval mode on the CPU.

    Raises:
        BadInput: not a file of `convert`, or a damaged one.
    """
    facts, arrays = read_converted(path)
    with torch.device("meta"):  # without random numbers, which would be replaced
        net = SpleeterNet(facts["filters"], MODELS[facts["model"]])
    net.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()}, assign=True)
    return net.eval()


def filters_of(variables: Variables) -> list[int]:
    """Channels after each convolution on the way down, as the checkpoint has them."""
    return [int(variables[_numbered("conv2d", level) + "/kernel"].shape[-1]) for level in range(LEVELS)]


def state_of(variables: Variables, instruments: int) -> dict[str, Tensor]:
    """The state dict of `SpleeterNet` from TensorFlow's variables.

    Layers are numbered through all U-Nets: 7 convolutions, 6 transposed ones and 12 normalisations each,
    of which the sixth is in no path. Kernels are (height, width, in, out), transposed ones
    (height, width, out, in).

    Raises:
        KeyError: a variable is missing.
        ValueError: there are more than the networks have.
    """
    state: dict[str, Tensor] = {}
    used: set[str] = {"global_step"}

    def take(layer: str, number: int, kind: str) -> Tensor:
        key = f"{_numbered(layer, number)}/{kind}"
        used.add(key)
        return torch.from_numpy(np.array(variables[key], dtype=np.float32))

    def take_norm(number: int, target: str) -> None:
        for theirs, ours in zip(NORM_THEIRS, NORM_OURS, strict=True):
            value = take("batch_normalization", number, theirs)
            if not target.endswith(f"down_norm.{LEVELS - 1}"):
                state[f"{target}.{ours}"] = value

    for unet in range(instruments):
        for level in range(LEVELS + 1):
            target = f"unets.{unet}." + (f"down.{level}" if level < LEVELS else "last")
            number = (LEVELS + 1) * unet + level
            state[f"{target}.weight"] = take("conv2d", number, "kernel").permute(3, 2, 0, 1).contiguous()
            state[f"{target}.bias"] = take("conv2d", number, "bias")
        for level in range(LEVELS):
            target, number = f"unets.{unet}.up.{level}", LEVELS * unet + level
            kernel = take("conv2d_transpose", number, "kernel").permute(2, 3, 0, 1)
            state[f"{target}.weight"] = sub_pixel_kernel(kernel).contiguous()
            state[f"{target}.bias"] = take("conv2d_transpose", number, "bias").repeat_interleave(4)
            take_norm(2 * LEVELS * unet + LEVELS + level, f"unets.{unet}.up_norm.{level}")
            take_norm(2 * LEVELS * unet + level, f"unets.{unet}.down_norm.{level}")
    if surplus := sorted(variables.keys() - used):
        raise ValueError(f"{surplus[0]} belongs to no layer")
    return state


def _numbered(layer: str, number: int) -> str:
    return f"{layer}_{number}" if number else layer
