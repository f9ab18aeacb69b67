"""The static models of table 3 through one interface: EfficientNets, ViTs and others of timm, the pose net.

    config = static_config(description, dropout, tanh_output)      # backbones.py: JSON, the file's header
    model = new_static(config, foreign_weights(description))       # ImageNet's, COCO's, or at random
    model = load_model(path, build_static)                         # training.checkpoints: ours, from disk
    save_model(path, model, config)
    fit(model, …, groups=model.layer_groups())

Every one maps images (B, 3, S, S), uint8 RGB, to a `StaticOutput`: embedding (B, 256), valence_arousal
(B, 2), emotion (B, 8); has `image_size`, S; and gives its trainable parameters by `layer_groups()`, bottom
to top.
What draws at random does so from torch's generator: seed it first.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.core.errors import ValaroError
from stages.vision.pose_model import PoseModel
from stages.vision.static_model import StaticModel

POSE = "pose_hrnet"
"""The architecture that isn't timm's: HRNet with the heat maps of COCO's joints."""

Static = StaticModel | PoseModel


def new_static(config: Mapping[str, Any], weights: Path | None) -> Static:
    """A static model to train, its added layers drawn at random.

    Args:
        config: from `backbones.static_config`.
        weights: of the backbone, from elsewhere: timm's safetensors, or the published pose network's `.pth`;
            None: drawn at random.

    Raises:
        ValaroError: there is no such architecture, it knows no such option, or the weights are damaged or
            aren't this architecture's.
    """
    arguments = {name: value for name, value in config.items() if name not in ("architecture", "input")}
    try:
        if config["architecture"] == POSE:
            return PoseModel(**arguments, weights=weights)
        return StaticModel(config["architecture"], **arguments, weights=weights)
    except (TypeError, ValueError) as refusal:
        raise ValaroError(f"finetune.backbones: {config['architecture']}: {refusal}") from None


def build_static(config: Mapping[str, Any]) -> Static:
    """The model that a file's header describes, without its weights: `load_model(path, build_static)`."""
    return new_static(config, None)
