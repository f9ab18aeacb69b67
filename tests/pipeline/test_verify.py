"""`valaro verify` finds what was damaged, cut, lost or put there, and a rerun mends it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from stages.engine.fingerprint import md5_of

SHORT_S = tuple(k / 25 for k in range(25))


@pytest.fixture(scope="module")
def decoded(code: Any, film: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A repository in which two videos are decoded."""
    folder = tmp_path_factory.mktemp("verify") / "decoded"
    shutil.copytree(code.folder, folder, symlinks=True)
    repository = type(code)(folder, code.environment)
    for name, hue in (("one", 10), ("two", 70)):
        repository.lay(film(f"{name}.mp4", hue=hue, times_s=SHORT_S), "Train", rows=len(SHORT_S))
    repository.set({"index": {"test_list": None}})
    repository.dvc("repro", "decode")
    return repository


@pytest.fixture
def mine(decoded: Any, duplicate: Callable[..., Any], tmp_path: Path) -> Any:
    """A copy to damage."""
    return duplicate(decoded, tmp_path)


def verify(repository: Any, *options: str, fails: bool = True) -> str:
    output: str = repository.run("python", "-m", "valaro.cli", "verify", *options, fails=fails)
    return output


def replaced(path: Path, content: bytes) -> None:
    """Other bytes under this name alone (the cache may share the old ones)."""
    path.unlink()
    path.write_bytes(content)


def drop_label(path: Path) -> None:
    """One row fewer in one array of an otherwise perfect file."""
    content = path.read_bytes()
    replaced(path, content)
    with h5py.File(path, "r+") as file:
        rows = file["labelled"][:-1]
        del file["labelled"]
        file["labelled"] = rows


DAMAGES: dict[str, tuple[str, Callable[[Path], None], tuple[str, ...]]] = {
    "truncated": (
        "data/decode/one.h5",
        lambda path: replaced(path, path.read_bytes()[:3000]),
        (
            "data/decode/one.h5: other bytes than decode wrote",
            "damaged, or not an artefact",
            "dvc repro decode",
        ),
    ),
    "one bit": (
        "data/decode/two.flac",
        lambda path: replaced(path, path.read_bytes()[:-1] + b"\1"),
        ("data/decode/two.flac: other bytes than decode wrote", "dvc repro decode"),
    ),
    "missing": ("data/index/two.h5", Path.unlink, ("data/index/two.h5: missing", "dvc repro index")),
    "foreign": (
        "data/decode/holiday.h5",
        lambda path: path.write_bytes(b"photos") and None,
        ("data/decode/holiday.h5: not written by decode", "dvc repro decode"),
    ),
    "a killed run's": (
        "data/decode/.partial-1-one.h5",
        lambda path: path.write_bytes(b"half") and None,
        ("left by a killed run", "valaro verify --repair"),
    ),
    "one row fewer": (
        "data/index/one.h5",
        drop_label,
        ("data/index/one.h5: labelled has 24 rows, not 25", "dvc repro index"),
    ),
}


def test_what_is_well_is_said_to_be(decoded: Any) -> None:
    assert "Everything is what the stages wrote." in verify(decoded, fails=False)
    assert verify(decoded, "--quiet", fails=False) == ""


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_named_and_mended(mine: Any, damage: str) -> None:
    before = mine.digests("data/index", "data/decode")
    path, harm, words = DAMAGES[damage]
    harm(mine / path)
    output = verify(mine)
    for word in words:
        assert word in output
    assert "Traceback" not in output
    verify(mine, "--repair")
    mine.dvc("repro", "decode")
    assert mine.digests("data/index", "data/decode") == before
    verify(mine, fails=False)


def test_damaged_memory_is_found_forgotten_and_made_again(mine: Any, computed: Callable[..., Any]) -> None:
    """The bytes in DVC's cache and, where they are shared, in the artefact itself; and a record."""
    before = mine.digests("data/decode")
    shutil.rmtree(mine / ".valaro/blobs")  # a second, intact copy would be used
    md5 = md5_of(mine / "data/decode/one.h5")
    cached = mine / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    cached.chmod(0o644)
    content = cached.read_bytes()
    with cached.open("r+b") as file:
        file.seek(5000)
        file.write(bytes([content[5000] ^ 255]))
    record = next(
        path for path in (mine / ".valaro/memo/decode").rglob("*.json") if md5 not in path.read_text()
    )
    record.write_text("{")
    output = verify(mine)
    assert f"{md5[2:]}: its bytes don't hash to its name" in output
    assert "json: not a record" in output
    assert "valaro verify --repair" in output
    assert cached.is_file()
    assert "(forgotten)" in verify(mine, "--repair")
    assert not cached.exists()
    assert computed(mine.dvc("repro", "--force", "--single-item", "decode"))["decode"] == (2, 0)
    assert mine.digests("data/decode") == before
    verify(mine, fails=False)


def test_before_anything_has_run_it_says_so(workspace: Any) -> None:
    assert "nothing has run here" in verify(workspace)


def test_a_cache_that_was_moved_elsewhere_is_no_fault(mine: Any, tmp_path: Path) -> None:
    """DVC's lists of files lie there: without them the folders themselves are hashed, as DVC does."""
    mine.dvc("config", "cache.dir", str(tmp_path / "elsewhere"))
    assert "Everything is what the stages wrote" in verify(mine, fails=False)
