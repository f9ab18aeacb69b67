"""Every reader of files that others write, on mutated ones: a result that keeps its promise, or one plain error.

A few hundred inputs a reader by default; over 100 000 together in the slow run.
"""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.audio.crc32c import crc32c, masked
from stages.audio.tensorbundle import FOOTER_BYTES, TRAILER_BYTES, _handle, read_bundle
from stages.core.affwild2 import discover
from stages.core.errors import BadInput, ValaroError
from stages.core.labels import read_labels
from stages.core.params import Params, load_params
from stages.core.profiles import find_profiles
from stages.media.source import choose_audio, choose_video, open_media, packets
from stages.submission import rows_expected
from stages.training.checkpoints import authors_state, load_config, save_state

REPOSITORY = Path(__file__).resolve().parents[2]
BUNDLE = REPOSITORY / "tests/data/spleeter/2stems/model"

Edit = tuple[str, float, bytes]
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "insert", "cut", "end", "double"]),
        st.floats(0, 1, exclude_max=True),
        st.binary(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=6,
)


def edited(content: bytes, edits: list[Edit]) -> bytes:
    """Overwrite, insert, remove, truncate and repeat, at places from 0 to 1."""
    for kind, where, value in edits:
        k = int(where * len(content))
        if kind == "put":
            content = content[:k] + value + content[k + len(value) :]
        elif kind == "insert":
            content = content[:k] + value + content[k:]
        elif kind == "cut":
            content = content[:k] + content[k + len(value) :]
        elif kind == "end":
            content = content[:k]
        else:
            content = content[:k] + content[k // 2 :]
    return content


class Reader(NamedTuple):
    """A reader under test.

    Args:
        seed: a good file.
        read: takes the path of an edited one; asserts what it promises of a result.
        many: inputs in the slow run.
        suffix: of the file.
        sealed: makes checksums right again, so that edits get past them.
    """

    seed: Callable[[Path], bytes]
    read: Callable[[Path], Any]
    many: int
    suffix: str = ""
    sealed: Callable[[bytes], bytes] = bytes


def labels(path: Path) -> None:
    rows = read_labels(path)
    assert rows.ndim == 2
    assert rows.shape[1] == 2
    assert len(rows) >= 1
    assert (np.isnan(rows).all(axis=1) | (np.abs(rows) <= 1).all(axis=1)).all()


def names(path: Path) -> None:
    videos, annotations = path.parent / "videos", path.parent / "annotations"
    for folder in (videos, annotations):
        folder.mkdir(exist_ok=True)
    (videos / "one.mp4").touch()
    found, notes = discover(videos, annotations, path)
    assert [one.subject.name for one in found] == ["one"]
    assert all("/" not in note.subject or note.quarantined for note in notes)


def sample_file(path: Path) -> None:
    for name, rows in rows_expected(path).items():
        assert name
        assert rows >= 1


def parameters(path: Path) -> None:
    assert isinstance(load_params(path), Params)


def bundle(path: Path) -> None:
    index = path.with_name("model.index")
    index.write_bytes(path.read_bytes())
    (path.with_name("model.data-00000-of-00001")).write_bytes(
        BUNDLE.with_name("model.data-00000-of-00001").read_bytes()
    )
    for array in read_bundle(path.with_name("model")).values():
        assert array.nbytes < 1 << 20


def sealed_index(content: bytes) -> bytes:
    """The checksums of the blocks that the footer leads to, made right."""
    data = bytearray(content)
    try:
        footer = bytes(data[-FOOTER_BYTES:])
        _, _, position = _handle(footer, 0)
        handles = [_handle(footer, position)[:2], (0, _handle(footer, 0)[0] - TRAILER_BYTES)]
        for offset, size in handles:
            if 0 <= offset < offset + size + TRAILER_BYTES <= len(data):
                seal = masked(crc32c(bytes(data[offset : offset + size + 1])))
                data[offset + size + 1 : offset + size + TRAILER_BYTES] = seal.to_bytes(4, "little")
    except Exception:  # the footer leads nowhere: then the checksums don't matter
        return content
    return bytes(data)


def tensors(path: Path) -> None:
    assert isinstance(load_config(path), dict)


def weights(path: Path) -> None:
    assert all(hasattr(tensor, "shape") for tensor in authors_state(path).values())


def container(path: Path) -> None:
    with open_media(path) as media:
        choose_audio(media)
        stream = choose_video(path, media)
        assert sum(1 for _ in packets(media, stream)) < 10_000


def small_state(path: Path) -> bytes:
    import torch

    save_state(path, {"w": torch.arange(6.0).reshape(2, 3)}, {"size": 3})
    return path.read_bytes()


def small_pickle(path: Path) -> bytes:
    import torch

    torch.save({"w": torch.arange(6.0).reshape(2, 3)}, path)
    return path.read_bytes()


def small_film(path: Path) -> bytes:
    import av

    with av.open(str(path), "w", format="mp4") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 32, 32
        for k in range(5):
            frame = av.VideoFrame(32, 32, "yuv420p")
            frame.pts = k
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path.read_bytes()


READERS: dict[str, Reader] = {
    "labels": Reader(lambda _: b"valence,arousal\n0.5,-0.25\n-5,-5\n1,1e-3\n" * 1, labels, 40_000),
    "test list": Reader(lambda _: "one\nzwei_left\n../evil\nüç\n".encode(), names, 8_000),
    "sample file": Reader(
        lambda _: b"image_location,valence,arousal\na/00001.jpg,0,0\na/00002.jpg,0,0\nb/00001.jpg,0,0\n",
        sample_file,
        30_000,
    ),
    "parameters": Reader(lambda _: find_profiles(REPOSITORY)["sample"].read_bytes(), parameters, 1_000),
    "checkpoint index": Reader(lambda _: BUNDLE.with_name("model.index").read_bytes(), bundle, 8_000),
    "sealed checkpoint index": Reader(
        lambda _: BUNDLE.with_name("model.index").read_bytes(), bundle, 8_000, sealed=sealed_index
    ),
    "safetensors": Reader(small_state, tensors, 8_000, ".safetensors"),
    "pickle": Reader(small_pickle, weights, 4_000, ".pth"),
    "container": Reader(small_film, container, 6_000, ".mp4"),
}


@pytest.mark.parametrize("much", ["few", pytest.param("many", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", READERS)
def test_a_mutated_file_is_read_or_refused(name: str, much: str, tmp_path: Path) -> None:
    reader = READERS[name]
    seed = reader.seed(tmp_path / f"seed{reader.suffix}")
    path = tmp_path / f"edited{reader.suffix}"
    examples = reader.many if much == "many" else min(150, reader.many // 20)

    @settings(
        max_examples=examples,
        deadline=5_000,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(EDITS)
    def run(edits: list[Edit]) -> None:
        path.write_bytes(reader.sealed(edited(seed, edits)))
        try:
            reader.read(path)
        except ValaroError as error:  # BadInput among them
            assert str(path.parent) in str(error)
            if isinstance(error, BadInput):
                assert error.problem
                assert error.remedy

    run()


def test_together_they_are_over_a_hundred_thousand() -> None:
    assert sum(reader.many for reader in READERS.values()) >= 100_000


def test_csv_has_its_default_limit() -> None:
    """A field of a gigabyte is refused by the reader itself."""
    assert csv.field_size_limit() == 131_072
