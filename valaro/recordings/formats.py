"""The files that a recording's folder may hold, by the names of their formats."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from stages.exports.formats import FORMATS

if TYPE_CHECKING:
    from valaro.sources import Kind

PICTURE, FILM, PAGE = "png", "mp4", "html"
COPY = "playable.mp4"
"""Beside a page without a film: a copy of a video that not every browser plays."""
ABAW, SUBMISSION = "abaw", "submission.csv"
ABOUT: Mapping[str, str] = {
    **{name: each.about for name, each in FORMATS.items()},
    PICTURE: "the curves",
    FILM: "the video with face box and curves",
    PAGE: "a page with video, curves and faces",
    ABAW: f"all recordings as the challenge wants them, DIR/{SUBMISSION}",
}
"""What each format is, for people."""
KNOWN_FORMATS = (*FORMATS, PICTURE, FILM, PAGE)
OF_TRACE = frozenset([*FORMATS, PICTURE])
"""Those that need nothing but the trace; the others need the recording and its faces."""
DEFAULT_FORMATS = ("csv", PICTURE, FILM)
"""Beside the summary, which is always written."""
NEEDING_PICTURES_IN_TIME = frozenset([FILM, PAGE])
NEEDING_TIME = frozenset([PICTURE])


def listed(names: Iterable[str]) -> str:
    """Formats and what they are, for the help."""
    return ", ".join(f"{name} ({ABOUT[name]})" for name in names)


def formats_of(kind: "Kind", wanted: Iterable[str]) -> list[str]:
    """Those of the formats that make sense: film and page need a video, a curve needs more than a moment."""
    left_out = {
        "video": frozenset[str](),
        "sound": NEEDING_PICTURES_IN_TIME,
        "picture": NEEDING_PICTURES_IN_TIME | NEEDING_TIME,
    }[kind]
    return [name for name in wanted if name not in left_out]


TRACE = ".valaro-trace.h5"
"""In a recording's folder, what `resume` reads its trace from; it isn't for people."""
SUFFIXES = frozenset(f".{name}" for name in (*KNOWN_FORMATS, COPY))
"""Of every file that a recording's folder may hold."""
