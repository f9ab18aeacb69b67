"""Artefacts on disk: either complete or absent, with equal bytes for equal content.

HDF5 for arrays, JSON for facts. Every writer uses `whole`: it writes to a hidden path beside the target,
flushes the file to the disk and renames it. A reader never sees an incomplete file, and a killed run leaves
at most a hidden file that the next run removes.

Only a small part of HDF5 is used: named contiguous arrays, and scalar attributes. Files with anything else
are refused before the HDF5 library reads it, since a damaged or malicious file could exploit the library.
(Files in a private folder aren't checked, see `own_folder`.)
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
FIRST_FORMAT = 1  # its files have no number
FORMAT = FIRST_FORMAT
"""Version of the artefacts. Increase it when the meaning of an array changes: older files are then refused
and computed again."""
Arrays = dict[str, NDArray[Any]]
PIECE_BYTES = 1 << 22
_FORMAT = "artefact_format"
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_CHECKSUMS_SINCE = 2  # version of the superblock; older ones have no checksums
_KINDS = "biufS"  # NumPy's dtype kinds: booleans, numbers, bytes of fixed length


_own_folders: set[str] = set()


@contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """Declare a temporary folder that only this process writes to, for the length of the block.

    Files in it aren't flushed to the disk, and artefacts in it aren't checked before they are read: `valaro
    predict` reads a recording's files many times, and a check takes six times as long as reading. What a link
    in it leads to is checked.

    Args:
        folder: the folder, as it begins the paths of its files (relative or absolute).
    """
    prefix = f"{folder}{os.sep}"
    _own_folders.add(prefix)
    try:
        yield
    finally:
        _own_folders.discard(prefix)


def _is_own(path: Path) -> bool:
    return str(path).startswith(tuple(_own_folders)) and not path.is_symlink()


@contextmanager
def whole(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a hidden path beside `path`, and rename it to `path` after the block.

    The block writes a file or a folder. If it raises, nothing remains. If `path` is itself the hidden path of
    another `whole`, or lies in one, that one flushes it.

    Args:
        path: the file or folder.
        durable: flush it to the disk first, so that it is whole after a power cut too. It takes milliseconds;
            readers who verify the content can do without.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{PARTIAL}{os.getpid()}-{path.name}")
    remove(partial)
    try:
        yield partial
        if durable and not _is_in_another(path) and not _is_own(path):
            _flush(partial)
        if path.is_dir():
            shutil.rmtree(path)
        partial.replace(path)
    finally:
        remove(partial)


def _is_in_another(path: Path) -> bool:
    """Whether another `whole` flushes it."""
    hidden = f"{PARTIAL}{os.getpid()}-"
    return path.name.startswith(PARTIAL) or any(parent.name.startswith(hidden) for parent in path.parents)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove the hidden files of killed writers from `folder`."""
    for leftover in list(folder.glob(f"{PARTIAL}*")):
        remove(leftover)


def files_of(path: Path) -> list[Path]:
    """The file itself, or all files below the folder, sorted."""
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


class Spool:
    """Bytes in a temporary file that become one array of an artefact; memory: one piece of PIECE_BYTES.

    The file has no name, so a killed writer leaves nothing.

    Args:
        folder: folder of the file, created if missing; preferably that of the artefact, whose disk needs the
            space.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._file.write(data)

    def copy_to(self, file: Any, name: str) -> None:
        """Write everything as an array of bytes of an open HDF5 file."""
        size = self._file.seek(0, os.SEEK_END)
        array = file.create_dataset(name, (size,), np.uint8, track_times=False)
        self._file.seek(0)
        for start in range(0, size, PIECE_BYTES):
            piece = np.frombuffer(self._file.read(PIECE_BYTES), np.uint8)
            array[start : start + len(piece)] = piece


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any] | Spool], **facts: Any) -> None:
    """Write named arrays and scalar attributes to one HDF5 file; equal content gives equal bytes.

    Args:
        path: the file, written atomically.
        arrays: the arrays, written in the order of their names.
        facts: attributes: numbers, strings, booleans; None is left out.
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
    """Read the named arrays of an HDF5 file; without names, all arrays.

    Raises:
        FileNotFoundError: the file is missing.
        KeyError: an array is missing; the message names file and array.
        ValaroError: the file is damaged, or of another format.
    """
    from h5py import h5d, h5s

    with open_arrays(path) as file:
        there = {name.decode() for name in file.id}
        if missing := [name for name in names if name not in there]:
            raise KeyError(f"{path}: has {sorted(there)}, not {missing}")
        arrays = {}
        for name in names or sorted(there):
            stored = h5d.open(file.id, name.encode())  # the library's lower level takes a third of the time
            arrays[name] = np.empty(stored.shape, stored.dtype)
            if arrays[name].size:
                stored.read(h5s.ALL, h5s.ALL, arrays[name])
        return arrays


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
    """Open an artefact as an `h5py.File`, after checking that `write_arrays` could have written it.

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
        except Exception as error:  # h5py raises many types, each of which means damage here
            raise ValaroError(f"{path}: damaged, or not an artefact ({error}). {remedy}.") from None
        if found != FORMAT:
            raise ValaroError(f"{path}: artefact format {found}; this version reads {FORMAT}. {remedy}.")
        yield file


def _check_superblock(head: bytes) -> None:
    """Refuse files that aren't HDF5 with checksums, before the library reads them."""
    if not head.startswith(_SIGNATURE):
        raise ValueError("HDF5's signature is missing")
    if head[-1] < _CHECKSUMS_SINCE:
        raise ValueError(f"HDF5 of version {head[-1]}, without checksums")


