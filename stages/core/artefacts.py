"""Artefacts on disk: complete or absent, and the same bytes for the same content.

HDF5 for arrays, JSON for facts. Every writer uses `whole`, which gives a hidden name beside the target,
flushes the file to the disk and renames it: a reader never sees half a file, and a killed run leaves at most
a hidden one that the next run removes.

Of HDF5 only a small part is written and read: named arrays, each in one piece, and scalar facts. Anything
else in a file is refused before the HDF5 library reads it: a damaged or hostile file could exploit it. (Not
in a folder of one's own, see `own_folder`.)
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.core.errors import BadInput, ValaroError
from stages.core.former_names import with_present_names

PARTIAL = ".partial-"
FIRST_FORMAT = 1  # its files bear no number
FORMAT = FIRST_FORMAT
"""Of the artefacts. Raise it when an array changes its meaning: older files are refused, and made again."""
Arrays = dict[str, NDArray[Any]]
PIECE_BYTES = 1 << 22
_FORMAT = "artefact_format"
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_CHECKSUMS_SINCE = 2  # version of the superblock; what is older has none
_KINDS = "biufS"  # of NumPy: flags, numbers, bytes of one length


_own_folders: set[str] = set()


@contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """Take a folder for one that this process alone writes to, and that is gone after the block.

    What is written below it isn't flushed to the disk, and artefacts aren't checked before they are read: a
    recording's pass through ten files many times, and checking takes six times as long as reading.

    Args:
        folder: by the path that its files will be named by.
    """
    prefix = f"{folder}{os.sep}"
    _own_folders.add(prefix)
    try:
        yield
    finally:
        _own_folders.discard(prefix)


def _is_own(path: Path) -> bool:
    return str(path).startswith(tuple(_own_folders))


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a hidden path beside `path`; rename it to `path` once the block has written it whole.

    The block may write a file or a folder. If it raises, nothing is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{PARTIAL}{os.getpid()}-{path.name}")
    remove(partial)
    try:
        yield partial
        if not _is_own(path):
            _flush(partial)
        if path.is_dir():
            shutil.rmtree(path)
        partial.replace(path)
    finally:
        remove(partial)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what killed writers left in `folder`."""
    for leftover in list(folder.glob(f"{PARTIAL}*")):
        remove(leftover)


def files_of(path: Path) -> list[Path]:
    """The file itself, or every file below the folder, sorted."""
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


class Spool:
    """Bytes kept on the disk until they become one array of an artefact; one piece at a time is in memory.

    The file has no name, so a killed writer leaves nothing behind.

    Args:
        folder: where the file lies, created if missing. Take the artefact's folder: its disk has the space.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        """Add bytes at the end."""
        self._file.write(data)

    def copy_to(self, file: Any, name: str) -> None:
        """Write all of it as an array of bytes of an open HDF5 file."""
        size = self._file.seek(0, os.SEEK_END)
        array = file.create_dataset(name, (size,), np.uint8, track_times=False)
        self._file.seek(0)
        for start in range(0, size, PIECE_BYTES):
            piece = np.frombuffer(self._file.read(PIECE_BYTES), np.uint8)
            array[start : start + len(piece)] = piece


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any] | Spool], **facts: Any) -> None:
    """Write named arrays and scalar facts to one HDF5 file, byte for byte the same each time.

    Args:
        path: the file; appears only complete.
        arrays: written in the order of their names.
        facts: numbers, strings, booleans; become attributes of the file. Those that are None are left out.
    """
    import h5py

    with whole(path) as partial, h5py.File(partial, "w", libver="latest", track_order=False) as file:
        for name in sorted(arrays):
            if isinstance(array := arrays[name], Spool):
                array.copy_to(file, name)
            else:
                file.create_dataset(name, data=np.ascontiguousarray(array), track_times=False)
        for name in sorted(facts):
            if (value := facts[name]) is not None:
                file.attrs[name] = np.bytes_(value.encode()) if isinstance(value, str) else value
        if FORMAT != FIRST_FORMAT:
            file.attrs[_FORMAT] = FORMAT


def read_arrays(path: Path, *names: str) -> Arrays:
    """Read the named arrays of an HDF5 file; all of them if none is named.

    Raises:
        KeyError: an array is missing; the message names file and array.
        ValaroError: the file is damaged, or of another format.
    """
    with open_arrays(path) as file:
        missing = [name for name in names if name not in file]
        if missing:
            raise KeyError(f"{path}: holds {sorted(file)}, not {missing}")
        return {name: file[name][()] for name in names or sorted(file)}


def read_facts(path: Path) -> dict[str, Any]:
    """The attributes of an HDF5 file as plain Python values.

    Raises:
        ValaroError: the file is damaged, or of another format.
    """
    with open_arrays(path) as file:
        facts = {name: value.item() for name, value in file.attrs.items() if name != _FORMAT}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in facts.items()}


@contextmanager
def open_arrays(path: Path) -> Iterator[Any]:
    """Open an artefact for reading, an `h5py.File` that holds what `write_arrays` writes and nothing else.

    Raises:
        ValaroError: the file is damaged, or of another format.
    """
    import h5py

    if _is_own(path):
        with h5py.File(path, "r") as own:
            yield own
        return
    remedy = f"Run `dvc repro --force --single-item` for the stage that writes {path.parent}"
    try:
        with path.open("rb") as head:
            _check_superblock(head.read(len(_SIGNATURE) + 1))
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise ValaroError(f"{path}: damaged, or not an artefact ({error}). {remedy}.") from None
    with file:
        try:
            _check_facts(file)
            if (found := file.attrs.get(_FORMAT, FIRST_FORMAT)) == FORMAT:
                _check_arrays(file, path.stat().st_size)
        except Exception as error:  # h5py raises half a dozen kinds, each of which means damage here
            raise ValaroError(f"{path}: damaged, or not an artefact ({error}). {remedy}.") from None
        if found != FORMAT:
            raise ValaroError(f"{path}: artefact format {found}; this version reads {FORMAT}. {remedy}.")
        yield file


def _check_superblock(head: bytes) -> None:
    """Refuse, before libhdf5 sees it, what isn't HDF5 with checksums."""
    if not head.startswith(_SIGNATURE):
        raise ValueError("HDF5's signature is missing")
    if head[-1] < _CHECKSUMS_SINCE:
        raise ValueError(f"HDF5 of version {head[-1]}, without checksums")


