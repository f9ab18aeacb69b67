"""The disk fills while DVC commits what a stage wrote: the message says so, and nothing is lost or done again."""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.engine.fingerprint import md5_of

FOLDERS = "data/index", "data/decode"
CLIP_S = tuple(k / 25 for k in range(25))
CLIPS = 4  # some 150 kB each

Computed = Callable[[str], dict[str, tuple[int, int]]]
Disk = Callable[[Path, str], Path]


@pytest.fixture
def filmed(workspace: Any, film: Callable[..., Path]) -> Any:
    """A repository with a few clips, in which nothing has run."""
    for k in range(CLIPS):
        workspace.lay(film(f"clip{k}.mp4", hue=40 * k, times_s=CLIP_S), "Train", rows=len(CLIP_S))
    workspace.set({"index": {"test_list": None}, "decode": {"keep_frames": True}})
    return workspace


@pytest.fixture
def wanted(filmed: Any) -> dict[str, str]:
    """What an undisturbed run gives; nothing of it is left."""
    for stage in ("index", "decode"):
        filmed.stage(stage)
    found: dict[str, str] = filmed.digests(*FOLDERS)
    for folder in (".valaro", *FOLDERS):
        shutil.rmtree(filmed / folder)
    return found


def intact(repository: Any) -> int:
    """How many files DVC's cache holds; each is what its name says."""
    found = [p for p in (repository / ".dvc/cache/files/md5").glob("??/*") if not p.name.startswith(".")]
    for path in found:
        assert path.parent.name + path.name.removesuffix(".dir") == md5_of(path)
    return len(found)


def fails_for_want_of_space(repository: Any, computed: Computed, wanted: dict[str, str]) -> None:
    """The stage does its work, DVC can't commit it and says why; results and cache are whole."""
    output = repository.dvc("repro", "decode", fails=True)
    assert computed(output)["decode"] == (CLIPS, 0), output
    assert os.strerror(errno.ENOSPC) in output, output
    assert repository.digests(*FOLDERS) == wanted
    intact(repository)


def ends_well(repository: Any, computed: Computed, wanted: dict[str, str]) -> None:
    """With space again the next run takes up what is there."""
    output = repository.dvc("repro", "decode")
    assert computed(output)["decode"] == (0, CLIPS), output
    assert repository.digests(*FOLDERS) == wanted
    assert intact(repository) == len({*wanted.values()}) + len(FOLDERS)
    assert "up to date" in repository.dvc("repro", "decode")


def test_a_full_cache(filmed: Any, wanted: dict[str, str], computed: Computed, disk: Disk) -> None:
    """It lies on a disk of its own: files are copied there, some of them."""
    cache = disk(filmed / ".dvc/cache", "400k")
    fails_for_want_of_space(filmed, computed, wanted)
    subprocess.run(["mount", "-o", "remount,size=100m", str(cache)], check=True)
    ends_well(filmed, computed, wanted)


def test_a_full_project(
    filmed: Any, wanted: dict[str, str], computed: Computed, disk: Disk, tmp_path: Path, duplicate: Any
) -> None:
    """Everything lies on one disk: files are linked, but lists and locks can't be written."""
    project = duplicate(filmed, disk(tmp_path / "small", "100m"))
    recipe = (project / "dvc.yaml").read_text()
    after = "python -m stages.decode && { test -f filled || cat /dev/zero > filled || true; }"
    (project / "dvc.yaml").write_text(recipe.replace("python -m stages.decode", after))
    fails_for_want_of_space(project, computed, wanted)
    (project / "filled").write_bytes(b"")
    ends_well(project, computed, wanted)
