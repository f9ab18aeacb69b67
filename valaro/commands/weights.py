"""Pretrained weights, as `valaro doctor` sees them: which are needed, where they lie, are they whole."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from stages.core.detectors import DETECTORS
from stages.core.errors import ValaroError
from stages.core.params import Params
from stages.core.voices import VOICES
from stages.core.weights import PRETRAINED, WEIGHTS, Weights, user_folders
from stages.vision.backbones import describe, pretrained_weights
from stages.vision.hub import from_hub, local_hub_weights, timm_name

MEGA = 1_000_000

Seen = tuple[Literal["ok", "note", "MISSING"], str, str, str]
"""Grade, name, finding, remedy."""


def check_weights(params: Params) -> Iterator[Seen]:
    """Every file of the table and of the parameters; one line where there is nothing to say."""
    found = list(_all(params))
    yield from found or [("ok", "weights", "no pretrained weights needed", "")]


def _all(params: Params) -> Iterator[Seen]:
    needed = needed_weights(params)
    for name, weights in WEIGHTS.items():
        yield from _of_table(weights, needed=name in needed)
    for backbone in params.finetune.compare:
        yield from _of_backbone(params, backbone)
    if isinstance(params.audio.backbone, str):
        yield _of_audio(params.audio.backbone)


def needed_weights(params: Params) -> set[str]:
    """Names in the table of what the active parameters use."""
    detector = {weights} if (weights := DETECTORS[params.faces.detector].weights) else set()
    voice = VOICES[params.voice.backend].weights(params.voice.spleeter_model)
    return detector | ({voice} if voice else set())


def _of_table(weights: Weights, *, needed: bool) -> Iterator[Seen]:
    path = next((place / weights.file for place in _places() if (place / weights.file).is_file()), None)
    if path is None:
        if needed:
            size = f"{weights.size_bytes / MEGA:,.0f} MB" if weights.size_bytes > MEGA else "small"
            remedy = f"Fetched on first use when online; else put {weights.url} into {PRETRAINED}."
            yield "note", "weights", f"{weights.file} ({size}, {weights.licence}) isn't here yet", remedy
        return
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest == weights.sha256:
        yield "ok", "weights", f"{path}, SHA-256 as published{'' if needed else '; not in use'}", ""
    else:
        remedy = "Remove it: the right one is fetched on next use."
        grade: Literal["MISSING", "note"] = "MISSING" if needed else "note"
        yield grade, "weights", f"{path} is damaged or another file (SHA-256 {digest[:16]}…)", remedy


def _of_backbone(params: Params, backbone: str) -> Iterator[Seen]:
    described = describe(params.finetune, backbone)
    try:
        if described.weights and from_hub(described.weights):
            yield _of_hub(timm_name(described.architecture, described.weights), backbone)
            return
        path = pretrained_weights(described)
    except ValaroError as error:
        problem, _, remedy = str(error).partition(". ")
        yield "MISSING", "weights", f"{backbone}: {problem}", remedy
        return
    if path:
        yield "ok", "weights", f"{path}, for {backbone}", ""


def _of_hub(name: str, backbone: str) -> Seen:
    """A backbone of timm's: a file, or to be downloaded."""
    if path := local_hub_weights(name):
        return "ok", "weights", f"{path}, for {backbone}", ""
    remedy = f"Fetched on first use when online, or by `valaro fetch-model {name}`."
    return "note", "weights", f"{name}, for {backbone}, isn't here yet", remedy


def _of_audio(backbone: str) -> Seen:
    """The audio backbone: a folder, or a name on the hub, which may be in its cache."""
    for folder in (Path(backbone), PRETRAINED / backbone.rpartition("/")[2]):
        if folder.is_dir():
            return "ok", "weights", f"{folder}, for audio", ""
    from huggingface_hub import try_to_load_from_cache

    if isinstance(try_to_load_from_cache(backbone, "config.json"), str):
        return "ok", "weights", f"{backbone}, for audio, in the hub's cache", ""
    remedy = "Fetched on first use when online, or by `valaro fetch-model pdem`. Look at its licence."
    return "note", "weights", f"{backbone}, for audio, isn't in the hub's cache", remedy


def _places() -> list[Path]:
    return [PRETRAINED, *user_folders()]
