"""Read TensorFlow checkpoints (TensorBundle, version 2) without TensorFlow.

A checkpoint `model` is two kinds of files. `model.index` is a sorted table in LevelDB's format: blocks of
prefix-compressed keys, each with a checksum, found through an index block that the 48-byte footer points
at. Its keys are the variables' names, its values protocol buffers (`BundleEntryProto`: data type, shape,
shard, offset, length, CRC-32C). `model.data-00000-of-00001` is the numbers, raw and little-endian.

Everything is checked before it is used: magic number, checksums of blocks and tensors, shapes against
lengths, lengths against the files.

Source: tensorflow/core/protobuf/tensor_bundle.proto; leveldb/doc/table_format.md; RFC 3720, appendix B.4.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from stages.core.errors import BadInput

FOOTER_BYTES = 48
MAGIC = 0xDB4775248B80FB57
TRAILER_BYTES = 5
"""After every block: its compression (0: none), and the checksum of block and compression byte."""

DTYPES: dict[int, str] = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8"}
"""Of DataType in types.proto, those that the weights of a network come in."""

MAX_NAME_BYTES = 512
"""Names share their beginnings: without a limit, an index of a megabyte could spell out gigabytes of them."""

REMEDY = "Remove it and let it be extracted again from the published archive"


def checksum(content: bytes) -> int:
    """Masked CRC-32C, as LevelDB stores it: rotated and shifted, so that it can cover other checksums."""
    value = int(google_crc32c.value(content))
    return (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF


class _Damaged(Exception):
    """What is wrong with the index; the caller adds the file's name."""


@dataclass(frozen=True)
class Entry:
    """Where one variable lies, as its `BundleEntryProto` says."""

    dtype: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int


def read_bundle(prefix: Path) -> dict[str, NDArray[Any]]:
    """All variables of a checkpoint by name.

    Args:
        prefix: the checkpoint's files without their suffixes, as TensorFlow names it: `folder/model`.

    Raises:
        BadInput: a file is missing, cut short, damaged, compressed or of another version.
    """
    shards, entries = read_index(prefix.with_name(f"{prefix.name}.index"))
    return {name: _tensor(prefix, shards, name, entry) for name, entry in entries.items()}


def read_index(path: Path) -> tuple[int, dict[str, Entry]]:
    """The number of data files, and where each variable lies in them.

    Raises:
        BadInput: as `read_bundle`.
    """
    try:
        content = path.read_bytes()
        records = dict(_records(content))
        header = dict(_fields(records.pop(b"")))
        shards = _number(header, 1, 1)
        entries = {name.decode(): _entry(dict_of) for name, dict_of in records.items()}
    except OSError as error:
        raise BadInput(path, f"can't be read ({error.strerror})", REMEDY) from error
    except _Damaged as error:
        raise BadInput(path, f"a damaged checkpoint index: {error}", REMEDY) from error
    except (KeyError, IndexError, ValueError, TypeError) as error:  # ran over its end; a number for bytes
        raise BadInput(path, "a damaged checkpoint index: its records don't add up", REMEDY) from error
    if header.get(2, 0) != 0:
        raise BadInput(path, "a big-endian checkpoint", "Use the published one")
    return shards, entries


def _tensor(prefix: Path, shards: int, name: str, entry: Entry) -> NDArray[Any]:
    path = prefix.with_name(f"{prefix.name}.data-{entry.shard:05d}-of-{shards:05d}")
    expected = prod(entry.shape) * np.dtype(entry.dtype).itemsize
    if entry.size != expected:
        raise BadInput(path, f"{name}{list(entry.shape)} takes {entry.size} bytes, not {expected}", REMEDY)
    try:
        with path.open("rb") as file:
            if entry.offset + entry.size > os.fstat(file.fileno()).st_size:
                raise BadInput(path, f"cut short within {name}", REMEDY)
            file.seek(entry.offset)
            content = file.read(entry.size)
    except OSError as error:
        raise BadInput(path, f"can't be read ({error.strerror})", REMEDY) from error
    if checksum(content) != entry.checksum:
        raise BadInput(path, f"the checksum of {name} is wrong", REMEDY)
    try:
        return np.frombuffer(content, entry.dtype).reshape(entry.shape)
    except (ValueError, OverflowError):  # too many dimensions, or huge ones beside one of 0
        raise BadInput(path, f"{name} has an impossible shape: {list(entry.shape)}", REMEDY) from None


