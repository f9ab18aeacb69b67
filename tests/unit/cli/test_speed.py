"""`valaro speed` shows the last run beside the one before."""

from dataclasses import replace
from pathlib import Path

import pytest

from stages.engine.runlog import Run, append
from valaro.commands.speed import speed

FACES = Run(
    "faces", "find_faces", "2024-05-01T10:00:00+00:00", 10.0, 20.0, 2, 1, 0, 250, 50.0, 300.4, "2 here", "a"
)
TRAIN = Run(
    "finetune", "train", "2024-05-01T11:00:00+00:00", 40.0, 40.0, 1, 0, 0, 0, 0.0, 900.0, "1 here", "a"
)


def lines(text: str) -> list[list[str]]:
    return [[cell for cell in line.split("  ") if cell] for line in text.splitlines()]


def test_a_run_beside_the_one_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / ".valaro"
    for run in (FACES, TRAIN, replace(FACES, began="2024-05-03T10:00:00+00:00", wall_s=5.0)):
        append(home, run)
    append(home, replace(TRAIN, began="2024-05-04T10:00:00+00:00", wall_s=30.0, failed=1))
    speed(tmp_path)
    head, faces, train = [[cell.strip() for cell in line] for line in lines(capsys.readouterr().out)]
    assert head[0] == "began (UTC)"
    assert faces == [
        "2024-05-03 10:00",
        "faces: find_faces",
        "2",
        "5.0",
        "50.0",
        "10.0",
        "300",
        "5.0 x (+100%)",
        "2 here",
    ]
    assert train[1:3] == ["finetune: train", "1 (+1 failed)"]
    assert train[4:] == ["—", "—", "900", "40.0 s a unit (-25%)", "1 here"]


def test_columns_are_as_wide_as_what_is_in_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home, long = tmp_path / ".valaro", "a_stage_with_quite_a_long_name"
    for run in (FACES, replace(FACES, stage=long, wall_s=12_345.6, frames=10**8)):
        append(home, run)
    speed(tmp_path)
    head, *rows = capsys.readouterr().out.splitlines()
    for name in ("wall s", "frames/s"):
        end = head.index(name) + len(name)
        assert all(row[end - 1].isdigit() and row[end : end + 2] == "  " for row in rows), (
            "figures at the right"
        )
    assert {row.index("2 here") for row in rows} == {head.index("workers")}


def test_a_first_run_has_nothing_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    append(tmp_path / ".valaro", FACES)
    speed(tmp_path)
    assert lines(capsys.readouterr().out)[1][-2].strip() == "—"


def test_nothing_has_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    speed(tmp_path)
    said = capsys.readouterr()
    assert said.out == ""
    assert "no stage has run here yet. Run `dvc repro`." in said.err
