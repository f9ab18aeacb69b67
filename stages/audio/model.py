"""The three audio models: wav2vec 2.0, a temporal block, and 20 valence-arousal steps per window.

V1 runs a GRU over the backbone's frames, V2 and V3 two Transformer layers; V3 trains four of the
backbone's layers, the others two (paper, section 3.1 and figure 2). The tail is the same for all: a
strided convolution, batch norm, adaptive average pooling to 20 steps, ReLU, a linear layer, Tanh.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from stages.audio.backbone import encode, hidden_size
from stages.training.attention import TransformerLayer, layer_from_authors

Version = Literal["v1", "v2", "v3"]

TRAINED_LAYERS: Mapping[Version, int] = {"v1": 2, "v2": 2, "v3": 4}
"""Encoder layers of the backbone, from the top, that the authors train."""


class GruBlock(nn.Module):
    """V1: a GRU of two layers, forward in time. (B, F, h) -> (B, F, features)."""

    def __init__(self, hidden: int, features: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.gru = nn.GRU(hidden, features, num_layers=2, dropout=dropout, batch_first=True)

    def forward(self, frames: Tensor, valid: Tensor | None) -> Tensor:  # noqa: ARG002  (looks back only)
        """Padding comes last and a GRU looks back only, so real frames need no mask."""
        hidden: Tensor = self.gru(frames)[0]
        return hidden


class TransformerBlock(nn.Module):
    """V2 and V3: post-norm Transformer layers, one per entry of `heads`. (B, F, h) -> (B, F, h)."""

    def __init__(self, hidden: int, heads: Sequence[int], dropout: float = 0.1) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TransformerLayer(hidden, count, dropout) for count in heads)

    def forward(self, frames: Tensor, valid: Tensor | None) -> Tensor:
        """`valid` (B, F) is true at real frames."""
        for layer in self.layers:
            frames = layer(frames, valid=valid)
        return frames


class AudioModel(nn.Module):
    """Valence and arousal at every step of a window, from its waveform (paper, section 3.1).

    Shape: waveform (B, n) float32, zero mean and unit variance over each window's real samples;
        sample_mask (B, n) bool, true at real samples, or None = all; convolved, see `encode`
        -> valence_arousal (B, steps, 2) in (-1, 1), features (B, steps, f) before the last linear layers.

    Args:
        backbone: from `build_backbone`; its hidden size h sets the widths.
        version: "v1", "v2" or "v3".
        heads: attention heads of the Transformer layers (V2, V3), each a divisor of h.
        gru_features: width f of V1; None: h / 4 (256 for the paper's 1024). f is h for V2 and V3.
        trainable_layers: encoder layers, from the top, that are trained with the head; None: the
            authors' number; "all": the whole backbone, its convolutions included.
        fc_features: widths of further linear layers with ReLU before the last one. The paper speaks of
            two fully connected layers, (f,) here; the authors' code has the last one only.
        steps: steps per window.

    Raises:
        ValueError: heads don't divide h, or the backbone has fewer layers than are to be trained.
    """

    def __init__(
        self,
        backbone: nn.Module,
        version: Version = "v3",
        *,
        heads: Sequence[int] = (32, 16),
        gru_features: int | None = None,
        trainable_layers: int | Literal["all"] | None = None,
        fc_features: Sequence[int] = (),
        steps: int = 20,
    ) -> None:
        super().__init__()
        if version not in TRAINED_LAYERS:
            raise ValueError(f"version is {version!r}, must be one of {', '.join(TRAINED_LAYERS)}")
        hidden = hidden_size(backbone)
        features = (gru_features or hidden // 4) if version == "v1" else hidden
        self.backbone = backbone
        self.temporal: nn.Module = (
            GruBlock(hidden, features) if version == "v1" else TransformerBlock(hidden, heads)
        )
        self.aggregate = nn.Sequential(
            nn.Conv1d(features, features, kernel_size=5, stride=3, dilation=2),
            nn.BatchNorm1d(features),
            nn.AdaptiveAvgPool1d(steps),
            nn.ReLU(),
        )
        widths = [features, *fc_features]
        further = [
            layer for before, after in pairwise(widths) for layer in (nn.Linear(before, after), nn.ReLU())
        ]
        self.head = nn.Sequential(*further, nn.Linear(widths[-1], 2), nn.Tanh())
        self._trained = _open_layers(
            backbone, TRAINED_LAYERS[version] if trainable_layers is None else trainable_layers
        )
        self.train(self.training)

    def forward(
        self, waveform: Tensor, sample_mask: Tensor | None = None, convolved: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Predictions and features; steps that lie on padding must be ignored by the caller."""
        frames, valid = encode(self.backbone, waveform, sample_mask, convolved)
        mixed = self.temporal(frames, valid)
        if valid is not None:
            mixed = torch.where(valid.unsqueeze(-1), mixed, 0.0)
        features = self.aggregate(mixed.transpose(1, 2)).transpose(1, 2)
        return self.head(features), features

    def train(self, mode: bool = True) -> AudioModel:
        """Training mode for what is trained; the frozen part keeps evaluating, free of dropout."""
        super().train(mode)
        self.backbone.eval()
        for part in self._trained:
            part.train(mode)
        return self


def _open_layers(backbone: nn.Module, count: int | Literal["all"]) -> list[nn.Module]:
    """Freeze the backbone but for its last `count` encoder layers; the parts that are trained."""
    if count == "all":
        return [backbone.requires_grad_(True)]
    layers = list(backbone.get_submodule("encoder.layers").children())
    if not 0 <= count <= len(layers):
        raise ValueError(f"trainable_layers is {count}, must be 0–{len(layers)} for this backbone, or 'all'")
    backbone.requires_grad_(False)
    return [layer.requires_grad_(True) for layer in layers[len(layers) - count :]]


AUTHORS_PARTS = {
    "wav2vec2.": "backbone.",
    "gru.": "temporal.gru.",
    "time_downsample.": "aggregate.",
    "feature_downsample.": "head.0.",
}
"""Prefixes of the authors' published audio checkpoints -> ours; their `tl1`, `tl2` are `temporal.layers`."""

AUTHORS_WEIGHT_NORM = {"conv.weight_g": "original0", "conv.weight_v": "original1"}
"""Names of the positional convolution's weight norm before torch 2 -> since."""


def from_authors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of an `AudioModel` of the same version from a state dict of the authors' V1–V3.

    Left behind: the fixed position tables and the feed-forward layer norms, which nothing uses.

    Raises:
        KeyError: a parameter of a Transformer layer is missing.
        ValueError: a key belongs to none of their three models.
    """
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        if key.startswith(("tl1.", "tl2.")):
            continue
        prefix = next((theirs for theirs in AUTHORS_PARTS if key.startswith(theirs)), None)
        if prefix is None:
            raise ValueError(f"{key} is no parameter of the authors' audio models V1–V3")
        name = AUTHORS_PARTS[prefix] + key.removeprefix(prefix)
        for old, new in AUTHORS_WEIGHT_NORM.items():
            name = name.replace(old, f"conv.parametrizations.weight.{new}")
        renamed[name] = value
    for index, prefix in enumerate(("tl1.", "tl2.")):
        if any(key.startswith(prefix) for key in state):
            layer = layer_from_authors(dict(state), prefix)
            renamed |= {f"temporal.layers.{index}.{name}": value for name, value in layer.items()}
    return renamed
