"""The parameters: one typed section per concern, checked before any work.

`params.yaml` holds the active profile; `profiles/` the complete, commented ones. Unknown keys are refused
and an error names the key, the value and what is legal.
"""

from collections.abc import Iterable
from pathlib import Path
from reprlib import Repr
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from stages.core.detectors import known_detector
from stages.core.errors import ValaroError
from stages.core.former_params import upgraded
from stages.core.layouts import known_layout
from stages.core.optimisation import MixedPrecision, OptimSettings
from stages.core.voices import known_voice
from stages.core.yaml_text import read_yaml

PARAMS_FILE = Path("params.yaml")

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Functionals = Literal["mean_min_max", "mean_max", "mean_min", "mean", "min_max"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Names = Annotated[list[Name], Field(min_length=1)]
Normalisation = Literal["none", "minmax", "per_video_minmax", "standard", "per_video_standard"]
CGrid = Annotated[list[Positive], Field(min_length=1)]


class Section(BaseModel):
    """A section of params.yaml: no unknown keys, no changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class IndexParams(Section):
    """Which corpus, and how strictly it is read (SYSTEM: corpus)."""

    corpus: str
    layout: Annotated[str, AfterValidator(known_layout)] = "affwild2"
    table: str = "corpus.csv"
    videos: str
    annotations: str
    lists: str
    test_list: str | None
    group_parts: bool
    on_bad_input: Literal["warn", "fail"]
    count_frames: Literal["packets", "decoding"]
    max_label_surplus: Share
    max_label_surplus_frames: Annotated[int, Field(ge=0)]


LIMITS = ("max_pixels", "max_duration_s", "max_frames", "max_audio_samples", "max_jpeg_bytes", "max_gap_s")


class DecodeParams(Section):
    """Frames on an exact grid, and the waveform."""

    fps_hz: Annotated[float, Field(gt=0, le=120)]
    audio_rate_hz: Annotated[int, Field(ge=8000, le=192_000)]
    max_side_px: Annotated[int, Field(ge=64)] | None
    keep_frames: bool
    jpeg_quality: Annotated[int, Field(ge=1, le=100)]
    max_pixels: Count
    max_duration_s: Positive
    max_frames: Count
    max_audio_samples: Count
    max_jpeg_bytes: Count
    max_gap_s: Positive
    # These two have defaults for the sake of models trained before there were these keys.
    audio_track: Count | None = None
    min_sound_db: Annotated[float, Field(ge=-120, le=0)] = -65.0

    def hearing(self) -> dict[str, Any]:
        """Which sound of a video is taken, and what counts as sound."""
        return {"track": self.audio_track, "min_sound_db": self.min_sound_db}

    def limits(self) -> dict[str, Any]:
        """What of a video is refused, before more than that is allocated."""
        return {name: value for name, value in self.model_dump().items() if name in LIMITS}


class DetectionParams(Section):
    """What decides the faces that are found in a picture (paper, section 4.2.2)."""

    detector: Annotated[str, AfterValidator(known_detector)]
    min_score: Share
    nms_iou: Share
    scales: Literal["many", "native"]
    batch_size: Count


class FacesParams(DetectionParams):
    """Face detection, the target's track, crops (paper, section 4.2.2)."""

    target: Literal["prominent", "first", "largest", "left", "right"] | Count
    pad_px: Annotated[float, Field(ge=0)]
    max_jump_widths: Positive
    max_jump_s: Positive
    reacquire_s: Positive
    min_motion: Positive
    min_seen_s: Positive
    jpeg_quality: Annotated[int, Field(ge=1, le=100)]

    def detection(self) -> DetectionParams:
        """Those that decide which faces are found, whosever they are."""
        return DetectionParams(**{name: getattr(self, name) for name in DetectionParams.model_fields})


class MouthParams(Section):
    """FaceMesh on the crops."""

    min_confidence: Share


class VoiceParams(Section):
    """Separation of the voice (paper, section 4.2.1)."""

    backend: Annotated[str, AfterValidator(known_voice)]
    rate_hz: Annotated[int, Field(ge=8000, le=48_000)]
    spleeter_model: Literal["2stems", "4stems", "5stems"]
    spleeter_mask_extension: Literal["zeros", "average"]
    spleeter_precision: Literal["float32", "bfloat16"]
    spleeter_python: str | None

    @model_validator(mode="after")
    def _the_original_needs_its_python(self) -> "VoiceParams":
        if self.backend == "spleeter" and not self.spleeter_python:
            raise ValueError("backend spleeter needs spleeter_python, the interpreter of its environment")
        return self


class SpeechParams(Section):
    """Mouth-based voice activity and audio windows (paper, section 4.2.1)."""

    rule: Literal["authors", "motion"]
    open_window_s: Positive
    min_mouth_motion: Annotated[float, Field(ge=0)]
    max_closure_s: Annotated[float, Field(ge=0)]
    min_run_s: Positive
    window_s: Positive
    hop_s: Positive
    inference_hop_s: Positive


class Augmentation(Section):
    """Image augmentation: each named one with this probability, independently."""

    probability: Share
    names: list[str]


class Statistics(Section):
    """Mean and standard deviation of red, green and blue in [0, 1], as a backbone's weights want them."""

    mean: tuple[float, float, float]
    std: tuple[Positive, Positive, Positive]


class BackboneParams(Section):
    """One static model of the comparison (paper, section 3.2.1, table 3)."""

    architecture: str
    input: Literal["face", "square", "frame", "person"]
    image_size: Annotated[int, Field(ge=32, le=1024)]
    weights: str | None
    options: dict[str, Any]
    pixels: Literal["imagenet", "grey"] = "imagenet"
    statistics: Statistics | None = None
    """Of the pixels. None: those of the weights' own configuration; drawn at random, ImageNet's."""
    mirror: bool = False


class BatchAugmentation(Section):
    """Augmentation of whole batches of small pictures in memory: how strong, or how often, each change is.

    Strengths are standard deviations of normal draws; of scale, aspect, gamma and contrast those of their
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
        """All strengths and probabilities by this factor; but a mirror image distorts nothing, and stays."""
        kept = {"flip_probability", "small_face_px"}
        return self.model_copy(
            update={name: factor * value for name, value in dict(self).items() if name not in kept}
        )


class Phase(Section):
    """Some epochs of pre-training that differ from the rest."""

    epochs: Count
    image_size: Annotated[int, Field(ge=16)] | None
    """Pictures are scaled to this many pixels, after augmentation; None: the model's own size."""
    augmentation: Annotated[float, Field(ge=0, le=1)]
    """What the strengths and probabilities of `batch_augmentation` are multiplied by."""


class PretrainParams(Section):
    """Pre-training of the static models on images of other corpora (paper, section 3.2.1, table 1)."""

    corpora: str
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
            raise ValueError("batch_augmentation needs in_memory: true, pictures of one size")
        if self.batch_augmentation and self.augmentation.names:
            raise ValueError("augmentation.names must be [] beside batch_augmentation: one or the other")
        if self.phases and not self.batch_augmentation:
            raise ValueError("phases need batch_augmentation: they change whole batches")
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
        _known("compare", self.compare, self.backbones)
        return self


class EmbedParams(Section):
    """Embedding extraction, by one of the static models."""

    backbone: Name
    folds: Annotated[int, Field(ge=0)]
    batch_size: Count
    mixed_precision: MixedPrecision
    compile: bool

    @model_validator(mode="after")
    def _one_fold_is_none(self) -> "EmbedParams":
        if self.folds == 1:
            raise ValueError("folds is 1: 0 for none, or 2 and more")
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
    validation_smooth_s: Annotated[float, Field(ge=0)]
    optimisation: OptimSettings


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
    validation_smooth_s: Annotated[float, Field(ge=0)]
    seed: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _compare_what_goes_on(self) -> "KelmParams":
        _known("functionals", [self.functionals], self.compare)
        return self


class WaveAugmentation(Section):
    """Augmentation of waveforms after normalisation, each with its own probability."""

    polarity: Share
    noise: Share
    noise_snr_db: tuple[float, float]
    volume: Share
    volume_db: tuple[float, float]


class AudioVersion(Section):
    """One audio model of the comparison (paper, section 3.1, table 2)."""

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
        _known("compare", self.compare, self.versions)
        _known("version", [self.version], self.compare)
        return self


class CrossAttentionParams(Section):
    """Model-based fusion: audio and visual features attend to one another (paper, section 3.3)."""

    window_s: Positive
    d_model: Count
    heads: Count
    dropout: Share
    aggregation: Literal["stp", "mean", "concat"]
    silence: Literal["speaking_mean", "as_heard"]
    normalisation: Literal["none", "minmax", "standard"]
    batch_size: Count
    validation_smooth_s: Annotated[float, Field(ge=0)]
    optimisation: OptimSettings


class SmoothParams(Section):
    """Post-processing of every system (paper, section 4.3)."""

    window_s: Annotated[float, Field(ge=0)]


class CrossfitParams(Section):
    """Folds of validation recordings: what is picked on the others is scored on one (out of fold)."""

    folds: Annotated[int, Field(ge=2)]
    seed: Annotated[int, Field(ge=0)]


class FuseParams(Section):
    """Late fusion (paper, section 3.3)."""

    draws: Count
    refine: bool
    per_target: bool
    trees: Annotated[list[Count], Field(min_length=1)]
    min_leaf: Annotated[list[Count], Field(min_length=1)]
    max_samples: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)]
    rows_hz: Positive | None
    speaking_window_s: Positive
    folds: Annotated[int, Field(ge=3)]
    seed: Annotated[int, Field(ge=0)]


