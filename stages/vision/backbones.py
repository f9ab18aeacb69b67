"""The static models by name: description, what builds them, where pretrained weights lie. No torch in here.

A static model file (`models/pretrained_static/<backbone>.safetensors` by pre-training,
`models/static/<backbone>.safetensors` by fine-tuning) holds all of a model's weights and, in its header, the
configuration made by `static_config`; `architectures.build_static` builds the model from that alone.
"""

from pathlib import Path
from typing import Any, Literal, cast

from stages.core.artefacts import read_config
from stages.core.errors import BadInput, ValaroError
from stages.core.params import BackboneParams, FinetuneParams
from stages.core.weights import FOLDERS, user_folders
from stages.vision.hub import from_hub, hub_weights, timm_name

Input = Literal["face", "square", "frame", "person"]
"""What a static model is shown: the face's crop, a square around the face, the whole frame, or a crop around
the person."""
OF_FACES: tuple[Input, ...] = ("face", "square")
"""Inputs that pre-training on pictures of faces prepares for."""

ARCHITECTURE = ("architecture", "image_size", "options", "input", "pixels")
"""What two files must agree in for the weights of one to start the other."""


def describe(settings: FinetuneParams, backbone: str) -> BackboneParams:
    """The description of one of the static models.

    Raises:
        ValaroError: nothing of that name is described; the message names those that are.
    """
    if backbone not in settings.backbones:
        raise ValaroError(
            f"{backbone!r} is none of finetune.backbones: {', '.join(settings.backbones)}. "
            "Name one of these, or describe it in params.yaml."
        )
    return settings.backbones[backbone]


def only(settings: FinetuneParams, backbone: str) -> FinetuneParams:
    """What decides the result of fine-tuning one backbone: not the others, nor where its first weights lay.

    Raises:
        ValaroError: see `describe`.
    """
    described = {backbone: describe(settings, backbone).model_copy(update={"weights": None})}
    return settings.model_copy(update={"compare": [backbone], "backbones": described})


def static_config(description: BackboneParams, dropout: float, tanh_output: bool) -> dict[str, Any]:
    """What builds a static model, in JSON types: the header of its file."""
    return {
        "architecture": description.architecture,
        "input": description.input,
        "image_size": description.image_size,
        "options": description.options,
        "dropout": dropout,
        "tanh_output": tanh_output,
        **({} if description.pixels == "imagenet" else {"pixels": description.pixels}),
        **({"mirror": True} if description.mirror else {}),
    }


def pretrained_weights(description: BackboneParams) -> Path | None:
    """The pretrained weights to start at: at their path, or by their name in a folder of VALARO_WEIGHTS.

    None where the description names none: the model starts at random. `hub` and `hub:<tag>` name timm's,
    which are downloaded where no folder has them (`hub.py`).

    Raises:
        ValaroError: the file is in none of these places, and can't be downloaded.
    """
    if description.weights is None:
        return None
    if from_hub(description.weights):
        return hub_weights(timm_name(description.architecture, description.weights))
    path = Path(description.weights)
    for candidate in (path, *(folder / path.name for folder in user_folders())):
        if candidate.is_file():
            return candidate
    raise ValaroError(
        f"{path}, named by finetune.backbones, is missing. models/README.md says where to get it; "
        f"put it there or into a folder of {FOLDERS}. weights: null starts at random."
    )


def header_of(path: Path) -> dict[str, Any]:
    """The configuration in a static model's file.

    Raises:
        ValaroError: the file is missing, damaged, or holds no configuration.
    """
    try:
        return read_config(path)
    except BadInput as error:
        raise ValaroError(f"{error}") from None


def input_of(path: Path) -> Input:
    """The kind of picture that the static model in a file takes."""
    return cast(Input, header_of(path).get("input", "face"))


def mirrors(path: Path) -> bool:
    """Whether the model in a file looks at the mirror image of each picture by itself."""
    return bool(header_of(path).get("mirror"))


def with_statistics_of(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    """A header for what is trained on from a file: it keeps the pixel statistics of the start."""
    statistics = header_of(path).get("statistics")
    return config if statistics is None else {**config, "statistics": statistics}


def require_same(path: Path, config: dict[str, Any]) -> None:
    """Refuse to start from a file of another architecture, such as one made before the parameters changed.

    Raises:
        ValaroError: naming what differs.
    """
    found = header_of(path)
    if differing := [key for key in ARCHITECTURE if found.get(key) != config.get(key)]:
        said = ", ".join(f"{key} is {found.get(key)!r}, wanted {config.get(key)!r}" for key in differing)
        raise ValaroError(f"{path}: {said}. Run `dvc repro pretrain` again.")
