"""Search a corpus' folder for videos, texts and other files. Folders of cropped faces are skipped.

Links are followed, also to folders (batches are often on several disks); a folder reached twice is searched
once. Aff-Wild2 comes with about 2.8 million cropped faces, so the search leaves a folder that seems to have
pictures only.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from stages.core.suffixes import LABEL_SUFFIX, PICTURE_SUFFIXES, VIDEO_SUFFIXES

CROPS = "cropped"  # begins the names of the organisers' folders of faces
PICTURES_SEEN = 50
"""A folder that begins with so many pictures and nothing else is assumed to have pictures only."""
_SKIPPED = ("__MACOSX",)  # of archives made on macOS


@dataclass
class Files:
    """The files below a folder, sorted, without hidden ones.

    Args:
        videos: files with the suffix of a video.
        texts: files with the suffix `.txt`, in any case.
        others: neither these nor pictures.
    """

    videos: list[Path] = field(default_factory=list)
    texts: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)


def files_below(folder: Path) -> Files:
    """Search a folder (see the module); files and folders that can't be accessed are left out."""
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
    """Names of the files that aren't pictures, and of the folders to search."""
    files: list[str] = []
    folders: list[str] = []
    pictures = 0
    for entry in entries:
        name = entry.name
        if name.startswith(".") or name in _SKIPPED:
            continue
        if Path(name).suffix.lower() in PICTURE_SUFFIXES:
            pictures += 1
            if pictures >= PICTURES_SEEN and not files and not folders:
                return [], []
        elif (kind := _kind(entry)) == "folder":
            if not name.lower().startswith(CROPS):
                folders.append(name)
        elif kind == "file":
            files.append(name)
    return files, folders


def _kind(entry: "os.DirEntry[str]") -> str:
    """Whether it is a "file" or a "folder"; "" for others, and for a link that leads nowhere."""
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else ""
    except OSError:  # a link to itself, or to a folder that may not be entered
        return ""
