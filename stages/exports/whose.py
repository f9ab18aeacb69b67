"""Which recording a folder of results is of, so that nobody takes or replaces those of another.

The summary's `source` has the place of the recording, as seen from the folder, a digest of its size and its
two ends, and one of all of it with the time of its last change. So results are recognised from any working
directory, and after recordings or results were moved.
"""

import hashlib
import json
import os
from enum import Enum, auto
from functools import lru_cache
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


def source_of(video: Path, folder: Path) -> dict[str, Any]:
    """What the summary in a folder of results says about the recording's identity.

    Returns:
        `path`: relative to the folder, percent-encoded, as file names may be no text; `digest`; `sha256`: of
        the whole file; `changed_ns`: the time of its last change.
    """
    way = os.path.relpath(place_of(video), place_of(folder))
    changed_ns = video.stat().st_mtime_ns
    whole = {"sha256": _sha256(place_of(video), changed_ns), "changed_ns": changed_ns}
    return {"path": quote(os.fsencode(way)), "digest": _digest(video), **whole}


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


def is_unchanged(video: Path, summary: dict[str, Any]) -> bool:
    """Whether every byte of a recording, whose results these are, is as it was.

    All of it is read only if the time of its last change differs. False if the summary doesn't say.
    """
    known = _known(summary) or {}
    try:
        if known.get("digest") != _digest(video):
            return False
        changed_ns = video.stat().st_mtime_ns
        return known.get("changed_ns") == changed_ns or known.get("sha256") == _sha256(video, changed_ns)
    except OSError:
        return False


def summary_in(folder: Path) -> dict[str, Any] | None:
    """The summary that `valaro predict` wrote into a folder of results; None where there is none.

    If the file has the frames too, `frames` is an empty dictionary.
    """
    file = folder / f"{folder.name}.json"
    try:
        state = file.stat()
        summary = _read_summary(file.absolute(), state.st_ino, state.st_size, state.st_mtime_ns)
    except (OSError, ValueError, RecursionError):
        return None
    return None if summary is None else summary.copy()


@lru_cache(maxsize=4096)
def _read_summary(file: Path, *_state: int) -> dict[str, Any] | None:
    """Remembered until the file changes, since the frames of long recordings take time."""
    summary = json.loads(file.read_bytes())
    if not isinstance(summary, dict) or "valaro" not in (summary.get("versions") or ()):
        return None
    return summary | {"frames": {}} if isinstance(summary.get("frames"), dict) else summary


def _known(summary: dict[str, Any]) -> dict[str, Any] | None:
    source = summary.get("source")
    if not isinstance(source, dict) or not all(
        isinstance(source.get(key), str) for key in ("path", "digest")
    ):
        return None
    return source


@lru_cache(maxsize=1)
def _sha256(video: Path, _changed_ns: int) -> str:
    """Of all bytes; remembered, since each person of a recording has a summary."""
    with video.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(video: Path) -> str:
    """SHA-256 of the size, the first and the last END_BYTES."""
    with video.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        found = hashlib.sha256(f"{size} ".encode())
        found.update(file.read(END_BYTES))
        file.seek(max(END_BYTES, size - END_BYTES))
        found.update(file.read(END_BYTES))
    return found.hexdigest()
