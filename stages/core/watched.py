"""The folders of a corpus that DVC watches: after a change elsewhere nothing would run again."""

import os
from collections.abc import Iterable
from pathlib import Path

from stages.core.errors import ValaroError
from stages.core.params import IndexParams

FOLDERS = {"videos": "folder of videos", "annotations": "folder of annotations", "lists": "folder of lists"}
"""Parameters of the section `index` that name the folders, as in `dvc.yaml`, and what each folder is."""


def watched_folders(settings: IndexParams) -> dict[str, Path]:
    """Parameter, a key of FOLDERS -> its folder. Every layout needs all of them, since DVC does.

    Raises:
        ValaroError: one of them isn't there.
    """
    folders = {name: Path(settings.corpus) / str(getattr(settings, name)) for name in FOLDERS}
    for name, folder in folders.items():
        if not folder.is_dir():
            raise ValaroError(
                f"{folder}: no such {FOLDERS[name]}. Set index.corpus and index.{name}; "
                "`.` is the whole corpus."
            )
    return folders


def require_watched(settings: IndexParams, files: Iterable[Path]) -> None:
    """Refuse files of the corpus that none of its watched folders has.

    Args:
        settings: the section `index`.
        files: files that the index reads, as paths below `index.corpus`.

    Raises:
        ValaroError: names the first of them.
    """
    folders = {_plain(folder) for folder in watched_folders(settings).values()}
    for file in files:
        if folders.isdisjoint(_plain(file).parents):
            values = ", ".join(f"index.{name} ({getattr(settings, name)})" for name in FOLDERS)
            raise ValaroError(
                f"{file}: in none of {values}, so `dvc repro` wouldn't notice a change of it. "
                "Set index.annotations and index.lists to `.`, the whole corpus."
            )


def _plain(path: Path) -> Path:
    """The path without `.` and `..`; links stay as they are."""
    return Path(os.path.normpath(path))
