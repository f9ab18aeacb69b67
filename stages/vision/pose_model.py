"""The pose model (paper, section 3.2.1, figure 2): heat maps of the upper body -> embedding -> estimates."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from stages.vision.hrnet import STRIDE, PoseHRNet
from stages.vision.static_model import EmbeddingHead, StaticOutput, pixel_statistics

UPPER_BODY = 13
"""The first joints of COCO's skeleton: from the nose to the hips."""
CHANNELS = (128, 128, 256)
"""Of the three added residual blocks."""


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm beside a 1x1 projection; the side of the map is halved.

    Shape: (B, C, H, W) -> (B, K, H / 2, W / 2), rounded up.

    The projection takes every second pixel by a slice: as a convolution with a stride, PyTorch's library for
    processors (oneDNN 3.13) ended the process in the backward pass.
    """

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, channels, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.shortcut = nn.Conv2d(channels_in, channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Body plus shortcut, rectified."""
        return torch.relu(self.body(maps) + self.shortcut(maps[..., ::2, ::2]))


class PoseModel(nn.Module):
    """A frozen pose network; of its heat maps the upper body's, through added layers and `EmbeddingHead`.

    Shape: RGB images (B, 3, S, S), uint8 (normalised here) or float (normalised already), or what
    `upper_body` said of them, (B, 13, S / 4, S / 4) -> StaticOutput.

    The trunk never trains: no gradients, and its batch norms keep their statistics. Joints are what it
    takes; the authors' code cuts the last layer off, and so takes the first 13 channels of features.

    Args:
        image_size: S, a multiple of 32; the paper's 256.
        weights: the published `pose_hrnet_w32_256x192.pth`; None: random.
        dropout: probability before the first layer of the head.
        tanh_output: see `EmbeddingHead`.
        options: of `PoseHRNet`.

    Raises:
        ValueError: image_size isn't a multiple of 32.
        ValaroError: the weights are damaged, or another network's.
    """

    def __init__(
        self,
        image_size: int,
        weights: Path | None = None,
        dropout: float = 0.1,
        tanh_output: bool = True,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if image_size % 32:
            raise ValueError(f"image_size is {image_size}; HRNet halves it five times: a multiple of 32")
        self.image_size = image_size
        self.trunk = PoseHRNet(**(options or {}))
        if weights:
            self.trunk.load_published(weights)
        self.trunk.requires_grad_(False).eval()
        widths = (UPPER_BODY, *CHANNELS)
        self.blocks = nn.Sequential(*map(ResidualBlock, widths[:-1], widths[1:]))
        self.head = EmbeddingHead(CHANNELS[-1], dropout, tanh_output)
        self.mean: Tensor
        self.std: Tensor
        mean, std = pixel_statistics()
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)
        self.to(memory_format=torch.channels_last)

    def forward(self, image: Tensor) -> StaticOutput:
        """Estimate each image by itself."""
        maps = image.float() if image.shape[1] == UPPER_BODY else self.upper_body(image)
        output: StaticOutput = self.head(self.blocks(maps).mean((2, 3)))
        return output

    @property
    def map_shape(self) -> tuple[int, int, int]:
        """Of what `upper_body` gives for an image."""
        side = self.image_size // STRIDE
        return UPPER_BODY, side, side

    @torch.no_grad()
    def upper_body(self, image: Tensor) -> Tensor:
        """Heat maps of the first 13 joints, (B, 13, S / 4, S / 4); no gradient goes further down."""
        if image.dtype == torch.uint8:
            image = (image - self.mean) / self.std
        heat_maps: Tensor = self.trunk(image.contiguous(memory_format=torch.channels_last))
        return heat_maps[:, :UPPER_BODY]

    def train(self, mode: bool = True) -> Self:
        """As for any module, except that the trunk stays in eval mode."""
        super().train(mode)
        self.trunk.eval()
        return self

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """One group, the added layers: nothing else ever trains."""
        return [[*self.blocks.parameters(), *self.head.parameters()]]
