"""Spleeter's networks: one U-Net per instrument, from the mixture's magnitudes to the instruments'.

A U-Net sees (B, 2, T, F) magnitudes: two channels, T frames (512), F frequencies (1024), and halves both
six times. It differs from the usual U-Net:

1. The skips are the convolutions' outputs *before* normalisation, and the sixth goes on without any.
2. On the way up the activation comes first, then the normalisation.
3. TensorFlow pads "same" at stride 2 unevenly: one before, two after.

A transposed convolution of stride 2 is written as what it does: the four points of every 2 x 2 square of
its output are four ordinary 3 x 3 convolutions of its input (`sub_pixel_kernel`). No point is computed and
cropped, the padding is even, and on a CPU it is quicker.

Source: Jansson et al. 2017; Hennequin et al. 2020; checked against Spleeter 2.4's own graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

EPSILON = 1e-10
"""Keeps masks finite in silence; there, every instrument gets an equal share."""

NORM_EPSILON = 1e-3
"""Keras's, in every batch normalisation."""

LEVELS = 6


@dataclass(frozen=True)
class Model:
    """The settings in which the published configurations differ.

    Args:
        instruments: in the order of their U-Nets in the checkpoint.
        elu: ELU everywhere, instead of leaky ReLU on the way down and ReLU on the way up.
        softmax: the U-Nets compete for every point; otherwise each has a sigmoid of its own.
    """

    instruments: tuple[str, ...]
    elu: bool = False
    softmax: bool = False


MODELS: Mapping[str, Model] = {
    "2stems": Model(("vocals", "accompaniment")),
    "4stems": Model(("vocals", "drums", "bass", "other"), elu=True),
    "5stems": Model(("vocals", "piano", "drums", "bass", "other"), elu=True, softmax=True),
}


class UNet(nn.Module):
    """One instrument's network.

    Args:
        filters: channels after each of the six convolutions; the published ones: 16 ... 512.
        elu: as in `Model`.
    """

    def __init__(self, filters: Sequence[int], elu: bool) -> None:
        super().__init__()
        if len(filters) != LEVELS:
            raise ValueError(f"{len(filters)} numbers of filters, must be {LEVELS}")
        down = [2, *filters]
        up = [filters[-1], *filters[-2::-1], 1]
        self.elu = elu
        self.down = nn.ModuleList(nn.Conv2d(down[i], down[i + 1], 5, stride=2) for i in range(LEVELS))
        self.down_norm = nn.ModuleList(nn.BatchNorm2d(width, NORM_EPSILON) for width in filters[:-1])
        # From the second on, the input is the skip beside what came up.
        self.up = nn.ModuleList(
            nn.Conv2d(up[i] * (2 if i else 1), 4 * up[i + 1], 3, padding=1) for i in range(LEVELS)
        )
        self.up_norm = nn.ModuleList(nn.BatchNorm2d(width, NORM_EPSILON) for width in up[1:])
        self.last = nn.Conv2d(1, 2, 4, dilation=2, padding=3)

    def forward(self, magnitude: Tensor) -> Tensor:
        """Mask logits. (B, 2, T, F) -> (B, 2, T, F); T and F are multiples of 64."""
        skips, x = [], magnitude
        for level in range(LEVELS):
            x = self.down[level](F.pad(x, (1, 2, 1, 2)))
            if level < LEVELS - 1:
                skips.append(x)
                x = self.down_norm[level](x)
                x = F.elu_(x) if self.elu else F.leaky_relu_(x, 0.2)
        for level in range(LEVELS):
            x = self.up[level](x if level == 0 else torch.cat([skips.pop(), x], dim=1))
            x = F.elu_(x) if self.elu else F.relu_(x)
            x = self.up_norm[level](F.pixel_shuffle(x, 2))
        logits: Tensor = self.last(x)
        return logits


class SpleeterNet(nn.Module):
    """All instruments' networks, and the mask of the first: the voice.

    Args:
        filters: as in `UNet`.
        model: which of the published configurations.
    """

    def __init__(self, filters: Sequence[int], model: Model) -> None:
        super().__init__()
        self.softmax = model.softmax
        self.unets = nn.ModuleList(UNet(filters, model.elu) for _ in model.instruments)

    def forward(self, magnitude: Tensor) -> Tensor:
        """The voice's mask, in [0, 1]. (B, 2, T, F) -> (B, 2, T, F)."""
        seen = magnitude.to(next(self.parameters()).dtype)
        logits = [unet(seen) for unet in self.unets]
        if self.softmax:
            shares = list(torch.stack(logits).float().softmax(dim=0))
        else:
            shares = [logit.float().sigmoid_() for logit in logits]
        powers = [share.mul_(magnitude).square_() for share in shares]
        total = torch.stack(powers).sum(dim=0)
        mask: Tensor = (powers[0] + EPSILON / len(powers)) / (total + EPSILON)
        return mask


def sub_pixel_kernel(kernel: Tensor) -> Tensor:
    """The 3 x 3 convolution, before a pixel shuffle, that equals a 5 x 5 transposed one of stride 2.

    Shape: (out, in, 5, 5) -> (4 out, in, 3, 3).

    In one dimension, with TensorFlow's "same" cropping, input i adds w[k] to output 2 i + k - 1. So an even
    output 2 j takes w[3] from input j - 1 and w[1] from j; an odd one, 2 j + 1, takes w[4], w[2] and w[0]
    from j - 1, j and j + 1. Two dimensions are one after the other.
    """
    padded = F.pad(kernel, (0, 1, 0, 1))  # index 5 is zero
    pick = torch.tensor([[3, 1, 5], [4, 2, 0]])
    rows = padded[:, :, pick, :]  # (out, in, parity y, 3, 6)
    both = rows[..., pick]  # (out, in, parity y, 3, parity x, 3)
    out_channels, in_channels = kernel.shape[:2]
    return both.permute(0, 2, 4, 1, 3, 5).reshape(4 * out_channels, in_channels, 3, 3)
