"""Sections of the parameters for the use of predictions, for computing, and for the app."""

from typing import Annotated, Literal

from pydantic import Field

from stages.core.params.sections import Count, Positive, SmoothingWindow
from stages.core.section import Section


class SmoothParams(Section):
    """Post-processing of every system (paper, section 4.3)."""

    window_s: SmoothingWindow


class CrossfitParams(Section):
    """Folds of validation recordings: models are selected on the others and scored on one (out of fold)."""

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
    """The interval around a trace, wide where the system is less confident (`stages.evaluation.adaptive`)."""

    coverage: Annotated[float, Field(gt=0.5, lt=1)]
    trees: Count
    depth: Count
    rate: Annotated[float, Field(gt=0, le=1)]
    min_leaf: Count
    rows: Count
    landmarks: Count
    seed: Annotated[int, Field(ge=0)]


class EvaluateParams(Section):
    """Bootstrap intervals over recordings, and the number of seeds for training the temporal model."""

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
    """Traces of `valaro predict`."""

    max_gap_s: Annotated[float, Field(ge=0)] | None


class ComputeParams(Section):
    """Where and with which library to compute; only `engine` and `precision` change results."""

    jobs: Count | None
    trainings_at_once: Count | None = 1
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
