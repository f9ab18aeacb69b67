"""What is fuzzed: the readers of files that others write, seeds for them, and how seeds are mutated.

Shared by the property tests (`test_parsers.py`), the batches in processes of their own (`read_mutated.py`) and
the coverage-guided runs (`atheris_harness.py`).
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stages.core.artefacts import read_arrays, read_config, read_facts, write_arrays
from stages.core.errors import BadInput, ValaroError
from stages.core.labels import read_labels
from stages.core.params import Params, load_params
from stages.core.profiles import find_profiles
from stages.gather import read_corpus
from stages.layouts.affwild2 import list_corpus
from stages.layouts.texts import rows_expected
from stages.media.sound import read_wav, write_wav
from stages.media.source import choose_audio, choose_video, open_media, packets
from stages.separation.tensorbundle import FOOTER_BYTES, TRAILER_BYTES, _block, _handle, checksum, read_bundle
from stages.training.checkpoints import save_state
from tests.unit.corpora.conftest import TREES
from valaro.commands.contracts import CONTRACTS, Lengths, faults_of
from valaro.recordings.state_dicts import state_dict_of

REPOSITORY = Path(__file__).resolve().parents[2]
BUNDLE = REPOSITORY / "tests/data/spleeter/2stems/model"

Edit = tuple[str, float, bytes]
KINDS = ("put", "put", "insert", "cut", "end", "double")
LENGTHS = (0, 1, 0xFF, 0x7FFF, 0xFFFF, 1 << 31, (1 << 32) - 1, 1 << 40, 1 << 62, (1 << 64) - 1)
"""Numbers to put into fields of a length."""


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


def drawn_edits(number: int) -> list[Edit]:
    """One to four edits, the same for the same number: mostly bytes put in place, some of them lengths."""
    rng = np.random.default_rng(number)
    edits: list[Edit] = []
    for _ in range(rng.integers(1, 5)):
        kind = str(rng.choice(KINDS)) if rng.random() < 0.2 else "put"
        value = rng.bytes(int(rng.integers(1, 5)))
        if kind == "put" and rng.random() < 0.5:
            value = int(rng.choice(np.array(LENGTHS, np.uint64))).to_bytes(8, "little")
            value = value[: int(rng.choice([1, 2, 4, 8]))]
        edits.append((kind, float(rng.random()), value))
    return edits


class Reader(NamedTuple):
    """A reader under test.

    Args:
        seed: a good file.
        read: takes the path of an edited one; asserts what it promises of a result.
        many: inputs in the slow run.
        suffix: of the file.
        sealed: makes checksums right again, so that edits get past them.
        alone: read in a process of its own, which a native library may take down.
    """

    seed: Callable[[Path], bytes]
    read: Callable[[Path], Any]
    many: int
    suffix: str = ""
    sealed: Callable[[bytes], bytes] = bytes
    alone: bool = False


def attempt(reader: Reader, path: Path, content: bytes) -> bool:
    """Whether these bytes are read; if not, they were refused with the file's name and a remedy.

    Args:
        reader: of such files.
        path: where to put them.
        content: the bytes, before they are sealed.
    """
    path.write_bytes(reader.sealed(content))
    try:
        reader.read(path)
    except ValaroError as error:  # BadInput among them
        assert str(path.parent) in str(error)
        if isinstance(error, BadInput):
            assert error.problem
            assert error.remedy
        return False
    return True


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
    (annotations / "Train_Set").mkdir(exist_ok=True)
    (annotations / "Train_Set" / "other.txt").write_text("valence,arousal\n0,0\n")
    (videos / "other.mp4").touch()
    corpus = {"corpus": str(path.parent), "videos": "videos", "annotations": "annotations", "lists": "."}
    params = load_params(find_profiles(REPOSITORY)["sample"])
    settings = params.index.model_copy(update=corpus | {"test_list": path.name})
    listing = list_corpus(settings, None)
    found, notes = [one for one in listing.found if one.subject.name != "other"], listing.notes
    assert {one.subject.name for one in found} <= {"one", "one_left", "one_right"}, (
        "a list may ask for a side"
    )
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
    """Correct the checksums of the blocks that the footer points to."""
    data = bytearray(content)

    def seal(offset: int, size: int) -> None:
        if offset + size + TRAILER_BYTES <= len(data):
            mended = checksum(bytes(data[offset : offset + size + 1]))
            data[offset + size + 1 : offset + size + TRAILER_BYTES] = mended.to_bytes(4, "little")

    with suppress(Exception):  # the footer leads nowhere: then the checksums don't matter
        footer = content[-FOOTER_BYTES:]
        offset, size, _ = _handle(footer, _handle(footer, 0)[2])
        seal(offset, size)
        for _, handle in list(_block(bytes(data), offset, size)):
            seal(*_handle(handle, 0)[:2])
        seal(offset, size)  # once more, should a block overlap it
    return bytes(data)


def tensors(path: Path) -> None:
    assert isinstance(read_config(path), dict)


def weights(path: Path) -> None:
    assert all(hasattr(tensor, "shape") for tensor in state_dict_of(path).values())


def container(path: Path) -> None:
    with open_media(path) as media:
        choose_audio(media)
        stream = choose_video(path, media)
        assert sum(1 for _ in packets(media, stream)) < 10_000


def artefact(path: Path) -> None:
    faults_of(path, CONTRACTS["index"], ["one"], Lengths())  # lists them, never raises
    facts = read_facts(path)
    assert {type(value) for value in facts.values()} <= {bool, int, float, str}
    arrays = read_arrays(path)
    assert sum(array.nbytes for array in arrays.values()) <= path.stat().st_size
    assert {array.dtype.kind for array in arrays.values()} <= set("biufS")


def sound(path: Path) -> None:
    samples, rate_hz = read_wav(path)
    assert samples.size <= path.stat().st_size
    assert rate_hz > 0


def small_sound(path: Path) -> bytes:
    write_wav(path, np.zeros((99, 2), np.float32), 16_000)
    return path.read_bytes()


ANNOTATIONS = {".txt", ".csv", ".json", ".mat", ".lst", ".npy"}


def annotation(layout: str, folder: Path) -> Path:
    """An annotation file of a pre-training corpus, whose tree is laid out in the folder."""
    corpus, lay = TREES[layout]
    if not (folder / corpus).is_dir():
        lay(folder / corpus)
    return next(path for path in sorted((folder / corpus).rglob("*")) if path.suffix in ANNOTATIONS)


def corpus_of(layout: str) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        corpus = TREES[layout][0]
        folder = path.parent / layout
        annotation(layout, folder).write_bytes(path.read_bytes())
        samples, notes = read_corpus(corpus, folder / corpus, frames_hz=5.0)
        assert samples or notes
        assert len(samples) < 100_000
        for sample in samples:
            assert (folder / corpus / sample.source).is_file()
            assert all(value is None or abs(value) <= 1 for value in (sample.valence, sample.arousal))

    return read


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


ARRAYS = {
    "time_s": np.arange(12) / 25,
    "labelled": np.arange(12) % 2 == 0,
    "valence_arousal": np.zeros((12, 2), np.float32),
    "speaker": np.array([b"anna", b"ben"]),
    "nothing": np.empty((0, 2), np.int64),
}


def small_artefact(path: Path) -> bytes:
    """As few facts as lie in the header itself."""
    write_arrays(path, ARRAYS, frames=12, duration_s=0.48, has_audio=False, video_codec="h264")
    return path.read_bytes()


def wide_artefact(path: Path) -> bytes:
    """So many arrays and facts that they lie in heaps with an index."""
    facts = {f"fact_{k}": f"text {k}" if k % 3 else k for k in range(12)}
    write_arrays(path, ARRAYS | {f"array_{k}": np.arange(k) for k in range(10)}, **facts)
    return path.read_bytes()


def foreign_hdf5(path: Path) -> bytes:
    """What HDF5 has and we don't: groups, links, chunks, filters, text of variable length, virtual arrays."""
    import h5py

    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("time_s", data=ARRAYS["time_s"])
        file.create_dataset(
            "packed", data=np.arange(64.0), chunks=(8,), maxshape=(None,), compression=4, fletcher32=True
        )
        file["words"], file.attrs["word"] = ["one", "two"], "three"
        file["group/inside"], file["soft"] = np.arange(3), h5py.SoftLink("/time_s")
        file["elsewhere"] = h5py.ExternalLink("other.h5", "/x")
        layout = h5py.VirtualLayout((12,), "f8")
        layout[:] = h5py.VirtualSource(path.name, "time_s", (12,))
        file.create_virtual_dataset("virtual", layout)
    return path.read_bytes()


