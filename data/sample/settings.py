"""Settings of the sample corpus: read from params.yaml, checked before any work."""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stages.core.errors import BadInput

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
Range = tuple[float, float]
WIDEST_FACE = 0.45
"""Widest face over the frame's height at which the hair still fits into the picture."""


class ClipCounts(BaseModel):
    """Videos per split."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    train: Annotated[int, Field(ge=1, le=200)]
    validation: Annotated[int, Field(ge=1, le=200)]
    test: Annotated[int, Field(ge=1, le=200)]


class Settings(BaseModel):
    """All that the generator may vary; see params.yaml for the meaning of each key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: Annotated[int, Field(ge=0)]
    clips_per_split: ClipCounts
    clip_s: tuple[Annotated[float, Field(ge=4, le=120)], Annotated[float, Field(ge=4, le=120)]]
    frame_px: tuple[
        Annotated[int, Field(ge=240, multiple_of=2)], Annotated[int, Field(ge=240, multiple_of=2)]
    ]
    face_width_px: tuple[Annotated[float, Field(ge=60, le=400)], Annotated[float, Field(ge=60, le=400)]]
    snr_db: Range
    workers: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _ranges_ascend(self) -> "Settings":
        for name in ("clip_s", "face_width_px", "snr_db"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: the first value ({low}) must not exceed the second ({high})")
        if self.face_width_px[1] > (widest := WIDEST_FACE * self.frame_px[1]):
            raise ValueError(
                f"face_width_px: the second value ({self.face_width_px[1]:g}) must not exceed {widest:.0f}, "
                f"or heads will not fit into frames {self.frame_px[1]} px tall"
            )
        return self


def load_settings(file: Path) -> Settings:
    """Read and check a params.yaml.

    Raises:
        BadInput: a key is missing, unknown or out of range; names the key, the value and the legal range.
    """
    try:
        return Settings.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BadInput(file, f"{key} = {first['input']!r}: {first['msg']}", "Correct it") from error
