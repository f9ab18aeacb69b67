"""Sections of the parameters for reading the videos: corpus, frames, faces, voice, speech."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from stages.core.detectors import known_detector
from stages.core.layouts import known_layout
from stages.core.params.sections import Count, Positive, Share
from stages.core.section import Section
from stages.core.voices import known_voice


class IndexParams(Section):
    """The corpus, and how strictly it is checked."""

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

MAX_FINE_RATE_HZ = 65_535


class DecodeParams(Section):
    """Frames on a regular time grid, and the waveform."""

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
    # These two have defaults so that models trained before the keys existed still load.
    audio_track: Count | None = None
    min_sound_db: Annotated[float, Field(ge=-120, le=0)] = -65.0

    @field_validator("audio_rate_hz")
    @classmethod
    def _flac_has_the_rate(cls, rate_hz: int) -> int:
        if rate_hz > MAX_FINE_RATE_HZ and rate_hz % 10:
            raise ValueError(f"{rate_hz} Hz: above {MAX_FINE_RATE_HZ} Hz, FLAC supports multiples of 10 only")
        return rate_hz

    def hearing(self) -> dict[str, Any]:
        """The audio track of a video, and the level that counts as sound."""
        return {"track": self.audio_track, "min_sound_db": self.min_sound_db}

    def limits(self) -> dict[str, Any]:
        """The limits beyond which a video is refused, before memory is allocated."""
        return {name: value for name, value in self.model_dump().items() if name in LIMITS}


class DetectionParams(Section):
    """Face detection in a picture (paper, section 4.2.2)."""

    detector: Annotated[str, AfterValidator(known_detector)]
    min_score: Share
    nms_iou: Share
    scales: Literal["many", "native"]
    batch_size: Count


class FacesParams(DetectionParams):
    """Face detection, track of the target, crops (paper, section 4.2.2)."""

    target: Literal["prominent", "first", "largest", "left", "right"] | Count
    pad_px: Annotated[float, Field(ge=0)]
    max_jump_widths: Positive
    max_jump_s: Positive
    reacquire_s: Positive
    min_motion: Positive
    min_seen_s: Positive
    jpeg_quality: Annotated[int, Field(ge=1, le=100)]

    def detection(self) -> DetectionParams:
        """The parameters of the detection only."""
        return DetectionParams(**{name: getattr(self, name) for name in DetectionParams.model_fields})


class MouthParams(Section):
    """Landmarks of the mouth, by FaceMesh on the crops."""

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
            raise ValueError(
                "backend spleeter needs spleeter_python, the Python interpreter of its environment"
            )
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
