"""The base class of every section of the parameters."""

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Section(BaseModel):
    """A section of params.yaml: without unknown keys, immutable; its numbers are finite."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        defer_build=True,  # until something is read: workers get parameters that have been
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_flag_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Pydantic takes true, which YAML also reads from `yes` and `on`, for 1."""
        if isinstance(value, bool) and not _takes_flags(cls.model_fields[str(info.field_name)].annotation):
            raise ValueError("must be no flag (yes, no, on, off, true, false)")
        return value


def _takes_flags(annotation: Any) -> bool:
    return annotation is bool or any(_takes_flags(part) for part in get_args(annotation))
