"""Spleeter's converted weights: found, checked, made once where they aren't there yet. No torch in here.

What must hold before a number is used: the SHA-256 of what the checkpoint came out of
(`spleeter_checkpoint.py`). The converted file carries the SHA-256 of its source and one of its own tensors,
and is made again where either is wrong.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from stages.core.errors import BadInput
from stages.separation.spleeter_checkpoint import fetch_checkpoint, known_sources

AGAIN = "Remove it and let it be downloaded again"


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
        from stages.separation.spleeter_weights import convert

        with tempfile.TemporaryDirectory() as place:
            source_sha256 = fetch_checkpoint(name, folder, Path(place))
            convert(Path(place) / "model", name, path, source_sha256)
    return path


def digest(state: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 over all tensors, in the order of their names."""
    total = hashlib.sha256()
    for name in sorted(state):
        total.update(f"{name}{list(state[name].shape)}".encode())
        total.update(np.ascontiguousarray(state[name]).data)
    return total.hexdigest()


def read_converted(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What a converted file says of itself, and its tensors by name.

    Raises:
        BadInput: not a file of `spleeter_weights.convert`, or a damaged one.
    """
    try:
        with safe_open(path, "np") as file:
            facts: dict[str, Any] = json.loads(file.metadata()["spleeter"])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BadInput(path, f"not converted Spleeter weights ({error})", "Remove it") from error
    if digest(state) != facts["tensors_sha256"]:
        raise BadInput(path, "its numbers don't match their checksum", "Remove it, so that it is made again")
    return facts, state


def _is_sound(path: Path, sources: set[str]) -> bool:
    try:
        return path.is_file() and read_converted(path)[0].get("source_sha256") in sources
    except BadInput:
        return False
