"""Spleeter's published weights: checked, and converted once from TensorFlow's checkpoint to safetensors.

Three things are checked before a number is used: the SHA-256 of the archive (`spleeter_checkpoint.py`), the
checkpoint's own checksums, and that it holds exactly the variables of the network, in their shapes. The
converted file has the SHA-256 of its source and one of its own tensors, and is made again where either is
wrong.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from stages.core.artefacts import whole
from stages.core.errors import BadInput
from stages.separation.spleeter_checkpoint import fetch_checkpoint, known_sources
from stages.separation.spleeter_net import LEVELS, MODELS, SpleeterNet, sub_pixel_kernel
from stages.separation.tensorbundle import read_bundle

NORM_THEIRS = ("gamma", "beta", "moving_mean", "moving_variance")
NORM_OURS = ("weight", "bias", "running_mean", "running_var")

_AGAIN = "Remove it and let it be downloaded again"

Variables = Mapping[str, NDArray[Any]]


def converted_weights(name: str, folder: Path) -> Path:
    """The converted weights of a published model, made from its checkpoint if they aren't there yet.

    Args:
        name: `2stems`, `4stems` or `5stems`.
        folder: `models/pretrained/`: where the result lies, and the release is looked for first.

    Raises:
        ValaroError: they aren't there, and no source has the checkpoint: the message says which file to put
            where; or a source isn't the published one.
    """
    path = folder / f"spleeter_{name}.safetensors"
    if not _is_sound(path, known_sources(name)):
        with tempfile.TemporaryDirectory() as place:
            source_sha256 = fetch_checkpoint(name, folder, Path(place))
            convert(Path(place) / "model", name, path, source_sha256)
    return path


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
        raise BadInput(prefix, f"not a checkpoint of Spleeter's {name}: {error}", _AGAIN) from error
    hashes = {"source_sha256": source_sha256, "tensors_sha256": digest(state)}
    facts = {"filters": filters, "model": name, **hashes}
    with whole(path) as partial:
        save_file(state, partial, {"spleeter": json.dumps(facts, sort_keys=True)})


def load_net(path: Path) -> SpleeterNet:
    """The networks of converted weights, in eval mode on the CPU.

    Raises:
        BadInput: not a file of `convert`, or a damaged one.
    """
    facts, state = _read(path)
    net = SpleeterNet(facts["filters"], MODELS[facts["model"]])
    net.load_state_dict(state)
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


def digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over all tensors, in the order of their names."""
    total = hashlib.sha256()
    for name in sorted(state):
        total.update(f"{name}{list(state[name].shape)}".encode())
        total.update(state[name].contiguous().numpy().tobytes())
    return total.hexdigest()


def _numbered(layer: str, number: int) -> str:
    return f"{layer}_{number}" if number else layer


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, "pt") as file:
            facts: dict[str, Any] = json.loads(file.metadata()["spleeter"])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BadInput(path, f"not converted Spleeter weights ({error})", "Remove it") from error
    if digest(state) != facts["tensors_sha256"]:
        raise BadInput(path, "its numbers don't match their checksum", "Remove it, so that it is made again")
    return facts, state


def _is_sound(path: Path, sources: set[str]) -> bool:
    try:
        return path.is_file() and _read(path)[0].get("source_sha256") in sources
    except BadInput:
        return False
