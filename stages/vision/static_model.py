"""The static models (paper, section 3.2.1): a face image -> 256-d embedding -> valence, arousal, emotion."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from stages.core.artefacts import read_header
from stages.core.errors import ValaroError
from stages.engine.lazy_imports import without_compiler

EMBEDDING = 256
CLASSES = ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise", "other")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, RGB in [0, 1]: what a model normalises by unless its file says otherwise."""
LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue, as in JPEG (ITU-R BT.601)."""
WHITE, FLAT = 255.0, 0.03
"""The highest value of a pixel; a deviation small enough to be noise, in units of full scale."""
Pixels = Literal["imagenet", "grey"]
Statistics = Mapping[str, Sequence[float]]
"""`mean` and `std`, of red, green and blue in [0, 1]."""

BLOCK = re.compile(r"(blocks\.\d+|layer\d+|stages\.\d+)\.")
"""How timm names the stages of EfficientNets, the encoder blocks of ViTs, the stages of residual nets."""


class StaticOutput(NamedTuple):
    """The output of a static model for a batch of images."""

    embedding: Tensor
    """(B, 256), in (-1, 1)."""
    valence_arousal: Tensor
    """(B, 2)."""
    emotion: Tensor
    """(B, 8) logits, in the order of CLASSES; meaningful after pre-training only."""


class EmbeddingHead(nn.Module):
    """The added layers: dropout, Linear, BatchNorm and Tanh = the embedding; from it both outputs.

    Shape: pooled features (B, F) -> StaticOutput.

    Args:
        features: width F of the pooled features.
        dropout: probability before the first layer.
        tanh_output: Tanh on valence and arousal, as in the paper; the authors' code has none.
    """

    def __init__(self, features: int, dropout: float, tanh_output: bool) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.embed = nn.Linear(features, EMBEDDING)
        self.norm = nn.BatchNorm1d(EMBEDDING)
        self.emotion = nn.Linear(EMBEDDING, len(CLASSES))
        self.regression = nn.Linear(EMBEDDING, 2)
        self.tanh_output = tanh_output

    def forward(self, pooled: Tensor) -> StaticOutput:
        """Embed, then estimate."""
        embedding = torch.tanh(self.norm(self.embed(self.dropout(pooled))))
        valence_arousal = self.regression(embedding)
        if self.tanh_output:
            valence_arousal = torch.tanh(valence_arousal)
        return StaticOutput(embedding, valence_arousal, self.emotion(embedding))


class StaticModel(nn.Module):
    """A timm backbone with global pooling (a ViT: its class token), then `EmbeddingHead`.

    Shape: RGB images (B, 3, S, S), uint8 (normalised here) or float (normalised already) -> StaticOutput.

    Args:
        architecture: any timm name, such as "efficientnet_b1", "efficientnet_b4", "vit_base_patch16_224".
        image_size: S, the side of the square input in pixels; the paper's 240, 380, 224.
        weights: a timm weights file (safetensors) to start from, e.g. of ImageNet; None: random.
        dropout: probability before the first added layer.
        tanh_output: see `EmbeddingHead`.
        options: further arguments of timm's constructor; for a "resnet10t" of half its width, which learns
            the sample corpus better than the whole and 3 times as fast:
            {"channels": [32, 64, 128, 256], "stem_width": 16}. Ours: "stem_pool": false leaves out the
            pooling after a residual net's stem, for small images.
        pixels: "imagenet": colour, less the mean of `statistics` and over its deviation. "grey": see
            `standardised_grey`; images may then be (B, 1, S, S) too.
        statistics: "mean" and "std" of RGB in [0, 1] that the weights were trained with (`statistics_of`);
            None: ImageNet's.
        mirror: outside training, return the mean of the outputs for an image and its mirror image.

    Raises:
        ValueError: timm knows no such backbone, or it gives no vector per image.
        ValaroError: the weights are damaged, or another backbone's.
    """

    def __init__(
        self,
        architecture: str,
        image_size: int,
        weights: Path | None = None,
        dropout: float = 0.1,
        tanh_output: bool = True,
        options: Mapping[str, Any] | None = None,
        pixels: Pixels = "imagenet",
        statistics: Statistics | None = None,
        mirror: bool = False,
    ) -> None:
        super().__init__()
        self.image_size, self.pixels, self.mirror = image_size, pixels, mirror
        options = {**(options or {}), **({"in_chans": 1} if pixels == "grey" else {})}
        self.backbone = _build_backbone(architecture, image_size, weights, options)
        features = _width_of(self.backbone, architecture, image_size, 1 if pixels == "grey" else 3)
        self.head = EmbeddingHead(features, dropout, tanh_output)
        self.mean: Tensor
        self.std: Tensor
        mean, std = pixel_statistics(statistics)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)
        self.to(memory_format=torch.channels_last)  # convolutions run up to 1.8 times as fast

    def forward(self, image: Tensor) -> StaticOutput:
        """Estimate each image by itself."""
        if self.mirror and not self.training:
            sides = self._estimate(image), self._estimate(image.flip(3))
            return StaticOutput(*((one + other) / 2 for one, other in zip(*sides, strict=True)))
        return self._estimate(image)

    def _estimate(self, image: Tensor) -> StaticOutput:
        if self.pixels == "grey":
            image = standardised_grey(image)
        elif image.dtype == torch.uint8:
            image = (image - self.mean) / self.std
        pooled = self.backbone(image.contiguous(memory_format=torch.channels_last))
        output: StaticOutput = self.head(pooled)
        return output

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Parameters by layer group, bottom to top: stem, each stage or block, final part, added layers.

        EfficientNet: stem, 7 stages, head convolution, added. ViT: patch embedding (with positions and class
        token), each encoder block, final norm, added. Residual net: stem, 4 stages, added.
        """
        groups: dict[str, list[nn.Parameter]] = {}
        place = "stem"
        for name, parameter in self.backbone.named_parameters():
            if match := BLOCK.match(name):
                place = match[1]
            elif place != "stem":
                place = "final"
            groups.setdefault(place, []).append(parameter)
        return [*groups.values(), list(self.head.parameters())]


