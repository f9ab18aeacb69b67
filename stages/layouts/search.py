"""The files below a corpus' folder: videos, texts, others. Folders of cropped faces are skipped.

Links are followed, to folders too (a disk for every batch is common), and a loop of links is walked once.
Aff-Wild2 comes with some 2.8 million cropped faces: no folder is read to its end once it is clear that it
holds pictures and nothing else.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from stages.core.suffixes import LABEL_SUFFIX, PICTURE_SUFFIXES, VIDEO_SUFFIXES

CROPS = "cropped"  # the organisers' folders of faces begin so
PICTURES_SEEN = 50
"""After so many pictures, and nothing else, the rest of a folder is assumed to be pictures too."""
_PASSED_BY = ("__MACOSX",)  # of archives made on macOS


@dataclass
class Files:
    """What lies below a folder, sorted, hidden files left out.

    Args:
        videos: by their endings.
        texts: `.txt` in any case.
        others: neither these nor pictures.
    """

    videos: list[Path] = field(default_factory=list)
    texts: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)


def files_below(folder: Path) -> Files:
    """Walk a folder (see the module); files that can't be reached are left out."""
    found = Files()
    for path in sorted(_walk(folder, set())):
        suffix = path.suffix.lower()
        kind = (
            found.videos
            if suffix in VIDEO_SUFFIXES
            else found.texts
            if suffix == LABEL_SUFFIX
            else found.others
        )
        kind.append(path)
    return found


def _walk(folder: Path, visited: set[tuple[int, int]]) -> Iterator[Path]:
    try:
        status = folder.stat()
        with os.scandir(folder) as entries:
            if (status.st_dev, status.st_ino) in visited:
                return
            visited.add((status.st_dev, status.st_ino))
            files, folders = _entries(entries)
    except OSError:
        return
    yield from (folder / name for name in files)
    for name in sorted(folders):
        yield from _walk(folder / name, visited)


def _entries(entries: Iterator["os.DirEntry[str]"]) -> tuple[list[str], list[str]]:
    """Names of the files that aren't pictures, and of the folders worth a look."""
    files: list[str] = []
    folders: list[str] = []
    pictures = 0
    for entry in entries:
        name = entry.name
        if name.startswith(".") or name in _PASSED_BY:
            continue
        if Path(name).suffix.lower() in PICTURE_SUFFIXES:
            pictures += 1
            if pictures >= PICTURES_SEEN and not files and not folders:
                return [], []
        elif entry.is_dir():
            if not name.lower().startswith(CROPS):
                folders.append(name)
        elif entry.is_file():
            files.append(name)
    return files, folders
