"""timm's pretrained backbones by name, from the Hugging Face hub: `weights: hub` or `weights: hub:<tag>`.

    hub              the tag that the installed timm takes by default for the architecture
    hub:ft_in1k      this tag: `efficientnet_b1` becomes timm's `efficientnet_b1.ft_in1k`

A file of that name (`efficientnet_b1.ft_in1k.safetensors`) is looked for in `models/pretrained/` and in the
folders of VALARO_WEIGHTS; only where neither has it, it is downloaded into `models/pretrained/`. timm then
loads it like any file, and its name says which pixel statistics the weights want. No torch in here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stages.core.download import Report
from stages.core.errors import ValaroError
from stages.core.hub import fetch_from_hub
from stages.core.weights import FOLDERS, PRETRAINED, user_folders

HUB = "hub"
FILE = "model.safetensors"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)?")


@dataclass(frozen=True)
class HubWeights:
    """What is known of one repository of the hub without asking it.

    Args:
        repository: owner and name.
        size_bytes: of the weights, about.
        licence: as its card says.
        task: what the pipeline uses it for.
    """

    repository: str
    size_bytes: int
    licence: str
    task: str


TIMM: Mapping[str, HubWeights] = {
    name: HubWeights(f"timm/{name}", size_bytes, "Apache-2.0; ImageNet: research only", "face backbone")
    for name, size_bytes in (
        ("efficientnet_b1.ft_in1k", 31_500_000),
        ("efficientnet_b4.ra2_in1k", 77_900_000),
        ("vit_base_patch16_224.augreg2_in21k_ft_in1k", 346_000_000),
    )
}
"""The backbones of profile affwild2; any other name of timm's works too."""


def from_hub(weights: str) -> bool:
    """Whether a backbone's `weights` name the hub rather than a file."""
    return weights == HUB or weights.startswith(f"{HUB}:")


def timm_name(architecture: str, weights: str = HUB) -> str:
    """The name with the tag: `efficientnet_b1`, `hub:ft_in1k` -> `efficientnet_b1.ft_in1k`.

    Raises:
        ValaroError: timm has no pretrained weights of that name.
    """
    _, _, tag = weights.partition(":")
    name = f"{architecture}.{tag}" if tag else architecture
    if name in TIMM:
        return name
    import timm
    from timm.models import is_model_pretrained

    try:
        config = timm.get_pretrained_cfg(name) if _NAME.fullmatch(name) else None
    except RuntimeError:  # the architecture has no such tag
        config = None
    tagged = f"{config.architecture}.{config.tag}" if config and config.tag else ""
    if not is_model_pretrained(tagged):
        known = (
            ", ".join(sorted(timm.list_pretrained(f"{architecture}.*"))[:8]) or "none of this architecture"
        )
        raise ValaroError(f"timm {timm.__version__} has no pretrained weights {name!r}; it has {known}")
    return tagged


def local_hub_weights(name: str, folder: Path = PRETRAINED) -> Path | None:
    """The file of these weights, if one of the folders has it; the hub isn't asked.

    Args:
        name: timm's, with its tag.
        folder: looked into first.
    """
    places = (folder, *user_folders())
    return next((path for place in places if (path := place / f"{name}.safetensors").is_file()), None)


def hub_weights(name: str, folder: Path = PRETRAINED, report: Report | None = None) -> Path:
    """The file of these weights, fetched from the hub if no folder has it.

    Args:
        name: timm's, with its tag.
        folder: looked into first, and where the file lands.
        report: progress of the download.

    Raises:
        ValaroError: it is nowhere and can't be fetched; the message says which file to put where.
    """
    if found := local_hub_weights(name, folder):
        return found
    target = folder / f"{name}.safetensors"
    repository = TIMM[name].repository if name in TIMM else _repository(name)
    try:
        fetch_from_hub(repository, FILE, target, report)
    except ValaroError as error:
        raise ValaroError(
            f"{target.name} is in none of {', '.join(map(str, (folder, *user_folders())))}: {error}. "
            f"Download {FILE} of huggingface.co/{repository} elsewhere and put it into {folder} as "
            f"{target.name}, or name its folder in {FOLDERS}. weights: null starts at random."
        ) from None
    return target


def _repository(name: str) -> str:
    import timm

    return str(timm.get_pretrained_cfg(name).hf_hub_id or f"timm/{name}")
