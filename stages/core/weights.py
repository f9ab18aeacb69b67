"""Pretrained weights: one table, three places to look, one hash that is always checked.

A file is looked for in the given folder (`models/pretrained/`), then in the folders of the environment
variable `VALARO_WEIGHTS`, and is downloaded into the first only if neither has it. Nothing here opens the
weights: whoever does uses `torch.load(weights_only=True)`.
"""

import hashlib
import os
import urllib.request
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from stages.core.errors import ValaroError

PRETRAINED = Path("models/pretrained")
"""Where pretrained weights lie in a repository."""
FOLDERS = "VALARO_WEIGHTS"
"""Environment variable that names further folders of weights."""
CHUNK_BYTES = 1 << 20
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Weights:
    """One published file of weights.

    Args:
        file: name of the file, wherever it lies.
        url: where it is downloaded from.
        sha256: of the whole file, in hexadecimal.
        size_bytes: length of the whole file; a round number is an upper bound.
        licence: the terms its authors publish it under.
        source: who trained it, on what.
    """

    file: str
    url: str
    sha256: str
    size_bytes: int
    licence: str
    source: str


WEIGHTS: Mapping[str, Weights] = {
    "retinaface": Weights(
        file="mobilenet0.25_Final.pth",
        # The authors publish through a file-sharing folder only; this release holds the same bytes.
        url="https://github.com/elliottzheng/face-detection/releases/download/0.0.1/mobilenet0.25_Final.pth",
        sha256="2979b33ffafda5d74b6948cd7a5b9a7a62f62b949cef24e95fd15d2883a65220",
        size_bytes=1_789_735,
        licence="MIT",
        source="github.com/biubug6/Pytorch_Retinaface, trained on WIDER FACE",
    ),
    **{
        f"spleeter_{name}": Weights(
            file=f"{name}.tar.gz",
            url=f"https://github.com/deezer/spleeter/releases/download/v1.4.0/{name}.tar.gz",
            sha256=sha256,  # as Spleeter's own tests state it
            size_bytes=size_bytes,
            licence="MIT",
            source=f"github.com/deezer/spleeter, its {name} model, trained on Deezer's own recordings",
        )
        for name, size_bytes, sha256 in (
            ("2stems", 73_109_797, "f3a90b39dd2874269e8b05a48a86745df897b848c61f3958efc80a39152bd692"),
            ("4stems", 150_000_000, "3adb4a50ad4eb18c7c4d65fcf4cf2367a07d48408a5eb7d03cd20067429dfaa8"),
            ("5stems", 185_000_000, "25a1e87eb5f75cc72a4d2d5467a0a50ac75f05611f877c278793742513cc7218"),
        )
    },
}


def find_weights(name: str, folder: Path, table: Mapping[str, Weights] = WEIGHTS) -> Path:
    """The verified local file of one set of weights, downloaded if no folder has it.

    Args:
        name: key of the table.
        folder: `models/pretrained/`: looked into first, and the place a download lands in.
        table: the known weights.

    Raises:
        ValueError: the table has no such name.
        ValaroError: a file of that name holds other bytes, or there is none and the download failed;
            the message says which file to put where.
    """
    if name not in table:
        raise ValueError(f"no weights named {name!r}; the table has {', '.join(sorted(table))}")
    weights = table[name]
    for place in (folder, *user_folders()):
        if (path := place / weights.file).is_file():
            _require_hash(path, _sha256(path), weights)
            return path
    return _download(weights, folder)


def user_folders() -> list[Path]:
    """The folders that the user names in VALARO_WEIGHTS."""
    return [Path(place) for place in os.environ.get(FOLDERS, "").split(os.pathsep) if place]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require_hash(path: Path, found: str, weights: Weights) -> None:
    if found != weights.sha256:
        raise ValaroError(
            f"{path}: SHA-256 is {found[:16]}…, wanted {weights.sha256[:16]}…: damaged, or another file. "
            f"Remove it and run again, or put the right one ({weights.size_bytes} bytes) there."
        )


def _download(weights: Weights, folder: Path) -> Path:
    """Fetch into a temporary name beside the target, so that the target appears only whole and verified."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / weights.file
    partial = folder / f".{weights.file}.{uuid.uuid4().hex}.part"
    try:
        found = _fetch(weights, partial)
        if found != weights.sha256:
            raise ValaroError(
                f"{weights.url}: SHA-256 of the download is {found[:16]}…, wanted {weights.sha256[:16]}…; "
                f"nothing was kept. Put {weights.file} ({weights.size_bytes} bytes) into {folder} yourself."
            )
        partial.replace(target)
    except (OSError, HTTPException) as error:
        raise ValaroError(
            f"{weights.file} is in none of {_listed((folder, *user_folders()))}, and can't be fetched from "
            f"{weights.url} ({error}). Download its {weights.size_bytes} bytes elsewhere (SHA-256 "
            f"{weights.sha256}) and put it into {folder}, or name its folder in {FOLDERS}."
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return target


def _fetch(weights: Weights, path: Path) -> str:
    """Write what the server sends, at most one chunk beyond the expected size; its SHA-256."""
    digest, received_bytes = hashlib.sha256(), 0
    # The scheme is ours to choose: addresses come from the table above, never from a user.
    with urllib.request.urlopen(weights.url, timeout=TIMEOUT_S) as answer, path.open("xb") as file:  # noqa: S310
        while received_bytes <= weights.size_bytes and (chunk := answer.read(CHUNK_BYTES)):
            file.write(chunk)
            digest.update(chunk)
            received_bytes += len(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _listed(folders: Iterable[Path]) -> str:
    return ", ".join(str(folder) for folder in folders)
