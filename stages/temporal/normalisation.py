"""Scaling of embeddings before the dynamic model (paper, section 4.2).

Of the five kinds, `minmax` and `standard` are fitted once on the training videos; the `per_video_` kinds take
their statistics from the recording that they scale, and have nothing to fit.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from stages.core.arrays import Flags, Floats

KINDS = ("none", "minmax", "per_video_minmax", "standard", "per_video_standard")
FLAT = 1e-6
"""A dimension that varies less than this share of its magnitude is constant apart from float32 rounding."""


@dataclass(frozen=True, eq=False)
class Normaliser:
    """(x - offset) / scale per dimension; both are empty for the kinds that aren't fitted.

    Attributes:
        kind: one of KINDS.
        offset: (F,) float64, the minimum or the mean.
        scale: (F,) float64, the range or the standard deviation; 1 for a constant dimension.
    """

    kind: str
    offset: Floats
    scale: Floats

    @classmethod
    def fit(cls, kind: str, sequences: Iterable[Floats]) -> "Normaliser":
        """Read the training sequences once, one at a time; the kinds without statistics read none.

        Shape: each (T, F).

        Raises:
            ValueError: the kind is unknown, nothing is left to fit on, or a value isn't finite.
        """
        if kind not in KINDS:
            raise ValueError(f"normalisation is {kind!r}, must be one of {', '.join(KINDS)}")
        if kind not in ("minmax", "standard"):
            return cls(kind, np.empty(0), np.empty(0))
        pooled = None
        for sequence in sequences:
            if len(sequence):
                part = _Statistics.of(sequence)
                pooled = part if pooled is None else pooled.merge(part)
        if pooled is None:
            raise ValueError(f"no sequence to fit {kind} on")
        return cls(kind, *pooled.offset_and_scale(kind))

    def apply(self, sequence: Floats, known: Flags | None = None) -> Floats:
        """Scale one recording.

        Shape: (T, F), (T,) -> (T, F) float32.

        Args:
            sequence: one row per step.
            known: steps that the per-video kinds take their statistics from; None: all.

        Raises:
            ValueError: F isn't what was fitted, or (per-video kinds) a value isn't finite.
        """
        if self.kind == "none" or not len(sequence):
            return sequence.astype(np.float32)
        offset, scale = self.offset, self.scale
        if self.kind.startswith("per_video_"):
            seen = sequence if known is None else sequence[known]
            offset, scale = _Statistics.of(seen).offset_and_scale(self.kind.removeprefix("per_video_"))
        if sequence.shape[1] != len(offset):
            raise ValueError(f"{sequence.shape[1]} dimensions, fitted on {len(offset)}")
        return ((sequence - offset) / scale).astype(np.float32)

    def to_arrays(self) -> dict[str, Floats]:
        """Plain arrays, to be saved with the model."""
        return {"kind": np.array([float(KINDS.index(self.kind))]), "offset": self.offset, "scale": self.scale}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Floats]) -> "Normaliser":
        """The inverse of `to_arrays`."""
        return cls(KINDS[int(arrays["kind"][0])], arrays["offset"], arrays["scale"])


@dataclass(frozen=True)
class _Statistics:
    """Per dimension: count, extremes, mean and population variance of what has been read."""

    count: int
    low: Floats
    high: Floats
    mean: Floats
    variance: Floats

    @classmethod
    def of(cls, sequence: Floats) -> "_Statistics":
        if not np.isfinite(sequence).all():
            raise ValueError("a sequence holds values that aren't finite")
        shifted = sequence.astype(np.float64) - sequence[0]  # a constant dimension has variance 0 exactly
        mean, variance = shifted.mean(axis=0) + sequence[0], shifted.var(axis=0)
        return cls(len(sequence), sequence.min(axis=0), sequence.max(axis=0), mean, variance)

    def merge(self, other: "_Statistics") -> "_Statistics":
        """Both together, without cancellation (Chan, Golub and LeVeque, 1983)."""
        count = self.count + other.count
        share, delta = other.count / count, other.mean - self.mean
        variance = (1 - share) * self.variance + share * other.variance + share * (1 - share) * delta**2
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        return _Statistics(count, low, high, self.mean + share * delta, variance)

    def offset_and_scale(self, kind: str) -> tuple[Floats, Floats]:
        magnitude = np.maximum(np.abs(self.low), np.abs(self.high)).astype(np.float64)
        by_range = kind == "minmax"
        offset = self.low.astype(np.float64) if by_range else self.mean
        scale = self.high - offset if by_range else np.sqrt(self.variance)
        return offset, np.where(scale <= FLAT * magnitude, 1.0, scale)