def _check_facts(file: Any) -> None:
    """Refuse attributes that aren't scalars, and strings of variable length, stored elsewhere in the file."""
    from h5py import h5a, h5t

    plain = (h5t.TypeIntegerID, h5t.TypeFloatID, h5t.TypeEnumID, h5t.TypeStringID)
    keys: list[bytes] = []
    h5a.iterate(file.id, keys.append)
    for key in keys:
        attribute = h5a.open(file.id, key)
        kind, name = attribute.get_type(), key.decode()
        if not isinstance(kind, plain) or attribute.shape != ():
            raise ValueError(f"{name} is neither a number nor a string")
        if isinstance(kind, h5t.TypeStringID):
            if kind.is_variable_str():
                raise ValueError(f"{name} is a string of variable length, as older versions wrote")
            value = np.empty((), attribute.dtype)
            attribute.read(value)
            value.item().decode()


def _check_arrays(file: Any, size: int) -> None:
    """Refuse members that aren't contiguous arrays within the file, or exceed its size together.

    Args:
        file: the open file.
        size: its size in bytes.
    """
    from h5py import h5d, h5l, h5o, h5s

    total = 0
    for key in file.id:
        name = key.decode()
        if file.id.links.get_info(key).type != h5l.TYPE_HARD:
            raise ValueError(f"{name} is a link")
        array = h5o.open(file.id, key)
        if not isinstance(array, h5d.DatasetID) or array.get_space().get_simple_extent_type() == h5s.NULL:
            raise ValueError(f"{name} isn't an array")
        shape, dtype = array.shape, array.dtype
        if dtype.kind not in _KINDS:
            raise ValueError(f"{name} isn't an array of numbers")
        layout = array.get_create_plist()
        if layout.get_layout() != h5d.CONTIGUOUS or layout.get_external_count():
            raise ValueError(f"{name} isn't contiguous")
        bytes_declared = prod(shape) * dtype.itemsize
        total += bytes_declared
        start = array.get_offset()
        if bytes_declared and (start is None or start + bytes_declared > size):
            raise ValueError(f"{name} is declared as {shape} {dtype}, which the file is too short for")
    if total > size:
        raise ValueError(f"its arrays are declared as {total} bytes, more than its {size}")


def write_tensors(path: Path, arrays: Mapping[str, NDArray[Any]], **config: Any) -> None:
    """Write named arrays to one safetensors file, with their configuration in its header.

    Arrays are made contiguous first: safetensors writes the bytes in the order of memory and would silently
    store a transposed view as another matrix.

    Args:
        path: the file, written atomically.
        arrays: name -> array.
        config: values of JSON types; `read_config` reads them.
    """
    from safetensors.numpy import save_file

    header = {"config": json.dumps(config, sort_keys=True)} if config else None
    with whole(path) as partial:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, partial, header)


class Header(NamedTuple):
    """The header of a safetensors file: its metadata, and tensor -> shape."""

    metadata: dict[str, str]
    shapes: dict[str, tuple[int, ...]]


def read_header(path: Path) -> Header:
    """Read the header of a safetensors file, without the tensors.

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
    except Exception as damage:  # safetensors has its own class for all damage
        raise BadInput(path, f"not a readable safetensors file ({damage})", "Restore or retrain it") from None


def read_config(path: Path) -> dict[str, Any]:
    """The configuration in the header of a safetensors file (see `write_tensors`, `checkpoints.save_model`).

    Names of earlier versions are replaced by the present ones.

    Raises:
        BadInput: the file is missing or damaged, or has no configuration.
    """
    try:
        config = json.loads(read_header(path).metadata["config"])
    except KeyError:
        raise BadInput(path, "has no model configuration", "Use weights that a stage wrote") from None
    except ValueError as error:
        raise BadInput(path, f"its configuration isn't JSON ({error})", "Restore or retrain it") from None
    if not isinstance(config, dict):
        raise BadInput(path, f"its configuration is {config!r:.80}", "Restore or retrain it")
    return dict(with_present_names(config))


def write_json(path: Path, content: Any, *, durable: bool = True) -> None:
    """Write JSON with sorted keys; floats are rounded to 6 decimals, for readable diffs.

    Don't read small numbers back from it: 0.0001953125 becomes 0.000195.

    Args:
        path: the file.
        content: values of JSON types, or NumPy's.
        durable: see `whole`.
    """
    with whole(path, durable=durable) as partial:
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
