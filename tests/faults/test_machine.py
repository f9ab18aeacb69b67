"""The disk is full, read-only, broken: one line names the cause, nothing is half written, and a rerun succeeds.

Small file systems of their own where this may be mounted (as root), injected errors everywhere.
"""

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor
from pydantic import BaseModel

from stages.core.artefacts import PARTIAL, files_of, write_arrays
from stages.core.notes import Note
from stages.engine import stage as module
from stages.engine.fingerprint import md5_of
from stages.engine.machine import MachineTrouble
from stages.engine.stage import Stage
from stages.engine.units import Unit
from stages.media.sound import write_flac, write_wav

KIB = 1024
WORKED: list[str] = []


class Settings(BaseModel):
    """Parameters of the stage under test."""

    kib: int = 100


def expand(unit: Unit, settings: Settings) -> list[Note]:
    """Write so many KiB of HDF5 and of sound, half of it WAV and half FLAC, decided by the input."""
    WORKED.append(unit.name)
    rng = np.random.default_rng(list(unit.reads["seed"].read_bytes()))
    write_arrays(unit.writes["arrays"], {"a": rng.integers(0, 255, settings.kib * KIB, np.uint8)})
    noise = rng.uniform(-1, 1, settings.kib * KIB // 2)  # in FLAC as long as in WAV
    write_wav(unit.writes["voice"], noise[::2], 16_000)
    write_flac(unit.writes["sound"], noise[::2].reshape(-1, 2).astype(np.float32), 16_000)
    return []


Run = Callable[..., None]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the stage on some units, below the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    monkeypatch.setattr(module, "remembered_code_of", lambda name, memory: "code")

    def once(names: str = "abcdefgh", jobs: int = 1) -> None:
        WORKED.clear()
        get_reusable_executor().shutdown(wait=True)  # earlier workers live in other folders
        Path("in").mkdir(exist_ok=True)
        units = []
        for name in names:
            if not Path("in", name).is_file():
                Path("in", name).write_bytes(name.encode())
            endings = {"arrays": ".h5", "voice": ".wav", "sound": ".flac"}
            writes = {role: Path("out", name + ending) for role, ending in endings.items()}
            units.append(Unit(name, {"seed": Path("in", name)}, writes))
        with Stage("expand", Path("out")) as stage:
            stage.run(expand, units, Settings(), jobs=jobs)

    return once


def digests() -> dict[str, str]:
    return {path.name: md5_of(path) for path in files_of(Path("out")) if not path.name.startswith(".")}


@pytest.fixture
def wanted(run: Run) -> dict[str, str]:
    """What an undisturbed run gives; nothing of it is left."""
    run()
    found = digests()
    forget()
    return found


def forget() -> None:
    for folder in ("out", ".valaro"):
        shutil.rmtree(folder, ignore_errors=True)


def whole_or_absent(wanted: dict[str, str]) -> None:
    """Every finished artefact is right, and no unfinished file is left beside it."""
    for path in files_of(Path("out")) if Path("out").is_dir() else []:
        if path.name != "notes.json":
            assert path.name.startswith(PARTIAL) or md5_of(path) == wanted[path.name]


Fault = Callable[..., Any]


def refuse(number: int, after: int) -> tuple[Fault, list[int]]:
    """A wrapper whose calls fail from the `after`th on, like a disk that fills; and the calls so far."""
    calls = [0]

    def wrap(real: Fault) -> Fault:
        def call(*arguments: Any, **keywords: Any) -> Any:
            calls[0] += 1
            if calls[0] > after:
                raise OSError(number, os.strerror(number), "the disk")
            return real(*arguments, **keywords)

        return call

    return wrap, calls


PLACES: list[tuple[Any, str]] = [
    (os, "fsync"),
    (Path, "replace"),
    (os, "link"),
    (Path, "mkdir"),
    (Path, "write_text"),
]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize(("owner", "name"), PLACES, ids=[name for _, name in PLACES])
def test_an_error_at_any_call_is_named_and_mended_by_a_rerun(
    run: Run, wanted: dict[str, str], number: int, owner: Any, name: str
) -> None:
    """At the flush, the rename, the memo's links, its records."""
    happened = 0
    for after in (0, 1, 3, 6):
        forget()
        wrap, _ = refuse(number, after)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner, name, wrap(getattr(owner, name)))
            try:
                run()
            except (MachineTrouble, OSError) as error:
                happened += 1
                assert os.strerror(number).lower() in str(error).lower()
        whole_or_absent(wanted)
        run()
        assert digests() == wanted
        assert list(Path("out").rglob(f"{PARTIAL}*")) == []
    assert happened, f"{name} is never called"


@pytest.fixture
def small(tmp_path: Path, disk: Callable[[Path, str], Path]) -> Path:
    """A disk with room for two units and a half (each 200 KiB, and as much again in the memo)."""
    return disk(tmp_path / "small", "1000k")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_full_disk(
    run: Run, wanted: dict[str, str], small: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    """Everything lies on it: results, memo, locks."""
    monkeypatch.chdir(small)
    with pytest.raises(MachineTrouble, match=r"no space left on device\. Free some space, and run again"):
        run(jobs=jobs)
    finished = {path.name for path in files_of(small / "out") if path.suffix == ".h5"}
    whole_or_absent(wanted)
    subprocess.run(["mount", "-o", "remount,size=4m", str(small)], check=True)
    run()
    assert digests() == wanted
    assert finished, "some were done before it was full"
    assert 0 < len(WORKED) <= 8 - len(finished) + jobs, (
        "at most those are done again that found no room in the memo"
    )
    assert not list((small / "out").glob(f"{PARTIAL}*"))


def test_a_read_only_disk(
    run: Run, wanted: dict[str, str], small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small)
    run("a")
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    with pytest.raises(OSError, match="Read-only file system"):
        run("ab")
    subprocess.run(["mount", "-o", "remount,rw", str(small)], check=True)
    run("ab")
    assert WORKED == ["b"]
    assert digests().items() <= wanted.items()


def test_a_full_folder_for_temporary_files_is_no_obstacle(
    run: Run, wanted: dict[str, str], small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of ours lies in /tmp; joblib's own exchange of large arrays gives way."""
    (small / "rubbish").write_bytes(bytes(999 * KIB))
    monkeypatch.setenv("TMPDIR", str(small))
    run(jobs=2)
    assert digests().items() >= wanted.items()


@pytest.mark.parametrize("jump_s", [-86_400 * 400, 86_400 * 400])
def test_a_clock_that_jumps_changes_nothing(
    run: Run, wanted: dict[str, str], monkeypatch: pytest.MonkeyPatch, jump_s: int
) -> None:
    run("ab")
    real = time.time
    monkeypatch.setattr("time.time", lambda: real() + jump_s)
    for path in files_of(Path("in")):
        os.utime(path, (real() + jump_s,) * 2)  # a file that seems new, or very old, is read again
    run()
    assert sorted(WORKED) == list("cdefgh")
    assert digests() == wanted
