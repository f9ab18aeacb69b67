"""Which recording a folder of results is of, so that nobody takes or replaces those of another.

The summary's `source` has the place of the recording, as seen from the folder, and a digest of its size and
its two ends. So results are recognised from any working directory, and after recordings or results were
moved.
"""

import hashlib
import json
import os
from enum import Enum, auto
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes

END_BYTES = 1 << 16
"""Of either end of a recording: reading all of it would take as long as copying it."""


class Whose(Enum):
    """Whose results a folder holds."""

    THIS = auto()
    CHANGED = auto()
    """This recording's, whose content has changed since."""
    OTHER = auto()
    UNKNOWN = auto()
    """No results, or of an earlier version that doesn't say."""


def source_of(video: Path, folder: Path) -> dict[str, str]:
    """What the summary in a folder of results says about the recording's identity.

    Returns:
        `path`: relative to the folder, percent-encoded, as file names may be no text; `digest`.
    """
    way = os.path.relpath(place_of(video), place_of(folder))
    return {"path": quote(os.fsencode(way)), "digest": _digest(video)}


def place_of(path: Path) -> Path:
    """The absolute path, links in its folders resolved, but not the last name."""
    return Path(os.path.realpath(path.absolute().parent)) / path.name


def recording_of(folder: Path, summary: dict[str, Any]) -> Path:
    """Where the recording of a folder of results was; of an earlier version's, as it was named.

    Raises:
        KeyError: the summary doesn't say.
    """
    if (known := _known(summary)) is None:
        return Path(summary["file"])
    return Path(os.path.normpath(place_of(folder) / os.fsdecode(unquote_to_bytes(known["path"]))))


def whose(folder: Path, video: Path) -> Whose:
    """Whose results a folder holds, seen from a recording.

    A recording that isn't where it was any more is the one of equal content.
    """
    if (summary := summary_in(folder)) is None:
        return Whose.UNKNOWN
    known = _known(summary)
    try:
        if not video.is_file():
            return Whose.UNKNOWN
        unchanged = known is None or known["digest"] == _digest(video)
    except OSError:  # it may not be read
        return Whose.UNKNOWN
    try:
        same = recording_of(folder, summary).samefile(video)
    except (OSError, ValueError, KeyError, TypeError):  # it isn't there any more; no such path can be
        if known is None:
            return Whose.UNKNOWN
        same = unchanged
    if not same:
        return Whose.OTHER
    return Whose.THIS if unchanged else Whose.CHANGED


def summary_in(folder: Path) -> dict[str, Any] | None:
    """The summary that `valaro predict` wrote into a folder of results; None where there is none."""
    try:
        summary = json.loads((folder / f"{folder.name}.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    ours = isinstance(summary, dict) and "valaro" in (summary.get("versions") or ())
    return summary if ours else None


def _known(summary: dict[str, Any]) -> dict[str, str] | None:
    source = summary.get("source")
    if not isinstance(source, dict) or not all(
        isinstance(source.get(key), str) for key in ("path", "digest")
    ):
        return None
    return source


def _digest(video: Path) -> str:
    """SHA-256 of the size, the first and the last END_BYTES."""
    with video.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        found = hashlib.sha256(f"{size} ".encode())
        found.update(file.read(END_BYTES))
        file.seek(max(END_BYTES, size - END_BYTES))
        found.update(file.read(END_BYTES))
    return found.hexdigest()