def old_hdf5(path: Path) -> bytes:
    """As HDF5 1.8 and before wrote it, without a checksum anywhere."""
    import h5py

    with h5py.File(path, "w", libver="earliest") as file:
        for name, array in ARRAYS.items():
            file[name] = array
        file.attrs["video_codec"] = "h264"
    return path.read_bytes()


def sealed_hdf5(content: bytes) -> bytes:
    """Correct the checksums of superblock and object headers."""
    data = bytearray(content)
    if len(data) >= 48:
        data[44:48] = lookup3(data[:44]).to_bytes(4, "little")
    begin = data.find(b"OHDR")
    while 0 <= begin < len(data) - 12:
        flags = data[begin + 5]
        first = begin + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        end = first + width + int.from_bytes(data[first : first + width], "little")
        if end + 4 <= len(data):
            data[end : end + 4] = lookup3(data[begin:end]).to_bytes(4, "little")
        begin = data.find(b"OHDR", begin + 4)
    return bytes(data)


def lookup3(data: bytes | bytearray) -> int:
    """Bob Jenkins's hash of 2006 (hashlittle, initial value 0), which HDF5 uses for its metadata."""
    state = [(0xDEADBEEF + len(data)) & 0xFFFFFFFF] * 3
    blocks = [data[k : k + 12] for k in range(0, len(data), 12)]
    for k, block in enumerate(blocks):
        words = np.frombuffer(bytes(block).ljust(12, b"\0"), "<u4").tolist()
        state = [(old + new) & 0xFFFFFFFF for old, new in zip(state, words, strict=True)]
        state = _finished(*state) if k == len(blocks) - 1 else _mixed(*state)
    return state[2]


