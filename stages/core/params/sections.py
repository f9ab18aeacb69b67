"""What every section of the parameters is made of: types with their legal range, and the section itself."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

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


def known_names(key: str, names: Iterable[str], among: Iterable[str]) -> None:
    """Refuse names that aren't described.

    Raises:
        ValueError: the first that isn't, and what could stand there.
    """
    known = list(among)
    for name in names:
        if name not in known:
            raise ValueError(f"{key} names {name!r}, which is none of {', '.join(known)}")
