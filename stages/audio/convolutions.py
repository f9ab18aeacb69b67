"""The convolutions at the start of an audio backbone: frames, receptive field, stride. No torch in here."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

RATE_HZ = 16_000
"""Of the stage voice, and of every audio backbone."""
Counts = TypeVar("Counts")
"""An array or a tensor of integers, of any shape."""


class Anatomy(Protocol):
    """The convolutions of a backbone, under the names of transformers' configurations."""

    @property
    def conv_kernel(self) -> Sequence[int]:
        """Samples, then frames, under each convolution."""

    @property
    def conv_stride(self) -> Sequence[int]:
        """Of each."""

    @property
    def feat_extract_norm(self) -> str:
        """`layer`, or `group`: over all frames of a window."""


class Convolutions(NamedTuple):
    """Of the paper's backbone, and of each family of `backbone.FAMILIES` unless its own say otherwise."""

    conv_kernel: Sequence[int] = (10, 3, 3, 3, 3, 2, 2)
    conv_stride: Sequence[int] = (5, 2, 2, 2, 2, 2, 2)
    feat_extract_norm: str = "group"

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Convolutions":
        """Read the keys of `backbone.plain_config`, which leaves out default values."""
        return cls(**{key: settings[key] for key in cls._fields if key in settings})


def frames_of(config: Anatomy, samples: Counts) -> Counts:
    """Frames that the convolutions make of so many samples, at least 1."""
    counts: Any = samples
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        counts = (counts - kernel) // stride + 1
    clipped: Counts = counts.clip(min=1)
    return clipped


def receptive_field(config: Anatomy) -> int:
    """Samples that the first frame needs."""
    samples = 1
    for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
        samples = (samples - 1) * stride + kernel
    return samples


def stride_of(config: Anatomy) -> int:
    """Samples from one frame to the next."""
    return math.prod(config.conv_stride)


def are_local(config: Anatomy) -> bool:
    """Whether a frame depends on the samples under it alone.

    Not where a group norm runs over all frames of a window.
    """
    return config.feat_extract_norm == "layer"