def _turned(word: int, bits: int) -> int:
    return (word << bits | word >> (32 - bits)) & 0xFFFFFFFF


def _mixed(a: int, b: int, c: int) -> list[int]:
    for bits in (4, 6, 8, 16, 19, 4):
        a = (a - c & 0xFFFFFFFF) ^ _turned(c, bits)
        c = c + b & 0xFFFFFFFF
        a, b, c = b, c, a
    return [a, b, c]


def _finished(a: int, b: int, c: int) -> list[int]:
    for bits in (14, 11, 25, 16, 4, 14, 24):
        c = (c ^ b) - _turned(b, bits) & 0xFFFFFFFF
        a, b, c = b, c, a
    return [c, a, b]


READERS: dict[str, Reader] = {
    "labels": Reader(lambda _: b"valence,arousal\n0.5,-0.25\n-5,-5\n1,1e-3\n", labels, 40_000),
    "test_list": Reader(lambda _: "one\nzwei_left\n../evil\nüç\n".encode(), names, 8_000),
    "submission": Reader(
        lambda _: b"image_location,valence,arousal\na/00001.jpg,0,0\na/00002.jpg,0,0\nb/00001.jpg,0,0\n",
        sample_file,
        30_000,
    ),
    "params": Reader(lambda _: find_profiles(REPOSITORY)["sample"].read_bytes(), parameters, 1_000),
    "index": Reader(lambda _: BUNDLE.with_name("model.index").read_bytes(), bundle, 8_000),
    "sealed_index": Reader(
        lambda _: BUNDLE.with_name("model.index").read_bytes(), bundle, 8_000, sealed=sealed_index
    ),
    "safetensors": Reader(small_state, tensors, 8_000, ".safetensors"),
    "checkpoint": Reader(small_pickle, weights, 4_000, ".pth"),
    "container": Reader(small_film, container, 6_000, ".mp4"),
    "wav": Reader(small_sound, sound, 4_000, ".wav", alone=True),
    "artefact": Reader(small_artefact, artefact, 8_000, ".h5", alone=True),
    "sealed_artefact": Reader(small_artefact, artefact, 8_000, ".h5", sealed_hdf5, alone=True),
    "wide_artefact": Reader(wide_artefact, artefact, 4_000, ".h5", sealed_hdf5, alone=True),
    "foreign_hdf5": Reader(foreign_hdf5, artefact, 4_000, ".h5", sealed_hdf5, alone=True),
    **{
        layout: Reader(
            lambda path, layout=layout: annotation(layout, path.parent / layout).read_bytes(),
            corpus_of(layout),
            2_000,
        )
        for layout in TREES
        if layout not in ("savee", "emotic, MATLAB")  # names of videos; read in a process of its own
    },
    "old_hdf5": Reader(old_hdf5, artefact, 4_000, ".h5", alone=True),
}
