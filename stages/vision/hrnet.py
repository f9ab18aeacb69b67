"""HRNet for poses (Sun et al., CVPR 2019): an image -> one heat map per joint of COCO's skeleton.

Stem to stage 4 are timm's, under the names of the published pose weights. Two things differ from the
classifier timm builds of them: the last module of stage 4 fuses into the first, finest branch only, and a
1x1 convolution of that branch gives the heat maps.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stages.core.errors import ValaroError
from stages.engine.lazy_imports import without_compiler

JOINTS = ("nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder",
          "left elbow", "right elbow", "left wrist", "right wrist", "left hip", "right hip",
          "left knee", "right knee", "left ankle", "right ankle")  # fmt: skip
"""Of COCO, in the order of the heat maps."""
STRIDE = 4
"""Pixels of the image per pixel of a heat map."""
TIMM_PARTS = ("conv1", "bn1", "act1", "conv2", "bn2", "act2", "layer1", "transition1", "stage2",
              "transition2", "stage3", "transition3", "stage4")  # fmt: skip


class PoseHRNet(nn.Module):
    """The published network `pose_hrnet_w32` with its defaults; narrower and shallower by the arguments.

    Shape: normalised RGB (B, 3, H, W), H and W multiples of 32 -> heat maps (B, 17, H / 4, W / 4).

    Args:
        width: channels of the finest branch; each coarser one has twice as many. Published: 32, 48.
        modules: how many modules stages 2, 3 and 4 have.
        blocks: residual blocks in stage 1, and in every branch of a module.
    """

    conv1: nn.Module
    bn1: nn.Module
    act1: nn.Module
    conv2: nn.Module
    bn2: nn.Module
    act2: nn.Module
    layer1: nn.Module
    transition1: nn.ModuleList
    stage2: nn.Sequential
    transition2: nn.ModuleList
    stage3: nn.Sequential
    transition3: nn.ModuleList
    stage4: nn.Sequential

    def __init__(self, width: int = 32, modules: Sequence[int] = (1, 4, 3), blocks: int = 4) -> None:
        without_compiler()
        from timm.models.hrnet import HighResolutionNet

        super().__init__()
        trunk = HighResolutionNet(_layout(width, modules, blocks), num_classes=0, head="")
        for part in TIMM_PARTS:
            setattr(self, part, getattr(trunk, part))
        last: Any = self.stage4[-1]
        last.fuse_layers = last.fuse_layers[:1]
        self.final_layer = nn.Conv2d(width, len(JOINTS), kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        """Heat maps."""
        fine = self.act1(self.bn1(self.conv1(image)))
        fine = self.layer1(self.act2(self.bn2(self.conv2(fine))))
        branches = self.stage2([transition(fine) for transition in self.transition1])
        branches = self.stage3(_with_one_more(branches, self.transition2))
        branches = self.stage4(_with_one_more(branches, self.transition3))
        heat_maps: Tensor = self.final_layer(branches[0])
        return heat_maps

    def load_published(self, path: Path) -> None:
        """Take the weights of a published `pose_hrnet_*.pth`; code in a pickle never runs.

        Every weight must be there and none beside them; only counters of batches, which older files lack
        and nothing here uses, may be missing.

        Raises:
            ValaroError: the file is damaged, or holds another network.
        """
        try:
            self.load_state_dict(_published_state(path), strict=True)
        except Exception as damage:  # every reader has its own classes; each means the same to the user
            reason = " ".join(str(damage).split())
            raise ValaroError(f"{path}: not the weights of this pose network: {reason:.400}") from None


def _layout(width: int, modules: Sequence[int], blocks: int) -> dict[str, Any]:
    """The configuration of stages 1 to 4 for timm's constructor."""
    stages = {"stage1": _stage("BOTTLENECK", 1, blocks, [64])}
    for stage, count in zip((2, 3, 4), modules, strict=True):
        channels = [width * 2**branch for branch in range(stage)]
        stages[f"stage{stage}"] = _stage("BASIC", count, blocks, channels)
    return {"stem_width": 64, **stages}


def _stage(block: str, modules: int, blocks: int, channels: list[int]) -> dict[str, Any]:
    return {
        "num_modules": modules,
        "num_branches": len(channels),
        "block_type": block,
        "num_blocks": [blocks] * len(channels),
        "num_channels": channels,
        "fuse_method": "SUM",
    }


def _with_one_more(branches: list[Tensor], transition: nn.Module) -> list[Tensor]:
    """The branches as they are, and a coarser one made of the coarsest."""
    *_, new = transition.children()
    return [*branches, new(branches[-1])]


def _published_state(path: Path) -> Mapping[str, Tensor]:
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    counters = {name for name in state if name.endswith("num_batches_tracked")}
    return {name: tensor for name, tensor in state.items() if name not in counters}
