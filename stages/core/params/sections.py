"""Common types of the parameters with their valid ranges, and what several sections check."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

Positive = Annotated[float, Field(gt=0)]
SmoothingWindow = Annotated[float, Field(ge=0, le=3600)]
"""Seconds of a Hamming window, 0 for none; its taps are held in memory, hence an upper limit."""
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Functionals = Literal["mean_min_max", "mean_max", "mean_min", "mean", "min_max"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Names = Annotated[list[Name], Field(min_length=1)]
Normalisation = Literal["none", "minmax", "per_video_minmax", "standard", "per_video_standard"]
CGrid = Annotated[list[Positive], Field(min_length=1)]


def divides(heads: int, d_model: int) -> None:
    """Check that attention heads share a width evenly.

    Raises:
        ValueError: they don't.
    """
    if d_model % heads:
        raise ValueError(f"heads is {heads}, which doesn't divide d_model, {d_model}")


def known_names(key: str, names: Iterable[str], among: Iterable[str]) -> None:
    """Check that all names are known.

    Args:
        key: the parameter, for the message.
        names: its values.
        among: the known names.

    Raises:
        ValueError: a name is unknown; the message lists the known ones.
    """
    known = list(among)
    for name in names:
        if name not in known:
            raise ValueError(f"{key} names {name!r}, which is none of {', '.join(known)}")
