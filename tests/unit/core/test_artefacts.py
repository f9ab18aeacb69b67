"""Artefacts are whole or absent, and the same content gives the same bytes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from stages.core import artefacts
from stages.core.artefacts import (
    PARTIAL,
    files_of,
    own_folder,
    read_arrays,
    read_config,
    read_facts,
    read_json,
    remove,
    sweep,
    whole,
    write_arrays,
    write_json,
    write_tensors,
)
from stages.core.errors import ValaroError

ARRAYS = {
    "time_s": np.arange(5) / 5,
    "detected": np.array([True, False, True, True, False]),
    "box_xyxy": np.full((5, 4), np.nan, np.float32),
    "jpeg": np.frombuffer(b"\xff\xd8bytes\xff\xd9", np.uint8),
    "none_at_all": np.empty((0, 2), np.float32),
}


def test_arrays_and_facts_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "two.dots and ‘quotes’.h5"
    write_arrays(path, ARRAYS, fps_hz=29.97, frames=5, has_audio=False, codec="h264", missing=None)
    back = read_arrays(path)
    assert set(back) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert back[name].dtype == array.dtype, name
        np.testing.assert_array_equal(back[name], array)
    assert list(read_arrays(path, "jpeg")) == ["jpeg"]
    facts = read_facts(path)
    assert facts == {"fps_hz": 29.97, "frames": 5, "has_audio": False, "codec": "h264"}
    assert [type(facts[name]) for name in ("fps_hz", "frames", "has_audio")] == [float, int, bool]


def test_a_missing_array_is_named_with_its_file(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.h5", {"time_s": np.zeros(2)})
    with pytest.raises(KeyError, match=r"a\.h5.*has \['time_s'\], not \['embedding'\]"):
        read_arrays(tmp_path / "a.h5", "time_s", "embedding")


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    write_arrays(tmp_path / "first.h5", ARRAYS, fps_hz=5.0, width=640)
    time.sleep(1.1)  # HDF5 keeps times in whole seconds
    other_order = dict(reversed(ARRAYS.items())) | {"time_s": (np.arange(10) / 10)[::2]}  # not contiguous
    write_arrays(tmp_path / "second.h5", other_order, width=640, fps_hz=5.0)
    assert (tmp_path / "first.h5").read_bytes() == (tmp_path / "second.h5").read_bytes()
    write_json(tmp_path / "first.json", {"b": 1, "a": [0.1 + 0.2, "ü"]})
    write_json(tmp_path / "second.json", {"a": (0.3, "ü"), "b": np.int64(1)})
    assert (tmp_path / "first.json").read_bytes() == (tmp_path / "second.json").read_bytes()


@pytest.mark.parametrize(
    ("content", "back"),
    [
        ({"ccc": np.float32(0.5), "n": np.int64(3), "ok": np.bool_(True)}, {"ccc": 0.5, "n": 3, "ok": True}),
        ([1 / 3, (2e-9, "é")], [0.333333, [0.0, "é"]]),
        ({1: None}, {"1": None}),
    ],
)
def test_json_takes_numpy_scalars_and_rounds(tmp_path: Path, content: Any, back: Any) -> None:
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == back


def test_json_refuses_what_json_has_no_word_for(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"ccc": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_failed_writer_leaves_the_old_result(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "model"

    def write(path: Path, text: str) -> None:
        if kind == "folder":
            path.mkdir()
            path = path / "weights"
        path.write_text(text)

    with whole(target) as partial:
        write(partial, "old")
        assert not target.exists(), "nothing is visible before it is whole"
    with pytest.raises(ZeroDivisionError), whole(target) as partial:
        write(partial, "half of the n")
        raise ZeroDivisionError
    assert [file.read_text() for file in files_of(target)] == ["old"]
    with whole(target) as partial:
        write(partial, "new")
    assert [file.read_text() for file in files_of(target)] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_takes_the_place_of_the_old_one_entirely(tmp_path: Path) -> None:
    for names in (["a", "b"], ["c"]):
        with whole(tmp_path / "plots") as partial:
            partial.mkdir()
            for name in names:
                (partial / name).write_text(name)
    assert [file.name for file in files_of(tmp_path / "plots")] == ["c"]


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole(tmp_path / "a.h5"):
        pass
    assert list(tmp_path.iterdir()) == []


SLOW_WRITER = """
import sys, time
from collections.abc import Callable
from pathlib import Path
from stages.core.artefacts import whole
with whole(Path(sys.argv[1])) as partial:
    partial.write_text("half")
    print("half", flush=True)
    time.sleep(60)
