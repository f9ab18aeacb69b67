"""The files that a recording's folder may hold, by the names of their formats."""

from collections.abc import Iterable

from stages.exports.formats import FORMATS
from valaro.sources import Kind

PICTURE, FILM, PAGE = "png", "mp4", "html"
KNOWN_FORMATS = (*FORMATS, PICTURE, FILM, PAGE)
DEFAULT_FORMATS = ("csv", PICTURE, FILM)
"""Beside the summary, which is always written."""
NEEDING_PICTURES_IN_TIME = frozenset([FILM, PAGE])
NEEDING_TIME = frozenset([PICTURE])


def formats_of(kind: Kind, wanted: Iterable[str]) -> list[str]:
    """Those of the formats that make sense: film and page need a video, a curve needs more than a moment."""
    left_out = {
        "video": frozenset[str](),
        "sound": NEEDING_PICTURES_IN_TIME,
        "picture": NEEDING_PICTURES_IN_TIME | NEEDING_TIME,
    }[kind]
    return [name for name in wanted if name not in left_out]


SUFFIXES = frozenset(f".{name}" for name in KNOWN_FORMATS)
"""Of every file that a recording's folder may hold."""
