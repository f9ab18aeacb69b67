"""State dicts out of checkpoints that others have saved: nothing in such a file ever runs.

PyTorch's restricted reader builds tensors, numbers, texts and their containers. Whatever else a training loop
put beside the weights (NumPy numbers, arguments) is replaced by an inert stand-in: it neither runs nor
stands in the way.
"""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from stages.core.errors import BadInput

WRAPPERS = ("model_state_dict", "state_dict", "model", "net")
"""Keys that state dicts lie under, one within the other at times."""
REMEDY = "Give the weights alone: torch.save(model.state_dict(), FILE)"
KEYS_SHOWN, REASON_CHARACTERS = 8, 120
MOST_CLASSES = 40

_CLASS = re.compile(r"GLOBAL (\S+)")
"""In PyTorch's message: a class that its restricted reader doesn't know."""
_AROUND = re.compile(r"^(?:module\.|_orig_mod\.)+|(?<=\.)_orig_mod\.")
"""What data-parallel and compiled models put before their names."""


class _Inert(dict[Any, Any]):
    """Stands for an object of a class that isn't loaded; takes whatever that would be made with."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __setstate__(self, _: Any) -> None:
        """Nothing is kept."""


def state_dict_of(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, by the names that the model itself has for them.

    Takes safetensors, or `torch.save` files: a bare state dict, or one below WRAPPERS. Prefixes of
    data-parallel and compiled models are dropped, however often they are repeated.

    Raises:
        BadInput: the file is unreadable, or holds something else; names the keys found.
    """
    found = unwrapped(path, _loaded(path))
    state = {_AROUND.sub("", name): tensor for name, tensor in found.items()}
    if len(state) < len(found):
        raise BadInput(path, "two of its names differ only in a prefix `module.` or `_orig_mod.`", REMEDY)
    return state


def unwrapped(path: Path, content: Any) -> Mapping[str, Tensor]:
    """The state dict within what a file holds."""
    if isinstance(content, Mapping):
        if content and all(
            isinstance(key, str) and isinstance(each, Tensor) for key, each in content.items()
        ):
            return content
        for key in WRAPPERS:
            if isinstance(content.get(key), Mapping):
                return unwrapped(path, content[key])
    raise BadInput(path, f"holds no state dict, names and their tensors, but {_described(content)}", REMEDY)


def _described(content: Any) -> str:
    if not isinstance(content, Mapping) or isinstance(content, _Inert):
        return "an object of a class" if isinstance(content, _Inert) else f"a {type(content).__name__}"
    keys = [str(key)[:40] for key in content]
    more = f" and {len(keys) - KEYS_SHOWN} more" if len(keys) > KEYS_SHOWN else ""
    return f"the keys {', '.join(keys[:KEYS_SHOWN])}{more}" if keys else "nothing"


def _loaded(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        _refuse_packed(path)
        return _unpickled(path, _foreign_classes(path))
    except Exception as damage:  # every reader has its own classes; each means the same to the user
        raise BadInput(path, f"not a loadable checkpoint ({_said(damage)})", REMEDY) from None


def _unpickled(path: Path, foreign: list[str]) -> Any:
    """What the restricted reader makes of the file, stand-ins for objects of foreign classes."""
    try:
        with torch.serialization.safe_globals([(_Inert, name) for name in foreign]):
            return torch.load(path, "cpu", weights_only=True)
    except UnpicklingError as error:
        needed = _CLASS.search(str(error))
        if needed is None or needed[1] in foreign or len(foreign) >= MOST_CLASSES:
            raise
        return _unpickled(path, [*foreign, needed[1]])


def _foreign_classes(path: Path) -> list[str]:
    """Names of the classes in the file that PyTorch's restricted reader doesn't know.

    Files from before PyTorch 1.6 don't list theirs: there the reader names one at a time.
    """
    return torch.serialization.get_unsafe_globals_in_checkpoint(path) if zipfile.is_zipfile(path) else []


def _said(damage: Exception) -> str:
    """The reason on one short line; of PyTorch's only the class it would need, not how to load it anyway."""
    if isinstance(damage, OSError) and damage.strerror:
        return damage.strerror
    text = " ".join(str(damage).split())
    if needed := _CLASS.search(text):
        return f"it would run {needed[1]}"
    return "damaged, or of another kind" if isinstance(damage, UnpicklingError) else text[:REASON_CHARACTERS]


def _refuse_packed(path: Path) -> None:
    """Refuse an archive larger than its file: `torch.save` compresses nothing, `torch.load` unpacks all."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > path.stat().st_size:
            raise ValueError(f"an archive that unpacks to {unpacked} bytes, from {path.stat().st_size}")