class IntervalParams(Section):
    """The interval around a trace, wide where the system is unsure (`stages.evaluation.adaptive`)."""

    coverage: Annotated[float, Field(gt=0.5, lt=1)]
    ridge: Annotated[float, Field(ge=0)]
    landmarks: Count
    folds: Annotated[int, Field(ge=2)]
    seed: Annotated[int, Field(ge=0)]


class EvaluateParams(Section):
    """Bootstrap intervals over recordings, and how many seeds the temporal model is trained with."""

    seeds: Count
    resamples: Annotated[int, Field(ge=100)]
    confidence: Annotated[float, Field(gt=0, lt=1)]
    seed: Annotated[int, Field(ge=0)]


class SubmissionParams(Section):
    """The organisers' CSV for the test split."""

    system: str
    refit: Literal["none", "train+validation"]
    sample_file: str | None


class PredictParams(Section):
    """What `valaro predict` makes of a trace."""

    max_gap_s: Annotated[float, Field(ge=0)] | None


class ComputeParams(Section):
    """Where the work is done, and by which library: results differ by `engine` and `precision` alone."""

    jobs: Count | None
    backend: Literal["local", "dask", "ray"]
    address: str | None
    unit_time_limit_s: Positive | None
    engine: Literal["auto", "torch", "openvino"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"


class AppParams(Section):
    """The page of `valaro app`."""

    port: Annotated[int, Field(ge=0, le=65535)] = 8642
    max_upload_bytes: Count = 4_000_000_000
    max_recordings: Count = 100
    live_fps_hz: Annotated[float, Field(gt=0, le=30)] = 5.0


class Params(Section):
    """All of params.yaml."""

    index: IndexParams
    decode: DecodeParams
    faces: FacesParams
    mouth: MouthParams
    voice: VoiceParams
    speech: SpeechParams
    pretrain: PretrainParams
    finetune: FinetuneParams
    embed: EmbedParams
    dynamic: DynamicParams
    kelm: KelmParams
    audio: AudioParams
    cross_attention: CrossAttentionParams
    smooth: SmoothParams
    crossfit: CrossfitParams
    fuse: FuseParams
    intervals: IntervalParams
    evaluate: EvaluateParams
    submission: SubmissionParams
    predict: PredictParams
    compute: ComputeParams
    app: AppParams = AppParams()

    @model_validator(mode="after")
    def _fit_together(self) -> "Params":
        steps = self.dynamic.window_s * self.decode.fps_hz
        if steps < 2:
            raise ValueError(f"dynamic.window_s × decode.fps_hz is {steps:g} steps; at least 2 are needed")
        _known("embed.backbone", [self.embed.backbone], self.finetune.compare)
        return self


def _known(key: str, names: Iterable[str], among: Iterable[str]) -> None:
    """Refuse names that aren't described.

    Raises:
        ValueError: the first that isn't, and what could stand there.
    """
    known = list(among)
    for name in names:
        if name not in known:
            raise ValueError(f"{key} names {name!r}, which is none of {', '.join(known)}")


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check a parameter file, of this version or an earlier one (`stages.core.former_params`).

    Raises:
        ValaroError: the file is missing, isn't YAML, or holds a value that isn't legal.
    """
    content = upgraded(read_yaml(path)).content
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise ValaroError(f"{path}: {explain(error)}") from None


_WORDS = (
    ("Value error, ", ""),
    ("Input should be a valid integer", "must be an integer"),
    ("Input should be a valid ", "must be a "),
    ("Input should be ", "must be "),
    ("Extra inputs are not permitted", "no such parameter"),
    ("Field required", "is missing"),
)


def _plain(message: str) -> str:
    """A message of Pydantic's in the words of somebody who edits params.yaml."""
    if message.startswith("Input should be a valid dictionary"):
        return "must be a section of keys and values"
    for technical, plain in _WORDS:
        message = message.replace(technical, plain)
    return message


_SHORT = Repr()
"""A few kilobytes of YAML, whose aliases name aliases, can stand for a value of terabytes."""
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 80, 80


def explain(error: ValidationError) -> str:
    """One line per fault: key, what is legal, the value."""
    faults = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"]) or "parameters"
        said = _plain(fault["msg"])
        whole_section = fault["type"] == "missing" or isinstance(fault["input"], dict)
        faults.append(
            f"{key}: {said}" if whole_section else f"{key}: {said} (now {_SHORT.repr(fault['input']):.80})"
        )
    return "; ".join(faults) + "."
