"""Sections of the parameters for training: the static models, and the systems on embeddings and voice."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from stages.core.optimisation import MixedPrecision, OptimSettings
from stages.core.params.sections import (
    CGrid,
    Count,
    Functionals,
    Name,
    Names,
    Normalisation,
    Positive,
    Share,
    SmoothingWindow,
    divides,
    known_names,
)
from stages.core.section import Section


class Augmentation(Section):
    """Image augmentation: each of these, independently, with this probability."""

    probability: Share
    names: list[str]


class Statistics(Section):
    """Mean and standard deviation of red, green and blue in [0, 1], which normalise a backbone's input."""

    mean: tuple[float, float, float]
    std: tuple[Positive, Positive, Positive]


class BackboneParams(Section):
    """A static model (paper, section 3.2.1, table 3)."""

    architecture: str
    input: Literal["face", "square", "frame", "person"]
    image_size: Annotated[int, Field(ge=32, le=1024)]
    weights: str | None
    options: dict[str, Any]
    pixels: Literal["imagenet", "grey"] = "imagenet"
    statistics: Statistics | None = None
    """Of the pixels. None: those of the pretrained weights; for random weights, those of ImageNet."""
    mirror: bool = False


class BatchAugmentation(Section):
    """Augmentation of whole batches of small pictures in memory: strength or probability of each change.

    Strengths are standard deviations of normal distributions; for scale, aspect, gamma and contrast, of their
    logarithm.
    """

    scale: Annotated[float, Field(ge=0, le=1)]
    aspect: Annotated[float, Field(ge=0, le=1)]
    shift: Share
    rotation_deg: Annotated[float, Field(ge=0, le=180)]
    flip_probability: Share
    gamma: Annotated[float, Field(ge=0, le=2)]
    contrast: Annotated[float, Field(ge=0, le=2)]
    brightness: Share
    side_light: Share
    small_face_probability: Share
    small_face_px: Annotated[int, Field(ge=4)]
    blur_probability: Share
    noise_probability: Share
    jpeg_probability: Share
    erase_probability: Share

    def times(self, factor: float) -> "BatchAugmentation":
        """Multiply strengths and probabilities by a factor; mirroring distorts nothing and stays as it is."""
        kept = {"flip_probability", "small_face_px"}
        return self.model_copy(
            update={name: factor * value for name, value in dict(self).items() if name not in kept}
        )


class Phase(Section):
    """A phase of pre-training with its own parameters."""

    epochs: Count
    image_size: Annotated[int, Field(ge=16)] | None
    """Size of the pictures in pixels, after augmentation; None: that of the model."""
    augmentation: Annotated[float, Field(ge=0, le=1)]
    """Factor on the strengths and probabilities of `batch_augmentation`."""


class PretrainParams(Section):
    """Pre-training of the static models on images of other corpora (paper, section 3.2.1, table 1)."""

    corpora: str
    start: str | None
    validation_share: Annotated[float, Field(gt=0, lt=1)]
    frames_hz: Positive
    batch_size: Count
    max_images_per_epoch: Count | None
    max_validation_images: Count | None
    in_memory: bool
    emotion_labels: Literal["majority", "votes"]
    derive_valence_arousal: bool
    class_weights: Literal["balanced", "equal"]
    regression_loss: Literal["log_cosh", "ccc"]
    emotion_weight: Annotated[float, Field(ge=0)]
    focal_gamma: Annotated[float, Field(ge=0)]
    augmentation: Augmentation
    batch_augmentation: BatchAugmentation | None
    phases: list[Phase]
    optimisation: OptimSettings

    @model_validator(mode="after")
    def _batches_are_changed_in_memory(self) -> "PretrainParams":
        if self.batch_augmentation and not self.in_memory:
            raise ValueError("batch_augmentation needs in_memory: true, for pictures of one size")
        if self.batch_augmentation and self.augmentation.names:
            raise ValueError(
                "augmentation.names must be [] with batch_augmentation: only one of them is used"
            )
        if self.phases and not self.batch_augmentation:
            raise ValueError("phases need batch_augmentation")
        return self


