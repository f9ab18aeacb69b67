"""What is to be predicted: files, folders, and patterns become a list of recordings."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from glob import glob, has_magic
from pathlib import Path
from typing import Literal

from stages.core.errors import BadInput, ValaroError

Source = str | os.PathLike[str]
"""A file, a folder (the recordings in it, none of folders below), or a pattern such as `clips/**/*.mp4`."""
Kind = Literal["video", "picture", "sound"]

VIDEOS = frozenset(
    [
        *(".3gp", ".asf", ".avi", ".dv", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg"),
        *(".mpg", ".mts", ".mxf", ".nut", ".ogv", ".rm", ".ts", ".vob", ".webm", ".wmv"),
    ]
)
PICTURES = frozenset([".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"])
SOUNDS = frozenset([".aac", ".ac3", ".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".wma"])
"""Endings, in small letters, that make a file of a folder a recording. A file that is named may have any."""


def is_many(source: Source) -> bool:
    """Whether a source can stand for several recordings: a folder, or a pattern."""
    path = Path(source)
    return path.is_dir() or (not os.path.lexists(path) and has_magic(os.fspath(path)))


def recordings_in(sources: Iterable[Source]) -> list[Path]:
    """Every recording that the sources name, each once, in their order; those of a folder by name.

    A file that is named is in the list whether it exists or not: the code that opens it reports errors.

    Raises:
        BadInput: a folder or a pattern holds no recording.
    """
    found = dict.fromkeys(path for source in sources for path in _recordings_of(source))
    return list(found)


def _recordings_of(source: Source) -> Iterator[Path]:
    path = Path(source)
    if not is_many(source):
        yield path
        return
    if path.is_dir():
        names, problem = sorted(path.iterdir()), "holds no video, picture or sound"
    else:
        matches = glob(os.fspath(source), recursive=True)  # noqa: PTH207, a pattern may be absolute
        names, problem = sorted(map(Path, matches)), "matches no recording"
    recordings = [one for one in names if _is_recording(one)]
    if not recordings:
        endings = ", ".join(sorted(VIDEOS | PICTURES | SOUNDS))
        raise BadInput(path, problem, f"Endings taken in folders and patterns: {endings}")
    yield from recordings


def _is_recording(path: Path) -> bool:
    suffix, hidden = path.suffix.lower(), path.name.startswith(".")
    return suffix in VIDEOS | PICTURES | SOUNDS and not hidden and path.is_file()


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
    for same in by_name.values():
        if len(same) > 1:
            named = " and ".join(map(str, same))
            raise ValaroError(
                f"{named} would share the folder {out / name_of(same[0])}. Run them with different --out."
            )


def missing(recordings: Iterable[Path]) -> list[Path]:
    """Those that aren't there; found out before anything heavy is imported."""
    return [path for path in recordings if not path.exists()]
