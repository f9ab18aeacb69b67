"""What is to be predicted: files, folders, and patterns become a list of recordings."""

import os
from collections.abc import Iterable, Iterator
from glob import glob, has_magic
from pathlib import Path
from typing import Literal

from stages.core.errors import BadInput
from stages.core.suffixes import VIDEO_SUFFIXES
from stages.exports.whose import place_of, summary_in
from valaro.recordings.formats import SUFFIXES

Source = str | os.PathLike[str]
"""A file, a folder, or a pattern such as `clips/**/*.mp4`."""
Kind = Literal["video", "picture", "sound"]

VIDEOS = VIDEO_SUFFIXES
PICTURES = frozenset([".bmp", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"])
SOUNDS = frozenset(
    [
        *(".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".au", ".caf", ".flac", ".m4a", ".mka", ".mp3"),
        *(".oga", ".ogg", ".opus", ".snd", ".w64", ".wav", ".weba", ".wma"),
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


def recordings_in(
    sources: Iterable[Source], results: list[Path] | None = None, *, recursive: bool = False
) -> list[Path]:
    """Every recording that the sources name, each once, in their order; those of a folder by name.

    A file that is named is in the list whether it exists or not: the code that opens it reports errors. What
    an earlier run wrote, such as its film, is left out: the shell may have named it, for a pattern. It is
    analysed if nothing but such files is named.

    Args:
        sources: files, folders, patterns.
        results: gets what earlier runs wrote, and would otherwise be taken for a recording.
        recursive: search folders below a folder, too.

    Raises:
        BadInput: a folder or a pattern holds no recording.
    """
    named, found, of_runs = list(sources), dict[Path, Path](), dict[Path, None]()
    for source in named:
        for path in _recordings_of(source, recursive=recursive):
            place = place_of(path)  # one file may be named in several ways
            if _is_folder(path) or _is_result(path):
                of_runs[path] = None
            elif place not in found or place == path.absolute():
                found[place] = path
    if of_runs and not found:
        if many := [source for source in named if is_many(source)]:
            raise BadInput(Path(many[0]), "holds only results of earlier runs", "Name a result to analyse it")
        return list(of_runs)
    if results is not None:
        results += of_runs
    return list(found.values())


def _recordings_of(source: Source, *, recursive: bool) -> Iterator[Path]:
    """Recordings and results; for a folder of results that has neither, the folder."""
    path = Path(source)
    if not is_many(source):
        yield path
        return
    if _is_folder(path):
        named, problem = sorted(path.iterdir()), "holds no video, picture or sound"
        problem += "" if recursive else " (--recursive searches the folders in it, too)"
    else:
        matches = glob(os.fspath(source), recursive=True)  # noqa: PTH207, a pattern may be absolute
        named, problem = sorted(map(Path, matches)), "matches no recording"
    found = _with_those_below(named, set()) if recursive else iter(named)
    recordings = [one for one in found if _is_recording(one)]
    if not recordings:
        if _is_folder(path) and any(summary_in(one) is not None for one in named):
            yield path
            return
        endings = ", ".join(sorted(VIDEOS | PICTURES | SOUNDS))
        raise BadInput(path, problem, f"Endings taken in folders and patterns: {endings}")
    yield from recordings


def _with_those_below(paths: list[Path], seen: set[tuple[int, int]]) -> Iterator[Path]:
    """Files, and those in folders, by name; links to folders are followed, each folder is searched once."""
    for path in paths:
        if not _is_folder(path):
            yield path
        elif not path.name.startswith("."):
            known = path.stat()
            if (known.st_dev, known.st_ino) not in seen:
                seen.add((known.st_dev, known.st_ino))
                yield from _with_those_below(sorted(path.iterdir()), seen)


def _is_result(path: Path) -> bool:
    """Whether `valaro predict` wrote the file."""
    folder = path.absolute().parent
    ours = any(path.name == f"{folder.name}{suffix}" for suffix in SUFFIXES)
    return ours and summary_in(folder) is not None


def _is_recording(path: Path) -> bool:
    suffix, hidden = path.suffix.lower(), path.name.startswith(".")
    return suffix in VIDEOS | PICTURES | SOUNDS and not hidden and os.path.isfile(path)  # noqa: PTH113, see _is_folder


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