def _check_facts(file: Any) -> None:
    """Refuse attributes that aren't scalars, and text that is stored outside its attribute."""
    import h5py

    plain = (h5py.h5t.TypeIntegerID, h5py.h5t.TypeFloatID, h5py.h5t.TypeEnumID, h5py.h5t.TypeStringID)
    for name in file.attrs:
        attribute = file.attrs.get_id(name)
        kind = attribute.get_type()
        if not isinstance(kind, plain) or attribute.shape != ():
            raise ValueError(f"{name} is neither a number nor a text")
        if isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str():
            raise ValueError(f"{name} is a text of variable length; older versions wrote such")
        if isinstance(value := file.attrs[name], bytes):
            value.decode()


def _check_arrays(file: Any, size: int) -> None:
    """Refuse members that aren't arrays in one piece within the file, together no larger than it.

    Args:
        file: the open file.
        size: its bytes.
    """
    import h5py

    total = 0
    for name in file:
        if not isinstance(file.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{name} is a link to elsewhere")
        array = file[name]
        if not isinstance(array, h5py.Dataset) or array.dtype.kind not in _KINDS or array.shape is None:
            raise ValueError(f"{name} is no array of numbers")
        layout = array.id.get_create_plist()
        if layout.get_layout() != h5py.h5d.CONTIGUOUS or layout.get_external_count():
            raise ValueError(f"{name} doesn't lie in one piece")
        bytes_declared = prod(array.shape) * array.dtype.itemsize
        total += bytes_declared
        if bytes_declared and (
            array.id.get_offset() is None or array.id.get_offset() + bytes_declared > size
        ):
            raise ValueError(f"{name} is declared as {array.shape} {array.dtype}, which isn't there")
    if total > size:
        raise ValueError(f"its arrays are declared as {total} bytes, more than its {size}")


def write_tensors(path: Path, arrays: Mapping[str, NDArray[Any]], **config: Any) -> None:
    """Write named arrays to one safetensors file; its header has the configuration that goes with them.

    Arrays are laid out row by row first: safetensors takes the bytes as they lie in memory, and would
    silently store a transposed view as another matrix.

    Args:
        path: the file; appears only complete.
        arrays: by name.
        config: JSON values; `read_config` gives them back.
    """
    from safetensors.numpy import save_file

    header = {"config": json.dumps(config, sort_keys=True)} if config else None
    with whole(path) as partial:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, partial, header)


class Header(NamedTuple):
    """The header of a safetensors file: what its writer added, and the shape of each tensor by name."""

    metadata: dict[str, str]
    shapes: dict[str, tuple[int, ...]]


def read_header(path: Path) -> Header:
    """The header of a safetensors file; no tensor is read.

    Raises:
        BadInput: the file is missing or damaged.
    """
    from safetensors import safe_open

    try:
        with safe_open(path, "numpy") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            return Header(file.metadata() or {}, shapes)
    except FileNotFoundError:
        raise BadInput(path, "no such weights", "Run the stage that trains this model") from None
    except Exception as damage:  # safetensors raises its own class for every kind of damage
        raise BadInput(path, f"not a readable safetensors file ({damage})", "Restore or retrain it") from None


def read_config(path: Path) -> dict[str, Any]:
    """The configuration in the header of a safetensors file (see `write_tensors`, `checkpoints.save_model`).

    Names that an earlier version wrote are replaced by today's.

    Raises:
        BadInput: the file is missing or damaged, or holds no configuration.
    """
    try:
        config = json.loads(read_header(path).metadata["config"])
    except KeyError:
        raise BadInput(path, "holds no model configuration", "Give weights that a stage wrote") from None
    except ValueError as error:
        raise BadInput(path, f"its configuration isn't JSON ({error})", "Restore or retrain it") from None
    if not isinstance(config, dict):
        raise BadInput(path, f"its configuration is {config!r:.80}", "Restore or retrain it")
    return dict(with_present_names(config))


def write_json(path: Path, content: Any) -> None:
    """Write JSON with sorted keys; floats with 6 significant decimals, so that diffs read well."""
    with whole(path) as partial:
        text = json.dumps(_rounded(content), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        partial.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def _rounded(content: Any) -> Any:
    if isinstance(content, dict):
        return {str(key): _rounded(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_rounded(value) for value in content]
    if isinstance(content, float | np.floating):
        return round(float(content), 6)
    return content.item() if isinstance(content, np.generic) else content


def _flush(path: Path) -> None:
    for file in files_of(path):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
