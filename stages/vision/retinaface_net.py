"""The RetinaFace network with the MobileNet-0.25 backbone.

Deng et al., *RetinaFace: Single-stage Dense Face Localisation in the Wild*, 2019. Attribute names follow the
published state dict (`mobilenet0.25_Final.pth`), so that it loads strictly; 0.43 M parameters.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu
from torch.nn.utils.fusion import fuse_conv_bn_eval

from stages.vision.retinaface_anchors import ANCHORS_PX, STRIDES

BGR_MEAN = (104.0, 117.0, 123.0)
SLOPE = 0.1
CHANNELS = 64


def _convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, leaky: bool = True
) -> nn.Sequential:
    layers = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, nn.LeakyReLU(SLOPE, inplace=True)) if leaky else nn.Sequential(*layers)


def _separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3 × 3 per channel, then 1 × 1 across channels (MobileNet v1)."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(SLOPE, inplace=True),
    )


class Backbone(nn.Module):
    """MobileNet v1 at a quarter of its width, up to three feature maps.

    Shape: (B, 3, H, W) -> (B, 64, H/8, W/8), (B, 128, H/16, W/16), (B, 256, H/32, W/32), rounded up.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stage1 = nn.Sequential(
            _convolution(3, 8, 3, stride=2),
            _separable(8, 16),
            _separable(16, 32, stride=2),
            _separable(32, 32),
            _separable(32, 64, stride=2),
            _separable(64, 64),
        )
        self.stage2 = nn.Sequential(_separable(64, 128, stride=2), *(_separable(128, 128) for _ in range(5)))
        self.stage3 = nn.Sequential(_separable(128, 256, stride=2), _separable(256, 256))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Three maps, the finest first."""
        fine = self.stage1(image)
        middle = self.stage2(fine)
        return fine, middle, self.stage3(middle)


class FeaturePyramid(nn.Module):
    """Coarse features, upsampled to the nearest cell, added to the finer ones: three maps of 64 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.output1 = _convolution(64, CHANNELS, 1)
        self.output2 = _convolution(128, CHANNELS, 1)
        self.output3 = _convolution(256, CHANNELS, 1)
        self.merge1 = _convolution(CHANNELS, CHANNELS, 3)
        self.merge2 = _convolution(CHANNELS, CHANNELS, 3)

    def forward(self, fine: Tensor, middle: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps of the same sizes, the finest first."""
        coarse, middle, fine = self.output3(coarse), self.output2(middle), self.output1(fine)
        middle = self.merge2(middle + interpolate(coarse, size=middle.shape[2:], mode="nearest"))
        fine = self.merge1(fine + interpolate(middle, size=fine.shape[2:], mode="nearest"))
        return fine, middle, coarse


class ContextModule(nn.Module):
    """Three receptive fields side by side (SSH, Najibi et al. 2017); 5 × 5 and 7 × 7 as stacks of 3 × 3."""

    def __init__(self) -> None:
        super().__init__()
        self.conv3X3 = _convolution(CHANNELS, CHANNELS // 2, 3, leaky=False)
        self.conv5X5_1 = _convolution(CHANNELS, CHANNELS // 4, 3)
        self.conv5X5_2 = _convolution(CHANNELS // 4, CHANNELS // 4, 3, leaky=False)
        self.conv7X7_2 = _convolution(CHANNELS // 4, CHANNELS // 4, 3)
        self.conv7x7_3 = _convolution(CHANNELS // 4, CHANNELS // 4, 3, leaky=False)

    def forward(self, features: Tensor) -> Tensor:
        """Half of the channels see 3 × 3 cells, a quarter 5 × 5, a quarter 7 × 7."""
        shared = self.conv5X5_1(features)
        fields = (self.conv3X3(features), self.conv5X5_2(shared), self.conv7x7_3(self.conv7X7_2(shared)))
        return relu(torch.cat(fields, dim=1))


class Head(nn.Module):
    """One value vector per anchor: (B, 64, h, w) -> (B, h · w · 2, values)."""

    def __init__(self, values: int) -> None:
        super().__init__()
        self.values = values
        self.conv1x1 = nn.Conv2d(CHANNELS, values * len(ANCHORS_PX[0]), 1)

    def forward(self, features: Tensor) -> Tensor:
        """Row by row, both anchors of a cell together."""
        answers: Tensor = self.conv1x1(features)
        return answers.permute(0, 2, 3, 1).reshape(len(features), -1, self.values)


class RetinaFaceNet(nn.Module):
    """Images to one answer per anchor, finest stride first, row by row.

    Shape: (B, 3, H, W), BGR minus its mean -> face logit difference (B, A), box offsets (B, A, 4),
    landmark offsets (B, A, 10).
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = Backbone()
        self.fpn = FeaturePyramid()
        self.ssh1, self.ssh2, self.ssh3 = ContextModule(), ContextModule(), ContextModule()
        self.ClassHead = nn.ModuleList(Head(2) for _ in STRIDES)
        self.BboxHead = nn.ModuleList(Head(4) for _ in STRIDES)
        self.LandmarkHead = nn.ModuleList(Head(10) for _ in STRIDES)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The answers of all strides, one after the other."""
        pyramid = self.fpn(*self.body(image))
        maps = [ssh(level) for ssh, level in zip((self.ssh1, self.ssh2, self.ssh3), pyramid, strict=True)]
        logits, boxes, landmarks = (
            torch.cat([head(level) for head, level in zip(heads, maps, strict=True)], dim=1)
            for heads in (self.ClassHead, self.BboxHead, self.LandmarkHead)
        )
        return logits[..., 1] - logits[..., 0], boxes, landmarks


def load_retinaface(state: Mapping[str, Tensor]) -> RetinaFaceNet:
    """The network with published weights, in evaluation mode, batch norms folded into their convolutions.

    Args:
        state: the published state dict; a `module.` before the names (left by data-parallel training) is cut.

    Raises:
        RuntimeError: a name or a shape doesn't fit (from PyTorch, with the names).
    """
    net = RetinaFaceNet()
    net.load_state_dict({name.removeprefix("module."): tensor for name, tensor in state.items()}, strict=True)
    net.eval().requires_grad_(False)
    for block in list(net.modules()):
        if isinstance(block, nn.Sequential):
            _fold_norms(block)
    return net


def _fold_norms(block: nn.Sequential) -> None:
    for i, (layer, following) in enumerate(zip(block, list(block)[1:], strict=False)):
        if isinstance(layer, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
            block[i], block[i + 1] = fuse_conv_bn_eval(layer, following), nn.Identity()
