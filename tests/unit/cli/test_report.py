"""`valaro report` says what is up to date and what took how long."""

from dataclasses import replace
from pathlib import Path

import pytest

from stages.core.errors import ValaroError
from stages.engine.runlog import Run
from valaro.commands.report import entries_of, report, states_of, times_of

RUN = Run("faces", "find", "2024-05-01T10:00:00+00:00", 10.0, 20.0, 2, 1, 0, 250, 50.0, 300.4, "2 here", "a")


def test_a_matrix_is_as_its_worst_entry() -> None:
    names = ["index", "faces", "finetune", "fuse"]
    changed = {"finetune@b4": [{"changed deps": {}}], "fuse": ["always changed"]}
    assert states_of(names, changed, ["index", "faces", "finetune@b1", "finetune@b4"]) == {
        "index": "current",
        "faces": "current",
        "finetune": "changed",
        "fuse": "never",
    }


def test_a_time_is_of_the_last_run_that_computed_something() -> None:
    runs = {
        ("faces", "find"): [RUN, replace(RUN, wall_s=30.04), replace(RUN, wall_s=0.1, computed=0)],
        ("faces", "crop"): [replace(RUN, wall_s=1.0)],
        ("embed", "embed"): [replace(RUN, wall_s=600.0)],
        ("decode", "decode"): [replace(RUN, wall_s=9000.0)],
        ("mouth", "measure"): [replace(RUN, computed=0)],
    }
    assert times_of(runs, {}) == {"faces": "31.0 s", "embed": "10 min", "decode": "2.5 h"}


def test_the_time_of_a_matrix_is_that_of_all_its_entries() -> None:
    def took(*seconds: float) -> list[Run]:
        return [replace(RUN, wall_s=wall_s) for wall_s in seconds]

    runs = {
        ("finetune", "train"): took(1000.0),  # by a version that didn't tell entries apart
        ("finetune@b1", "train"): took(99.0, 20.0),
        ("finetune@b4", "train"): took(40.0),
        ("finetune@gone", "train"): took(500.0),
        ("kelm@mean", "fit"): took(5.0),
        ("kelm", "fit"): took(7.0),
        ("pretrain", "train"): took(9.0),
    }
    entries = {
        "finetune": ["finetune@b1", "finetune@b4"],
        "kelm": ["kelm@mean", "kelm@mean_max"],
        "pretrain": ["pretrain@b1"],
    }
    assert times_of(runs, entries) == {"finetune": "60.0 s", "kelm": "5.0 s (1 of 2)"}


def test_entries_are_those_that_dvc_would_run(repository: Path) -> None:
    from dvc.repo import Repo

    found = entries_of(repository / "dvc.yaml", repository / "params.yaml")
    with Repo(str(repository)) as repo:
        names = {stage.name for stage in repo.index.stages if stage.name and "@" in stage.name}
    assert {entry for entries in found.values() for entry in entries} == names


def test_without_a_run_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValaroError, match=r"evaluate\.json is missing\. Run `dvc repro report` first"):
        report(tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