def standardised_grey(image: Tensor) -> Tensor:
    """The images' luma, each image by itself brought to mean 0 and standard deviation 1.

    Colour, exposure and contrast are removed, as for a model trained on grey pictures.

    Shape: (B, 3 or 1, S, S), uint8, or float in [0, 1] -> (B, 1, S, S) float32.
    """
    image = image / WHITE if image.dtype == torch.uint8 else image.float()
    if image.shape[1] != 1:
        image = (image * image.new_tensor(LUMA).view(3, 1, 1)).sum(1, keepdim=True)
    deviation, mean = torch.std_mean(image, dim=(1, 2, 3), keepdim=True)
    return (image - mean) / (deviation + FLAT)


def pixel_statistics(statistics: Statistics | None = None) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of pixels from 0 to 255, each (3, 1, 1); ImageNet's by default."""
    given = statistics or {"mean": MEAN, "std": STD}
    mean, std = (255 * torch.tensor(given[name]).view(3, 1, 1) for name in ("mean", "std"))
    return mean, std


def statistics_of(architecture: str, weights: Path) -> Statistics:
    """The pixel statistics that a timm weights file was trained with.

    timm's configurations go by tag, and one architecture's tags may differ: `efficientnet_b1.ft_in1k` wants
    ImageNet's statistics, `efficientnet_b1.ra4_e3600_r240_in1k` and most ViTs 0.5. The file's name says which
    it is; without a tag in it, all tags of the architecture must agree.

    Args:
        architecture: timm's name.
        weights: the file, such as `efficientnet_b1.ft_in1k.safetensors`.

    Raises:
        ValaroError: the name has no tag that timm knows, and the architecture's tags differ.
    """
    without_compiler()
    import timm
    from timm.models import is_model_pretrained

    tagged = weights.name.removesuffix(".safetensors")
    tags = timm.list_pretrained(f"{architecture}.*") or [architecture]
    known = tagged.startswith(f"{architecture}.") and is_model_pretrained(tagged)
    found = {_statistics_of_tag(name) for name in ([tagged] if known else tags)}
    if len(found) > 1:
        raise ValaroError(
            f"{weights}: the weights of {architecture} differ in the pixel statistics they want, and this "
            f"name says nothing of which they are. Name the file as timm does, for example "
            f"{tags[0]}.safetensors, or set statistics: {{mean: [...], std: [...]}} of this backbone."
        )
    mean, std = found.pop()
    return {"mean": mean, "std": std}


