"""One more video costs one video; the same input gives the same bytes; damage is never served."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.core.artefacts import files_of
from stages.engine.fingerprint import md5_of

Ran = Callable[[str], list[str]]
Computed = Callable[[str], dict[str, tuple[int, int]]]

PER_VIDEO = {"index": 8, "decode": 7, "faces": 14, "mouth": 8, "voice": 7, "speech": 8}
"""Units of the finished repository: 7 videos, 8 subjects. A video is searched for faces, then its people followed."""
ONE_MORE = {stage: (2 if stage == "faces" else 1, known) for stage, known in PER_VIDEO.items()}
"""Units computed and remembered once there is a video more, of one person."""


def test_one_more_video_costs_one_and_one_less_costs_nothing(
    project: Any, film: Callable[..., Path], computed: Computed
) -> None:
    before = project.digests("data")
    project.lay(film("newcomer.mp4", hue=170), "test")
    output = project.dvc("repro", "speech", "voice")
    assert computed(output) == ONE_MORE
    for path, digest in project.digests("data").items():
        if "newcomer" in path:
            assert path not in before
        elif Path(path).name not in ("corpus.json", "notes.json"):
            assert digest == before[path]
    (project / "corpus/videos/newcomer.mp4").unlink()
    (project / "corpus/annotations/VA_test_set_release.txt").write_text("hidden\n")
    output = project.dvc("repro", "--no-run-cache", "faces")
    assert computed(output) == {stage: (0, PER_VIDEO[stage]) for stage in ("index", "decode", "faces")}
    after = project.digests("data/index", "data/decode", "data/faces")
    assert after == {path: digest for path, digest in before.items() if path in after}
    assert not any("newcomer" in path for path in after)


@pytest.mark.slow
def test_one_more_video_costs_one_all_the_way(
    project: Any, film: Callable[..., Path], computed: Computed, ran: Ran
) -> None:
    """A test video changes no training, so models are remembered, and every system predicts one video more."""
    before = project.digests("models")
    project.lay(film("newcomer.mp4", hue=170), "test")
    counts = computed(project.dvc("repro"))
    once = {"embed": (1, 8), "predict": (4, 31), "predict_cross_attention": (1, 7), "smooth": (5, 38 + 5 * 3)}
    # (smooth: besides every trace, five systems' out-of-fold traces of three subjects)
    once["fuse"] = (
        7,
        3 + 7 + 7 * 4,
    )  # three widths and all fusions are fitted, and applied to four subjects so far
    trainings = ("finetune", "train_dynamic", "kelm", "train_audio", "train_cross_attention")
    models = dict.fromkeys(trainings, (0, 1)) | {"finetune_folds": (0, 0)}
    # intervals: landmarks, views of three subjects and their four copies each, a fit per system and fusion
    models |= {"degrade": (0, 4), "intervals": (0, 1 + 3 * 5 + 5 + 7), "report": (0, 3)}  # validation alone
    assert counts == ONE_MORE | models | once
    assert project.digests("models") == before
    assert "newcomer/00001.jpg" in (project / "data/submission/submission.csv").read_text()


def fresh_clone(repository: Any, folder: Path) -> Any:
    """A git clone with the corpus beside it: no results, no memory, no cache."""
    repository.git("clone", "--quiet", ".", str(folder))
    clone = type(repository)(folder, repository.environment)
    shutil.copytree(repository / "corpus", folder / "corpus", dirs_exist_ok=True)
    return clone


def test_another_clone_gives_the_same_bytes(finished: Any, tmp_path: Path, computed: Computed) -> None:
    clone = fresh_clone(finished, tmp_path / "a clone")
    stages = ("index", "decode", "voice")
    counts = computed(clone.dvc("repro", "voice"))
    assert counts == {stage: (PER_VIDEO[stage], 0) for stage in stages}
    folders = [f"data/{stage}" for stage in stages]
    assert clone.digests(*folders) == finished.digests(*folders)
    assert clone.git("status", "--porcelain", "dvc.lock") == "", "DVC agrees"


@pytest.mark.slow
def test_another_clone_gives_the_same_bytes_all_the_way(finished: Any, tmp_path: Path) -> None:
    clone = fresh_clone(finished, tmp_path / "clone")
    clone.dvc("repro")
    assert clone.digests("data", "models", "metrics") == finished.digests("data", "models", "metrics")
    assert clone.git("status", "--porcelain") == ""


def spoil(path: Path, how: str) -> None:
    """Damage a file, without touching the bytes that other names share with it."""
    content = path.read_bytes()
    path.unlink()
    if how == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif how == "changed":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.parametrize(
    "how", ["changed", *(pytest.param(how, marks=pytest.mark.slow) for how in ("cut", "gone"))]
)
def test_damaged_memory_is_computed_again(project: Any, computed: Computed, how: str) -> None:
    """Two of the seven decoded videos: the record of one, the bytes of another."""
    before = project.digests("data/decode")
    records = files_of(project / ".valaro/memo/decode")
    assert len(records) == 7
    victims = {
        name: next(r for r in records if md5_of_artefact(project, name) in r.read_text())
        for name in ("v1", "v2")
    }
    if how == "changed":
        victims["v1"].write_text(victims["v1"].read_text().replace('"frames"', '"frameS"'))
    else:
        spoil(victims["v1"], how)
    md5 = md5_of_artefact(project, "v2")
    for folder in (".dvc/cache/files/md5", ".valaro/blobs"):
        path = project / folder / md5[:2] / md5[2:]
        if path.is_file():
            spoil(path, how)
    output = project.dvc("repro", "--force", "--single-item", "--no-run-cache", "decode")
    assert computed(output) == {"decode": (2, 5)}
    assert project.digests("data/decode") == before
    output = project.dvc("repro", "--force", "--single-item", "--no-run-cache", "decode")
    assert computed(output) == {"decode": (0, 7)}
    assert project.digests("data/decode") == before


def md5_of_artefact(project: Any, name: str) -> str:
    """How the cache and the memo call the decoded frames of a video."""
    return md5_of(project / f"data/decode/{name}.h5")


def test_bytes_lie_once(project: Any) -> None:
    """Once DVC has committed a stage, the memo keeps only what DVC doesn't: metrics, which lie in git."""
    project.stage("submission")  # any stage tidies up
    in_git = {md5_of(path) for path in files_of(project / "metrics")}
    assert {path.parent.name + path.name for path in files_of(project / ".valaro/blobs")} <= in_git
    if not any(path.stat().st_nlink > 1 for path in files_of(project / "data/decode")):
        pytest.skip("the file system shares bytes without counting names (reflinks), or can't share any")
