"""What is to be predicted: files, folders, and patterns become a list of recordings."""

import json
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from glob import glob, has_magic
from pathlib import Path
from typing import Any, Literal

from stages.core.errors import BadInput, ValaroError
from stages.core.suffixes import VIDEO_SUFFIXES

Source = str | os.PathLike[str]
"""A file, a folder (the recordings in it, none of folders below), or a pattern such as `clips/**/*.mp4`."""
Kind = Literal["video", "picture", "sound"]
SHOWN = 5
"""Names shown of many."""

VIDEOS = VIDEO_SUFFIXES
PICTURES = frozenset([".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"])
SOUNDS = frozenset(
    [
        *(".aac", ".ac3", ".aif", ".aiff", ".amr", ".caf", ".flac", ".m4a", ".mka", ".mp3", ".oga", ".ogg"),
        *(".opus", ".wav", ".weba", ".wma"),
    ]
)
"""Endings, in small letters, that make a file of a folder a recording. A file that is named may have any."""


def is_many(source: Source) -> bool:
    """Whether a source can stand for several recordings: a folder, or a pattern."""
    path = Path(source)
    return _is_folder(path) or (not os.path.lexists(path) and has_magic(os.fspath(path)))


def _is_folder(path: Path) -> bool:
    """Unlike `Path.is_dir`, no error for a name that is too long or in a folder that may not be entered."""
    return os.path.isdir(path)  # noqa: PTH112


def recordings_in(sources: Iterable[Source], results: list[Path] | None = None) -> list[Path]:
    """Every recording that the sources name, each once, in their order; those of a folder by name.

    A file that is named is in the list whether it exists or not: the code that opens it reports errors. What
    an earlier run wrote, such as its film, is no recording of a folder or a pattern.

    Args:
        sources: files, folders, patterns.
        results: gets what earlier runs wrote, and would otherwise be taken for a recording.

    Raises:
        BadInput: a folder or a pattern holds no recording.
    """
    passed: dict[Path, None] = {}
    found = dict.fromkeys(path for source in sources for path in _recordings_of(source, passed))
    if results is not None:
        results += [path for path in passed if path not in found]
    return list(found)


def _recordings_of(source: Source, results: dict[Path, None]) -> Iterator[Path]:
    path = Path(source)
    if not is_many(source):
        yield path
        return
    if _is_folder(path):
        names, problem = sorted(path.iterdir()), "holds no video, picture or sound"
    else:
        matches = glob(os.fspath(source), recursive=True)  # noqa: PTH207, a pattern may be absolute
        names, problem = sorted(map(Path, matches)), "matches no recording"
    possible = [one for one in names if _is_recording(one)]
    of_runs = _results_among(possible)
    recordings = [one for one in possible if one not in of_runs]
    results |= dict.fromkeys(of_runs)
    if of_runs and not recordings:
        raise BadInput(path, f"{problem}, only results of earlier runs", "Name a result to analyse it")
    if not recordings:
        endings = ", ".join(sorted(VIDEOS | PICTURES | SOUNDS))
        raise BadInput(path, problem, f"Endings taken in folders and patterns: {endings}")
    yield from recordings


def _is_recording(path: Path) -> bool:
    suffix, hidden = path.suffix.lower(), path.name.startswith(".")
    return suffix in VIDEOS | PICTURES | SOUNDS and not hidden and os.path.isfile(path)  # noqa: PTH113, see _is_folder


def _results_among(files: Iterable[Path]) -> list[Path]:
    """Films, plots and copies that an earlier run wrote into the folder of a recording."""
    folder_of = {file: file.absolute().parent for file in files}
    named = {file: folder for file, folder in folder_of.items() if file.name.startswith(f"{folder.name}.")}
    of_runs = {folder for folder in dict.fromkeys(named.values()) if results_of(folder)}
    return [file for file, folder in named.items() if folder in of_runs]


def results_of(folder: Path) -> dict[str, Any]:
    """The summary that every run writes, from the folder of a recording; empty where there is none."""
    try:
        summary = json.loads((folder / f"{folder.name}.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return summary if isinstance(summary, dict) and "valaro" in summary.get("versions", ()) else {}


def name_of(recording: Path) -> str:
    """Name of a recording's folder and files: the file's, without its ending where that leaves a name."""
    return recording.stem if recording.stem.strip(".") else recording.name


def require_distinct(recordings: Iterable[Path], out: Path) -> None:
    """Two recordings can't share a folder (nor names that some file systems take for the same).

    Raises:
        ValaroError: two recordings have one stem.
    """
    by_name: dict[str, list[Path]] = defaultdict(list)
    for recording in recordings:
        by_name[unicodedata.normalize("NFC", name_of(recording)).casefold()].append(recording)
    shared = [
        f"{_some(' and ', [str(path) for path in same])} would share the folder {out / name_of(same[0])}"
        for same in by_name.values()
        if len(same) > 1
    ]
    if shared:
        raise ValaroError(f"{_some('; ', shared)}. Run them with different --out.")


def _some(between: str, named: list[str]) -> str:
    """A few of them, and how many more there are."""
    more = [f"{len(named) - SHOWN} more"] if len(named) > SHOWN else []
    return between.join([*named[:SHOWN], *more])


def missing(recordings: Iterable[Path]) -> list[Path]:
    """Those that aren't there; found out before anything heavy is imported."""
    return [path for path in recordings if _is_missing(path)]


def _is_missing(path: Path) -> bool:
    try:
        path.stat()
    except PermissionError:  # of its folder; the code that opens it says so
        return False
    except OSError:
        return True
    return False