def _statistics_of_tag(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    without_compiler()
    import timm

    config = timm.get_pretrained_cfg(name)
    return (MEAN, STD) if config is None else (tuple(config.mean), tuple(config.std))


def _build_backbone(
    name: str, image_size: int, weights: Path | None, options: Mapping[str, Any]
) -> nn.Module:
    """The backbone without its classifier."""
    without_compiler()
    import timm

    if not timm.is_model(name):
        raise ValueError(f"timm {timm.__version__} has no backbone {name!r}")
    config = timm.get_pretrained_cfg(name)
    # Position tables fix a ViT's input size; with pretrained weights timm resamples them.
    sized = {"img_size": image_size} if config is not None and config.fixed_input_size else {}
    source = {"pretrained_cfg_overlay": {"file": str(weights)}} if weights else {}
    arguments: dict[str, Any] = {**sized, **source, **options}
    stem_pool = arguments.pop("stem_pool", True)
    try:
        backbone = timm.create_model(name, pretrained=weights is not None, num_classes=0, **arguments)
        if weights:
            _require_all(backbone, weights)
    except TypeError:  # an option that timm doesn't know
        raise
    except Exception as damage:  # safetensors, torch and timm have their own classes; all mean the same
        if weights is None:
            raise
        reason = " ".join(str(damage).split())
        raise ValaroError(f"{weights}: not the weights of {name}: {reason:.400}") from None
    if not stem_pool:
        if not isinstance(getattr(backbone, "maxpool", None), nn.Module):
            raise ValueError("stem_pool: it has no pooling after its stem")
        backbone.maxpool = nn.Identity()
    built: nn.Module = backbone
    return built


@torch.no_grad()
def _width_of(backbone: nn.Module, name: str, image_size: int, channels: int) -> int:
    """Width of what a backbone gives per image, measured on a black one.

    `num_features` isn't it for MobileNetV3, VGG, HGNetV2 and others, whose last layers before the classifier
    widen the features.
    """
    training = backbone.training
    pooled = backbone.eval()(torch.zeros(1, channels, image_size, image_size))
    backbone.train(training)
    if pooled.ndim != 2:
        raise ValueError(f"{name} gives {tuple(pooled.shape)} per image, not a vector")
    return int(pooled.shape[1])


def _require_all(backbone: nn.Module, weights: Path) -> None:
    """Refuse a file that leaves some of the backbone as it was drawn: timm only logs that."""
    given = read_header(weights).shapes
    if missing := [name for name, _ in backbone.named_parameters() if name not in given]:
        raise ValueError(f"it has no {missing[0]!r} and {len(missing) - 1} more")


TORCHVISION_PARTS = {
    3: {"0.0": "conv_dw", "0.1": "bn1", "1.fc1": "se.conv_reduce", "1.fc2": "se.conv_expand",
        "2.0": "conv_pw", "2.1": "bn2"},
    4: {"0.0": "conv_pw", "0.1": "bn1", "1.0": "conv_dw", "1.1": "bn2", "2.fc1": "se.conv_reduce",
        "2.fc2": "se.conv_expand", "3.0": "conv_pwl", "3.1": "bn3"},
}  # fmt: skip
"""Parts of torchvision's EfficientNet blocks -> timm's, for blocks of three parts (no expansion) and four."""
TORCHVISION_ENDS = {"0.0": "conv_stem", "0.1": "bn1", "8.0": "conv_head", "8.1": "bn2"}
AUTHORS_HEAD = {"embeddings_layer": "embed", "batchnorm": "norm", "regression": "regression"}


def static_from_authors(state: Mapping[str, Tensor]) -> StaticModel:
    """The authors' published EfficientNet-B1 (torchvision's) in ours, in eval mode, no Tanh at the end.

    Their checkpoints hold no emotion layer: ours is set to zero, so that all its logits are 0.

    Args:
        state: their state dict (see `valaro.recordings.state_dicts`).

    Raises:
        ValueError: a parameter isn't one of theirs; names it.
        RuntimeError: one is missing or has another shape.
    """
    model = StaticModel("efficientnet_b1", image_size=240, tanh_output=False)
    ours = {f"head.emotion.{n}": torch.zeros_like(p) for n, p in model.head.emotion.named_parameters()}
    for name, tensor in state.items():
        try:
            ours[_our_name(name, state)] = tensor
        except (KeyError, ValueError):
            raise ValueError(f"{name} is no parameter of the authors' static EfficientNet-B1") from None
    model.load_state_dict(ours)
    return model.eval()


def _our_name(name: str, state: Mapping[str, Tensor]) -> str:
    """Our name of one of their parameters; KeyError or ValueError if it isn't theirs."""
    layer, kind = name.rsplit(".", 1)
    if layer.startswith("model.features."):
        return f"backbone.{_timm_layer(layer.removeprefix('model.features.'), state)}.{kind}"
    return f"head.{AUTHORS_HEAD[layer]}.{kind}"


def _timm_layer(layer: str, state: Mapping[str, Tensor]) -> str:
    """A layer of torchvision's EfficientNet, such as "2.0.block.1.1", in timm: "blocks.1.0.bn2"."""
    if layer in TORCHVISION_ENDS:
        return TORCHVISION_ENDS[layer]
    stage, block, _, part = layer.split(".", 3)
    parts = 4 if f"model.features.{stage}.{block}.block.3.0.weight" in state else 3
    return f"blocks.{int(stage) - 1}.{block}.{TORCHVISION_PARTS[parts][part]}"