def _entry(value: bytes) -> Entry:
    fields = dict(_fields(value))
    if fields.get(1) not in DTYPES:
        raise _Damaged(f"data type {fields.get(1)} isn't one of numbers ({sorted(DTYPES)})")
    if 7 in fields:
        raise _Damaged("a variable is cut into slices")
    sizes = [_number(dict(_fields(part)), 1) for number, part in _fields(fields.get(2, b"")) if number == 2]
    places = (_number(fields, number) for number in (3, 4, 5, 6))
    return Entry(DTYPES[fields[1]], tuple(sizes), *places)


def _number(fields: dict[int, Any], number: int, default: int = 0) -> int:
    value = fields.get(number, default)
    if not isinstance(value, int):
        raise _Damaged(f"field {number} is bytes, not a number")
    return value


def _records(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of every record of a table."""
    footer = content[-FOOTER_BYTES:]
    if len(footer) < FOOTER_BYTES or int.from_bytes(footer[-8:], "little") != MAGIC:
        raise _Damaged("the magic number is missing at its end")
    _, _, position = _handle(footer, 0)  # of the meta-index, which is empty
    offset, size, _ = _handle(footer, position)
    end = 0
    for _, handle in _block(content, offset, size):
        offset, size, _ = _handle(handle, 0)
        if offset < end:
            raise _Damaged(f"the block at byte {offset} is listed twice, or overlaps another")
        end = offset + size + TRAILER_BYTES
        yield from _block(content, offset, size)


def _block(content: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Records of one block: each key names how much of the one before it shares."""
    block = content[offset : offset + size + TRAILER_BYTES]
    if len(block) != size + TRAILER_BYTES or size < 8:
        raise _Damaged(f"a block at byte {offset} runs over its end")
    if checksum(block[:-4]) != int.from_bytes(block[-4:], "little"):
        raise _Damaged(f"the checksum of the block at byte {offset} is wrong")
    if block[size] != 0:
        raise _Damaged(f"the block at byte {offset} is compressed")
    restarts = int.from_bytes(block[size - 4 : size], "little")
    end = size - 4 - 4 * restarts
    key, position = b"", 0
    while position < end:
        shared, position = _varint(block, position)
        fresh, position = _varint(block, position)
        length, position = _varint(block, position)
        key = key[:shared] + block[position : position + fresh]
        if len(key) > MAX_NAME_BYTES:
            raise _Damaged(f"a name of {len(key)} bytes")
        position += fresh + length
        yield key, block[position - length : position]


def _handle(content: bytes, position: int) -> tuple[int, int, int]:
    """Offset and size of a block, and where the handle ends."""
    offset, position = _varint(content, position)
    size, position = _varint(content, position)
    return offset, size, position


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Field numbers and values of a protocol buffer: integers, or bytes for what is nested."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        kind = tag & 7
        if kind == 0:
            value, position = _varint(message, position)
            yield tag >> 3, value
            continue
        if kind == 2:
            length, position = _varint(message, position)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise _Damaged(f"field of wire type {kind}")
        if position + length > len(message):
            raise _Damaged("a field runs over its end")
        content = message[position : position + length]
        position += length
        yield tag >> 3, content if kind == 2 else int.from_bytes(content, "little")


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """An integer in groups of seven bits, lowest first, and the position after it."""
    value = 0
    for shift in range(0, 64, 7):
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise _Damaged("an integer of more than 64 bits")