class FinetuneParams(Section):
    """The static models (paper, sections 3.2.1 and 4.4)."""

    compare: Names
    backbones: dict[Name, BackboneParams]
    dropout: Share
    tanh_output: bool
    batch_size: Count
    images_at_once: Count | None
    max_frames_per_epoch: Count | None
    frozen_draws: Count | None
    augmentation: Augmentation
    optimisation: OptimSettings

    @model_validator(mode="after")
    def _compare_what_is_described(self) -> "FinetuneParams":
        known_names("compare", self.compare, self.backbones)
        return self


class EmbedParams(Section):
    """Extraction of embeddings, by one of the static models."""

    backbone: Name
    folds: Annotated[int, Field(ge=0)]
    batch_size: Count
    mixed_precision: MixedPrecision
    compile: bool
    mirrored: bool

    @model_validator(mode="after")
    def _one_fold_is_none(self) -> "EmbedParams":
        if self.folds == 1:
            raise ValueError("folds is 1, must be 0 (none) or at least 2")
        return self


class DynamicParams(Section):
    """The temporal model on embeddings (paper, section 3.2.2)."""

    kind: Literal["transformer", "gru"]
    window_s: Positive
    normalisation: Normalisation
    missing: Literal["mask", "input", "as_seen"]
    layers: Count
    d_model: Count
    heads: Count
    dropout: Share
    batch_size: Count
    validation_smooth_s: SmoothingWindow
    optimisation: OptimSettings

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> "DynamicParams":
        if self.kind == "transformer":
            divides(self.heads, self.d_model)
        return self


class KelmParams(Section):
    """Functionals and the kernel extreme learning machine (paper, section 3.2.2, eq. 1)."""

    compare: Annotated[list[Functionals], Field(min_length=1)]
    functionals: Functionals
    window_s: Positive
    standardise: bool
    kernel: Literal["linear", "rbf"]
    c: CGrid
    gamma_scale: CGrid
    choose_on: Literal["train", "validation"]
    folds: Annotated[int, Field(ge=2)]
    max_exact_windows: Count
    landmarks: Count
    validation_smooth_s: SmoothingWindow
    seed: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _compare_what_goes_on(self) -> "KelmParams":
        known_names("functionals", [self.functionals], self.compare)
        return self


class WaveAugmentation(Section):
    """Augmentation of waveforms after normalisation, with a probability for each change."""

    polarity: Share
    noise: Share
    noise_snr_db: tuple[float, float]
    volume: Share
    volume_db: tuple[float, float]


class AudioVersion(Section):
    """An audio model (paper, section 3.1, table 2)."""

    trainable_layers: Literal["all"] | Annotated[int, Field(ge=0)]
    heads: tuple[Count, Count]
    gru_features: Count | None
    fc_features: list[Count]


class AudioParams(Section):
    """The audio models: wav2vec 2.0 and a head (paper, section 3.1)."""

    compare: Annotated[list[Literal["v1", "v2", "v3"]], Field(min_length=1)]
    version: Literal["v1", "v2", "v3"]
    versions: dict[Literal["v1", "v2", "v3"], AudioVersion]
    backbone: str | dict[str, Any]
    normalisation: Literal["window", "recording"]
    batch_size: Count
    augmentation: WaveAugmentation
    optimisation: OptimSettings

    @model_validator(mode="after")
    def _compare_what_is_described(self) -> "AudioParams":
        known_names("compare", self.compare, self.versions)
        known_names("version", [self.version], self.compare)
        return self


class CrossAttentionParams(Section):
    """Model-based fusion: cross-attention of audio and visual features (paper, section 3.3)."""

    window_s: Positive
    d_model: Count
    heads: Count
    dropout: Share
    aggregation: Literal["stp", "mean", "concat"]
    silence: Literal["speaking_mean", "as_heard"]
    normalisation: Literal["none", "minmax", "standard"]
    batch_size: Count
    validation_smooth_s: SmoothingWindow
    optimisation: OptimSettings

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> "CrossAttentionParams":
        divides(self.heads, self.d_model)
        return self
