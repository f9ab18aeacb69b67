"""TensorFlow checkpoints: read to the last number, or refused."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from stages.core.errors import BadInput
from stages.separation.tensorbundle import MAGIC, TRAILER_BYTES, checksum, read_bundle, read_index


@pytest.fixture(scope="module")
def tiny(repository: Path) -> Path:
    return repository / "tests/data/spleeter/2stems/model"


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    for file in tiny.parent.iterdir():
        shutil.copy(file, tmp_path)
    return tmp_path / "model"


@pytest.mark.parametrize(
    ("content", "crc"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),  # these three: RFC 3720, appendix B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_published_checksums_are_rotated_by_15_bits_and_shifted(content: bytes, crc: int) -> None:
    rotated = int(f"{crc:032b}"[-15:] + f"{crc:032b}"[:-15], 2)
    assert checksum(content) == (rotated + 0xA282EAD8) % 2**32


def test_every_variable_of_spleeters_own_checkpoint_is_there(shared: Path) -> None:
    published = json.loads((shared / "golden/spleeter/variables_2stems.json").read_text())
    found = read_bundle(shared / "golden/spleeter/ckpt/model")
    assert found.keys() == published.keys()
    assert found["conv2d_12/kernel"].shape == (5, 5, 8, 8)
    assert found["global_step"].dtype == np.int64
    assert all(len(value.shape) == len(published[name]) for name, value in found.items())


def test_the_tiny_checkpoint_holds_what_its_generator_drew(tiny: Path) -> None:
    rng = np.random.default_rng(2)
    first = rng.normal(0, 0.25 / 2**0.5, (5, 5, 2, 2)).astype(np.float32)
    assert np.array_equal(read_bundle(tiny)["conv2d/kernel"], first)
    shards, entries = read_index(tiny.with_name("model.index"))
    assert shards == 1
    assert len(entries) == 149


def test_no_flipped_bit_of_the_index_goes_unseen(copy: Path) -> None:
    index = copy.with_name("model.index")
    sound, whole = index.read_bytes(), read_bundle(copy)
    for position in range(0, len(sound), 97):
        index.write_bytes(sound[:position] + bytes([sound[position] ^ 0x10]) + sound[position + 1 :])
        try:
            found = read_bundle(copy)
        except BadInput:
            continue
        # only the footer's unused bytes, and the empty meta-index, are covered by nothing
        assert position > len(sound) - 48 - 17
        assert all(np.array_equal(found[name], whole[name]) for name in whole)


@pytest.mark.parametrize("position", [0, 1000, 20_000, -1])
def test_no_flipped_bit_of_the_numbers_goes_unseen(copy: Path, position: int) -> None:
    data = copy.with_name("model.data-00000-of-00001")
    content = bytearray(data.read_bytes())
    content[position] ^= 1
    data.write_bytes(content)
    with pytest.raises(BadInput, match="checksum"):
        read_bundle(copy)


@pytest.mark.parametrize("name", ["model.index", "model.data-00000-of-00001"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_file_cut_short_is_refused_by_name(copy: Path, name: str, share: float) -> None:
    file = copy.with_name(name)
    os.truncate(file, int(share * file.stat().st_size))
    with pytest.raises(BadInput, match=name):
        read_bundle(copy)


@pytest.mark.parametrize("name", ["model.index", "model.data-00000-of-00001"])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    copy.with_name(name).unlink()
    with pytest.raises(BadInput, match=name):
        read_bundle(copy)


def test_any_other_file_is_not_an_index(tmp_path: Path) -> None:
    for content in (b"", b"x" * 47, b"x" * 5000, bytes(48)):
        (tmp_path / "model.index").write_bytes(content)
        with pytest.raises(BadInput, match="magic"):
            read_bundle(tmp_path / "model")


def varint(value: int) -> bytes:
    """Seven bits a byte, lowest first."""
    groups = [value >> shift & 0x7F for shift in range(0, max(1, value.bit_length()), 7)]
    return bytes([group | 0x80 for group in groups[:-1]] + groups[-1:])


def message(*fields: tuple[int, int | bytes]) -> bytes:
    """A protocol buffer."""
    return b"".join(
        varint(number << 3) + varint(value)
        if isinstance(value, int)
        else varint(number << 3 | 2) + varint(len(value)) + value
        for number, value in fields
    )


def block(*records: tuple[int, bytes, bytes]) -> bytes:
    """Records (bytes shared with the key before, the rest of the key, value), with a right checksum."""
    rows = [varint(shared) + varint(len(k)) + varint(len(v)) + k + v for shared, k, v in records]
    content = b"".join(rows) + (0).to_bytes(4, "little") + (1).to_bytes(4, "little") + b"\0"
    return content + checksum(content).to_bytes(4, "little")


def written(prefix: Path, *records: tuple[int, bytes, bytes], listed: int = 1) -> Path:
    """An index whose checksums are right; its one block is listed so many times."""
    first = block(*records)
    handle = varint(0) + varint(len(first) - TRAILER_BYTES)
    second = block(*((0, b"%d" % k, handle) for k in range(listed)))
    footer = varint(0) * 2 + varint(len(first)) + varint(len(second) - TRAILER_BYTES)
    content = first + second + footer.ljust(40, b"\0") + MAGIC.to_bytes(8, "little")
    prefix.with_name(f"{prefix.name}.index").write_bytes(content)
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(bytes(8))
    return prefix


HEADER = (0, b"", message((1, 1)))
ZEROS = checksum(bytes(8))


def entry(
    shape: bytes | int = b"", size: int | bytes = 8, offset: int | bytes = 0, shard: int | bytes = 0
) -> bytes:
    return message((1, 1), (2, shape), (3, shard), (4, offset), (5, size), (6, ZEROS))


def dimensions(*sizes: int) -> bytes:
    return message(*((2, message((1, size))) for size in sizes))


def test_an_index_made_here_is_read(tmp_path: Path) -> None:
    prefix = written(tmp_path / "model", HEADER, (0, b"w", entry(dimensions(1, 2))))
    assert read_bundle(prefix)["w"].tolist() == [[0, 0]]


HOSTILE = {
    "a shape that is a number": (entry(shape=2), "don't add up"),
    "a dimension that is a number": (entry(message((2, 2))), "don't add up"),
    "a dimension of bytes": (entry(message((2, message((1, b"2"))))), "bytes, not a number"),
    "a size of bytes": (entry(dimensions(2), size=b"8"), "bytes, not a number"),
    "an offset of bytes": (entry(dimensions(2), offset=b"0"), "bytes, not a number"),
    "a shard of bytes": (entry(dimensions(2), shard=b"0"), "bytes, not a number"),
    "more than the file holds": (entry(dimensions(1 << 45), size=4 << 45), "cut short within w"),
    "an offset beyond any file": (entry(dimensions(2), offset=(1 << 64) - 1), "cut short within w"),
    "more dimensions than NumPy has": (entry(dimensions(*[1] * 40, 2)), "impossible shape"),
    "none of a great many": (
        message((1, 1), (2, dimensions(0, 1 << 62, 1 << 62)), (6, checksum(b""))),
        "impossible shape",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_well_sealed_lie_is_refused(tmp_path: Path, case: str) -> None:
    record, problem = HOSTILE[case]
    prefix = written(tmp_path / "model", HEADER, (0, b"w", record))
    with pytest.raises(BadInput, match=problem):
        read_bundle(prefix)


def test_a_header_whose_number_of_files_is_bytes_is_refused(tmp_path: Path) -> None:
    prefix = written(tmp_path / "model", (0, b"", message((1, b"1"))), (0, b"w", entry(dimensions(2))))
    with pytest.raises(BadInput, match="bytes, not a number"):
        read_bundle(prefix)


def test_a_block_listed_a_thousand_times_is_refused(tmp_path: Path) -> None:
    prefix = written(tmp_path / "model", HEADER, (0, b"w", entry(dimensions(2))), listed=1000)
    with pytest.raises(BadInput, match="listed twice"):
        read_bundle(prefix)


def test_names_that_grow_from_record_to_record_are_refused(tmp_path: Path) -> None:
    growing = [(100 * k, b"w" * 100, entry(dimensions(2))) for k in range(1000)]
    prefix = written(tmp_path / "model", HEADER, *growing)
    with pytest.raises(BadInput, match="a name of 600 bytes"):
        read_bundle(prefix)
