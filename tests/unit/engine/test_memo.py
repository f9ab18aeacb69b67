"""What the memo remembers comes back whole, or not at all."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.core.artefacts import PARTIAL, files_of, read_json
from stages.core.notes import Note
from stages.engine import memo as module
from stages.engine.fingerprint import md5_of
from stages.engine.memo import Memo, dvc_cache, link

KEY = "ab" + 62 * "0"


class Shop:
    """A memo, its folders, and a result of two files, one of them in a folder."""

    def __init__(self, root: Path) -> None:
        self.home, self.cache, self.out = root / ".valaro", root / "cache", root / "out"
        self.memo = Memo(self.home, self.cache, "decode")
        self.writes = {"frames": self.out / "a.h5", "plots": self.out / "plots"}

    def compute(self) -> None:
        (self.out / "plots" / "deep").mkdir(parents=True)
        (self.out / "a.h5").write_bytes(b"frames")
        (self.out / "plots" / "loss.tsv").write_bytes(b"loss")
        (self.out / "plots" / "deep" / "same.tsv").write_bytes(b"loss")

    def clear(self) -> None:
        shutil.rmtree(self.out)

    def content(self) -> dict[str, bytes]:
        return {path.relative_to(self.out).as_posix(): path.read_bytes() for path in files_of(self.out)}

    def blobs(self) -> list[Path]:
        return files_of(self.home / "blobs") if (self.home / "blobs").is_dir() else []

    def commit(self) -> None:
        """What `dvc commit` does with outputs: their bytes move into the cache."""
        for path in files_of(self.out):
            md5 = md5_of(path)
            place = self.cache / md5[:2] / md5[2:]
            place.parent.mkdir(parents=True, exist_ok=True)
            path.replace(place)
            os.link(place, path)

    def record(self) -> Path:
        return self.home / "memo" / "decode" / "ab" / f"{KEY}.json"


CONTENT = {"a.h5": b"frames", "plots/loss.tsv": b"loss", "plots/deep/same.tsv": b"loss"}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path)
    shop.compute()
    return shop


def test_a_result_comes_back_with_its_notes(shop: Shop) -> None:
    note = Note("a", "a.mp4", "no audio stream", "Nothing to do")
    kept = shop.memo.remember(KEY, shop.writes, [note])
    shop.clear()
    assert shop.memo.recall(KEY, shop.writes) == kept
    assert kept.notes == [note]
    assert shop.content() == CONTENT


def test_an_empty_folder_is_a_result_too(shop: Shop) -> None:
    writes = shop.writes | {"out_of_fold": shop.out / "nobody"}
    writes["out_of_fold"].mkdir()
    kept = shop.memo.remember(KEY, writes, [])
    shop.clear()
    assert shop.memo.recall(KEY, writes) == kept
    assert list(writes["out_of_fold"].iterdir()) == []


def test_it_comes_back_to_another_place(shop: Shop) -> None:
    """An experiment in a copy of the repository finds what the main one computed."""
    shop.memo.remember(KEY, shop.writes, [])
    there = {role: path.parent / "copy" / path.name for role, path in shop.writes.items()}
    assert shop.memo.recall(KEY, there)
    assert there["frames"].read_bytes() == b"frames"
    assert [path.name for path in files_of(there["plots"])] == ["same.tsv", "loss.tsv"]


@pytest.mark.parametrize("roles", [{"frames"}, {"frames", "plots", "sound"}])
def test_other_roles_are_another_result(shop: Shop, roles: set[str]) -> None:
    shop.memo.remember(KEY, shop.writes, [])
    assert shop.memo.recall(KEY, {role: shop.out / role for role in roles}) is None


def test_an_unknown_key_is_not_remembered(shop: Shop) -> None:
    shop.memo.remember(KEY, shop.writes, [])
    assert shop.memo.recall("cd" + KEY[2:], shop.writes) is None
    assert Memo(shop.home, shop.cache, "faces").recall(KEY, shop.writes) is None


def test_bytes_lie_once_and_leave_for_the_cache(shop: Shop) -> None:
    shop.memo.remember(KEY, shop.writes, [])
    assert len(shop.blobs()) == 2, "two different contents"
    assert (shop.out / "a.h5").stat().st_nlink == 2, "a second name, not a second copy"
    shop.memo.release()
    assert len(shop.blobs()) == 2, "nothing is committed yet"
    shop.commit()
    shop.memo.release()
    assert shop.blobs() == []
    shop.clear()
    assert shop.memo.recall(KEY, shop.writes)
    assert shop.content() == CONTENT
    shop.memo.remember(KEY, shop.writes, [])
    assert shop.blobs() == [], "what the cache holds isn't kept again"


DAMAGES: dict[str, Callable[[Path], object]] = {
    "bytes changed": lambda path: path.write_bytes(b"fRames"),
    "cut": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("place", ["blobs", "cache"])
def test_a_damaged_blob_is_never_served(shop: Shop, damage: str, place: str) -> None:
    shop.memo.remember(KEY, shop.writes, [])
    if place == "cache":
        shop.commit()
        shop.memo.release()
    shop.clear()
    (victim,) = [
        p
        for p in files_of(shop.home / "blobs" if place == "blobs" else shop.cache)
        if p.read_bytes() == b"frames"
    ]
    DAMAGES[damage](victim)
    assert shop.memo.recall(KEY, shop.writes) is None
    assert not shop.out.exists(), "nothing of it is put in place"
    for _ in range(2):  # computed again, it is remembered again, also beside a cache that stays damaged
        shop.memo.release()
        shop.compute()
        shop.memo.remember(KEY, shop.writes, [])
        shop.memo.release()
        shop.clear()
        assert shop.memo.recall(KEY, shop.writes)
        assert shop.content() == CONTENT
        shop.clear()


def test_a_blob_serves_where_the_cache_is_damaged(shop: Shop) -> None:
    shop.memo.remember(KEY, shop.writes, [])
    shop.commit()
    for path in files_of(shop.cache):
        path.unlink()  # the blob has the same inode
        path.write_bytes(b"damaged")
    shop.clear()
    assert shop.memo.recall(KEY, shop.writes)
    assert shop.content() == CONTENT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"files": {}}',
        '{"files": 3, "notes": []}',
        '{"files": {}, "notes": [{"x": 1}]}',
        '{"files": {"frames": ["a"], "plots": {}}, "notes": []}',
        '{"files": {"frames": {"": 3}, "plots": {}}, "notes": []}',
    ],
)
def test_a_damaged_record_means_compute_again(shop: Shop, text: str) -> None:
    shop.memo.remember(KEY, shop.writes, [])
    shop.record().write_text(text)
    assert shop.memo.recall(KEY, shop.writes) is None
    shop.memo.remember(KEY, shop.writes, [])
    assert shop.memo.recall(KEY, shop.writes), "and it is mended"


def test_a_blob_that_goes_meanwhile_means_compute_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.memo.remember(KEY, shop.writes, [])
    shop.clear()

    def too_late(source: Path, target: Path) -> None:
        source.unlink()  # another run's `release`
        link(source, target)

    monkeypatch.setattr(module, "link", too_late)
    assert shop.memo.recall(KEY, shop.writes) is None
    assert files_of(shop.out) == []


def test_a_recalled_result_that_is_overwritten_leaves_the_memory_whole(shop: Shop) -> None:
    """Outputs share their inode with the blob; the writers of this package replace, never overwrite."""
    shop.memo.remember(KEY, shop.writes, [])
    shop.out.joinpath("a.h5").write_bytes(b"somebody's editor writes in place")
    shop.clear()
    assert shop.memo.recall(KEY, shop.writes) is None


@pytest.mark.parametrize("failure", [errno.EXDEV, errno.EPERM, errno.EMLINK])
def test_where_nothing_can_be_linked_bytes_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: int
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(failure, "no")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "a").write_bytes(b"a")
    link(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"a"
    assert (tmp_path / "b").stat().st_nlink == 1


def test_a_link_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    with pytest.raises(FileNotFoundError):
        link(tmp_path / "nothing", tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("config", "local", "folder"),
    [
        (None, None, ".dvc/cache/files/md5"),
        ("[core]\n    analytics = false\n", None, ".dvc/cache/files/md5"),
        ("[cache]\n    dir = ../../big disk\n", None, ".dvc/../../big disk/files/md5"),
        ('[cache]\n    dir = "/big disk/100% full"\n', None, "/big disk/100% full/files/md5"),
        ("[cache]\n    dir = /one\n", "[cache]\n    dir = /two\n", "/two/files/md5"),
        ("['remote \"x\"']\n    url = s3://a/b%20c\n", None, ".dvc/cache/files/md5"),
    ],
)
def test_the_cache_is_where_dvc_has_it(
    tmp_path: Path, config: str | None, local: str | None, folder: str
) -> None:
    (tmp_path / ".dvc").mkdir()
    for name, text in (("config", config), ("config.local", local)):
        if text is not None:
            (tmp_path / ".dvc" / name).write_text(text, encoding="utf-8")
    assert dvc_cache(tmp_path) == tmp_path / folder


def test_what_a_killed_run_left_in_the_memory_goes_in_time(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.memo.remember(KEY, shop.writes, [])
    leftovers = [folder / f"{PARTIAL}1-x" for folder in (shop.blobs()[0].parent, shop.record().parent)]
    for path in leftovers:
        path.write_bytes(b"half")
    shop.memo.release()
    assert all(path.exists() for path in leftovers), "it may be another run's"
    monkeypatch.setattr(module, "HOUR_S", 0)
    shop.memo.release()
    assert not any(path.exists() for path in leftovers)
    assert shop.memo.recall(KEY, shop.writes)


def test_a_record_is_plain_json(shop: Shop) -> None:
    shop.memo.remember(KEY, shop.writes, [])
    files = read_json(shop.record())["files"]
    assert files["frames"] == {"": md5_of(shop.out / "a.h5")}
    assert sorted(files["plots"]) == ["deep/same.tsv", "loss.tsv"]