"""


def test_a_killed_writer_leaves_a_hidden_file_that_is_swept_away(tmp_path: Path, repository: Path) -> None:
    target = tmp_path / "video.h5"
    with subprocess.Popen(
        [sys.executable, "-c", SLOW_WRITER, str(target)], stdout=subprocess.PIPE, cwd=repository
    ) as writer:
        assert writer.stdout
        writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)
    (leftover,) = tmp_path.iterdir()
    assert leftover.name.startswith(PARTIAL)
    target.write_text("a finished neighbour")
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["video.h5"]


def test_sweeping_a_folder_that_is_not_there_does_nothing(tmp_path: Path) -> None:
    sweep(tmp_path / "nowhere")
    remove(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_removing_a_link_to_a_folder_spares_the_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_text("a")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    remove(tmp_path / "link")
    remove(tmp_path / "nothing")
    assert [path.relative_to(tmp_path).as_posix() for path in files_of(tmp_path)] == ["real/a"]


def test_a_transposed_view_is_stored_as_the_matrix_it_is(tmp_path: Path) -> None:
    """safetensors alone would take its bytes as they lie, and read another matrix back."""
    from safetensors.numpy import load_file

    matrix = np.arange(6.0).reshape(2, 3)
    write_tensors(
        tmp_path / "x.safetensors", {"t": matrix.T, "part": matrix[:, 1]}, window_s=2.0, names=["a"]
    )
    found = load_file(tmp_path / "x.safetensors")
    np.testing.assert_array_equal(found["t"], [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(found["part"], [1, 4])
    assert read_config(tmp_path / "x.safetensors") == {"window_s": 2.0, "names": ["a"]}


def test_a_file_of_another_format_is_refused_not_misread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "index" / "a.h5"
    write_arrays(path, ARRAYS, fps_hz=5.0)
    monkeypatch.setattr(artefacts, "FORMAT", 2)
    for read in (read_arrays, read_facts):
        with pytest.raises(
            ValaroError, match=r"a\.h5: artefact format 1; this version reads 2\. Run `dvc repro"
        ):
            read(path)
    write_arrays(path, ARRAYS, fps_hz=5.0)
    assert read_facts(path) == {"fps_hz": 5.0}
    monkeypatch.setattr(artefacts, "FORMAT", 1)
    with pytest.raises(ValaroError, match="artefact format 2; this version reads 1"):
        read_arrays(path)


@pytest.mark.parametrize(
    "damage", [lambda content: content[:600], lambda content: b"x" * 2000, lambda content: b""]
)
def test_a_damaged_file_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "a.h5"
    write_arrays(path, ARRAYS)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValaroError, match=r"a\.h5: damaged, or not an artefact"):
        read_arrays(path)


def linked(file: h5py.File, _: Path) -> None:
    file["x"] = h5py.ExternalLink("other.h5", "/x")


def aliased(file: h5py.File, _: Path) -> None:
    file["x"] = np.zeros(1000)
    for k in range(100):
        file[f"again_{k}"] = file["x"]


def virtual(file: h5py.File, _: Path) -> None:
    layout = h5py.VirtualLayout((2,), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "x", (2,))
    file.create_virtual_dataset("x", layout)


def stored_elsewhere(file: h5py.File, folder: Path) -> None:
    (folder / "secret").write_bytes(bytes(16))
    file.create_dataset("x", (2,), "f8", external=[(folder / "secret", 0, 16)])


def boundless(file: h5py.File, _: Path) -> None:
    """A terabyte that is only declared: nothing is allocated in the file before something is written."""
    file.create_dataset("x", (1 << 37,), "f8")


FOREIGN: dict[str, tuple[Callable[[h5py.File, Path], Any], str]] = {
    "chunks": (lambda file, _: file.create_dataset("x", data=np.zeros(9), chunks=(3,)), "isn't contiguous"),
    "compression": (
        lambda file, _: file.create_dataset("x", data=np.zeros(9), compression=4),
        "isn't contiguous",
    ),
    "bytes in another file": (stored_elsewhere, "isn't contiguous"),
    "an array put together from others": (virtual, "isn't contiguous"),
    "a link into another file": (linked, "x is a link"),
    "a soft link": (lambda file, _: file.__setitem__("x", h5py.SoftLink("/y")), "x is a link"),
    "a group": (lambda file, _: file.create_group("x"), "x isn't an array"),
    "a type": (lambda file, _: file.__setitem__("x", np.dtype("f4")), "x isn't an array"),
    "texts of variable length": (lambda file, _: file.__setitem__("x", ["a", "b"]), "x isn't an array"),
    "a table": (lambda file, _: file.__setitem__("x", np.zeros(2, "f4,i4")), "x isn't an array"),
    "nothing": (lambda file, _: file.__setitem__("x", h5py.Empty("f4")), "x isn't an array"),
    "a terabyte declared": (
        boundless,
        r"x is declared as \(137438953472,\) float64, which the file is too short for",
    ),
    "one array under many names": (aliased, "declared as 808000 bytes, more than"),
    "text of variable length": (
        lambda file, _: file.attrs.__setitem__("x", "h264"),
        "x is a string of variable",
    ),
    "a list": (lambda file, _: file.attrs.__setitem__("x", [1, 2]), "x is neither"),
    "a reference": (lambda file, _: file.attrs.__setitem__("x", file.ref), "x is neither"),
    "text in no encoding": (lambda file, _: file.attrs.__setitem__("x", np.bytes_(b"\xff")), "codec can't"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_what_is_never_written_is_never_read(tmp_path: Path, case: str) -> None:
    put, problem = FOREIGN[case]
    path = tmp_path / "index" / "a.h5"
    path.parent.mkdir()
    with h5py.File(path, "w", libver="latest") as file:
        put(file, tmp_path)
    for read in (read_arrays, read_facts):
        with pytest.raises(ValaroError, match=rf"index/a\.h5: damaged, .*{problem}.* Run `dvc repro .*index"):
            read(path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "signature"), (b"photos", "signature"), (b"\x89HDF\r\n\x1a\n\0" + bytes(99), "version 0")],
)
def test_what_has_no_checksums_never_reaches_the_library(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(ValaroError, match=rf"a\.h5: damaged.*{problem}.*Run `dvc repro"):
        read_arrays(tmp_path / "a.h5")


def test_no_byte_of_an_artefact_can_be_wrong_without_a_plain_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write_arrays(path, {"time_s": np.arange(3.0)}, codec="h264", frames=3)
    sound = path.read_bytes()
    outcomes = set()
    assert b"GCOL" not in sound, "no heap: it has no checksum"
    for place in range(0, len(sound), 7):
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 0x18]) + sound[place + 1 :])
        try:
            assert read_facts(path) == {"codec": "h264", "frames": 3}
            outcomes.add(len(read_arrays(path)["time_s"]))
        except ValaroError as error:
            assert str(error).startswith(str(path))
            outcomes.add("refused")
    assert outcomes == {3, "refused"}


def test_what_is_written_inside_is_flushed_once_from_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr(artefacts, "_flush", flushed.append)
    with whole(tmp_path / "a.h5") as partial:
        write_arrays(partial, ARRAYS)
    with whole(tmp_path / "folder") as folder:
        write_arrays(folder / "deeper" / "c.h5", ARRAYS)
    write_json(tmp_path / "b.json", {}, durable=False)
    assert flushed == [partial, folder]


def test_a_folder_of_ones_own_is_neither_flushed_nor_checked_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, other = tmp_path / "data", tmp_path / "data-2"  # a name that begins alike
    flushed: list[Path] = []
    monkeypatch.setattr(artefacts, "_flush", flushed.append)
    with own_folder(own):
        for folder in (own / "faces", other):
            write_arrays(folder / "a.h5", ARRAYS, fps_hz=5.0)
            with h5py.File(folder / "a.h5", "a") as file:
                file["elsewhere"] = h5py.SoftLink("/time_s")
        assert [path.parent for path in flushed] == [other]
        np.testing.assert_array_equal(read_arrays(own / "faces/a.h5", "time_s")["time_s"], ARRAYS["time_s"])
        (own / "faces/b.h5").symlink_to(other / "a.h5")
        for path in (other / "a.h5", own / "faces/b.h5"):
            with pytest.raises(ValaroError, match="is a link"):
                read_arrays(path, "time_s")
    with pytest.raises(ValaroError, match="is a link"):
        read_arrays(own / "faces/a.h5", "time_s")
