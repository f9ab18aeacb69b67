"""`valaro sweep` around what DVC knows: the table, the files, and what is said without a repository."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from valaro.cli import app
from valaro.commands import sweep as command

SHOWN = Path(__file__).parents[1] / "evaluation" / "exp_show.json"
"""What DVC printed: windows of 1, 2, 4 and 8 s are finished and differ in nothing else."""


@pytest.fixture
def experiments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shown: list[dict[str, Any]] = json.loads(SHOWN.read_text(encoding="utf-8"))
    monkeypatch.setattr(command, "experiments", lambda: shown)
    monkeypatch.chdir(tmp_path)


def test_the_table_is_printed_and_written(experiments: None, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["sweep", "dynamic.window_s", "--out", str(tmp_path / "sweeps")])
    assert result.exit_code == 0, result.output
    header, *rows = [line.split() for line in result.stdout.splitlines()]
    assert header == ["dynamic.window_s", "valence_ccc", "arousal_ccc", "mean_ccc", "experiment"]
    assert [row[:2] for row in rows] == [["1", "0.510"], ["2", "0.520"], ["4", "0.540"], ["8", "0.580"]]
    assert (
        len({len(line) - len(line.split()[-1]) for line in result.stdout.splitlines()}) == 1
    )  # they line up
    with (tmp_path / "sweeps/dynamic.window_s.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.reader(file))) == 5
    assert (tmp_path / "sweeps/dynamic.window_s.png").read_bytes().startswith(b"\x89PNG")
    assert "note: " in result.stderr
    assert str(tmp_path / "sweeps") in result.stderr


def test_quiet_leaves_the_table_alone(experiments: None, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["sweep", "dynamic.window_s", "-q"])
    assert (result.exit_code, result.stderr) == (0, "")
    assert len(result.stdout.splitlines()) == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dynamic.wind"], "dynamic.wind"),
        (["decode.fps_hz"], "decode.fps_hz: no such parameter"),
        (["dynamic.window_s", "--metric", "x"], "x"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    arguments: list[str], said: str, experiments: None, tmp_path: Path
) -> None:
    result = CliRunner().invoke(app, ["sweep", *arguments])
    assert result.exit_code == 1
    assert said in result.stderr
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
    assert not any(tmp_path.iterdir())


def test_outside_a_repository_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["sweep", "dynamic.window_s"])
    assert result.exit_code == 1
    assert "git repository" in result.stderr
    assert "Traceback" not in result.output
