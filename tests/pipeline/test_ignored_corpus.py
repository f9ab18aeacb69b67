"""Experiments that run in a copy of the repository find a corpus that git ignores, and crops cost nothing."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.core.artefacts import read_json

Ran = Callable[[str], list[str]]
Computed = Callable[[str], dict[str, tuple[int, int]]]

PATIENCE_S = 600


@pytest.fixture(params=["folder", "link"])
def ignored(
    request: pytest.FixtureRequest,
    code: Any,
    duplicate: Callable[..., Any],
    film: Callable[..., Path],
    tmp_path: Path,
) -> Any:
    """A repository with a corpus at data/affwild2, which git ignores: a folder, or a link to one elsewhere."""
    repository = duplicate(code, tmp_path)
    for name, split in (("t1", "Train"), ("v1", "Validation"), ("x1", "test")):
        repository.lay(film(f"{name}.mp4", hue=10, times_s=[0.0, 0.2, 0.4]), split)
    place = tmp_path / "elsewhere" if request.param == "link" else repository / "data/affwild2"
    place.parent.mkdir(parents=True, exist_ok=True)
    (repository / "corpus").rename(place)
    if request.param == "link":
        (repository / "data").mkdir(exist_ok=True)
        (repository / "data/affwild2").symlink_to(place)
    (repository / ".git/info/exclude").write_text(
        "/data/affwild2\n/data/index\n/data/decode\n/data/inputs.json\n"
    )
    settings = {
        "corpus": "data/affwild2",
        "videos": ".",
        "annotations": ".",
        "lists": ".",
        "test_list": "auto",
    }
    repository.set({"index": settings})
    repository.commit("The corpus lies elsewhere")
    return repository


@pytest.mark.slow
def test_a_copy_finds_the_corpus(ignored: Any, ran: Ran, computed: Computed) -> None:
    assert ran(ignored.dvc("repro", "decode")) == ["inputs", "index", "decode"]
    assert "up to date" in ignored.dvc("repro", "decode")
    ignored.commit("The results")
    before = ignored.digests("data")

    output = ignored.dvc("exp", "run", "--temp", "--name", "apart", "-S", "decode.jpeg_quality=60", "decode")
    assert ran(output) == ["inputs", "decode"], "what a link leads to has the same bytes"
    assert computed(output)["decode"] == (3, 0)

    ignored.dvc("exp", "run", "--queue", "-S", "decode.jpeg_quality=70,80", "decode")
    ignored.dvc("queue", "start", "--jobs", "1")
    deadline = time.monotonic() + PATIENCE_S
    while re.search(r"Queued|Running", status := ignored.dvc("queue", "status")):
        assert time.monotonic() < deadline, status
        time.sleep(2)
    ignored.dvc("queue", "stop")
    names = re.findall(r"(\S+) +\S+ +\S+ +Success", status)
    counts = sorted(computed(ignored.dvc("queue", "logs", name))["decode"] for name in names)
    assert counts == [(3, 0), (3, 0)], status
    assert ignored.digests("data") == before
    assert (ignored / "data/affwild2/videos/t1.mp4").is_file(), "the corpus itself stays"


@pytest.mark.slow
def test_crops_in_the_corpus_cost_nothing(ignored: Any, ran: Ran) -> None:
    ignored.dvc("repro", "index")
    for subject in range(20):
        folder = ignored / f"data/affwild2/cropped_aligned/{subject}"
        folder.mkdir(parents=True)
        for k in range(1000):
            (folder / f"{k:05d}.jpg").touch()
    began = time.monotonic()
    output = ignored.dvc("repro", "index")
    assert "up to date" in output
    with_crops = time.monotonic() - began
    began = time.monotonic()
    (ignored / "data/affwild2/cropped_aligned").rename(ignored.folder / "crops")
    ignored.dvc("repro", "index")
    assert with_crops < 1.5 * (time.monotonic() - began) + 2
    subjects = read_json(ignored / "data/index/corpus.json")["subjects"]
    assert [each["name"] for each in subjects] == ["t1", "v1", "x1"]
