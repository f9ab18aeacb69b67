"""The static models of table 3 through one interface: EfficientNets, ViTs and others of timm, the pose net.

    config = static_config(description, dropout, tanh_output)      # backbones.py: JSON, the file's header
    weights = pretrained_weights(description)                      # ImageNet's, COCO's, or None: at random
    config = start_config(config, weights, description.statistics) # with the pixel statistics they want
    model = new_static(config, weights)
    model = load_model(path, build_static)                         # training.checkpoints: ours, from disk
    save_model(path, model, config)
    fit(model, …, groups=model.layer_groups())

Every one maps images (B, 3, S, S), uint8 RGB, to a `StaticOutput`: embedding (B, 256), valence_arousal
(B, 2), emotion (B, 8); has `image_size`, S; and gives its trainable parameters by `layer_groups()`, bottom
to top.
All random numbers come from torch's generator: seed it first.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from stages.core.errors import ValaroError
from stages.vision.pose_model import PoseModel
from stages.vision.static_model import StaticModel, Statistics, statistics_of

POSE = "pose_hrnet"
"""The architecture that isn't timm's: HRNet with the heat maps of COCO's joints."""

NO_ARGUMENTS = ("architecture", "input", "doubt")
"""Of a header: what says how a model is used, not how it is built."""

Static = StaticModel | PoseModel


def new_static(config: Mapping[str, Any], weights: Path | None) -> Static:
    """A static model to train, its added layers drawn at random.

    Args:
        config: from `backbones.static_config`.
        weights: pretrained ones of the backbone: timm's safetensors, or the published pose network's `.pth`;
            None: drawn at random.

    Raises:
        ValaroError: there is no such architecture, it knows no such option, or the weights are damaged or
            aren't this architecture's.
    """
    arguments = {name: value for name, value in config.items() if name not in NO_ARGUMENTS}
    try:
        if config["architecture"] == POSE:
            return PoseModel(**arguments, weights=weights)
        return StaticModel(config["architecture"], **arguments, weights=weights)
    except (TypeError, ValueError) as refusal:
        raise ValaroError(f"finetune.backbones: {config['architecture']}: {refusal}") from None


def start_config(
    config: Mapping[str, Any], weights: Path | None, statistics: Statistics | None
) -> dict[str, Any]:
    """The header of a model that starts from these weights: with the pixel statistics that they want.

    Args:
        config: from `backbones.static_config`.
        weights: of the backbone; None: drawn at random.
        statistics: those that the parameters give; None: the weights'.

    Raises:
        ValaroError: see `static_model.statistics_of`.
    """
    coloured = config["architecture"] != POSE and config.get("pixels", "imagenet") != "grey"
    if not coloured or not (weights or statistics):
        return dict(config)
    wanted = statistics or statistics_of(config["architecture"], cast(Path, weights))
    return {**config, "statistics": {name: list(values) for name, values in wanted.items()}}


def build_static(config: Mapping[str, Any]) -> Static:
    """The model that a file's header describes, without its weights: `load_model(path, build_static)`."""
    return new_static(config, None)
