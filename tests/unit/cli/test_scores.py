"""`valaro scores` shows what was evaluated, and says so where nothing was."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from stages.core.artefacts import write_json
from valaro.cli import app


def figures(valence: float, arousal: float, mean: float, low: float, high: float) -> dict[str, object]:
    return {
        "ccc": {
            "valence": {"value": valence},
            "arousal": {"value": arousal},
            "mean": {"value": mean, "low": low, "high": high},
        }
    }


def test_every_system_has_its_line_and_the_best_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    systems = {
        "dynamic": {
            "train": figures(0.9, 0.9, 0.9, 0.8, 1),
            "optimism": 0.05,
            "as_published": figures(0.5, 0.7, 0.6, 0.4, 0.7),
            "out_of_fold": figures(0.5, 0.6, 0.55, 0.4, 0.7),
        },
        "dwf": {
            "optimism": 0.02,
            "as_published": figures(0.6, 0.7, 0.65, 0.5, 0.8),
            "out_of_fold": figures(0.58, 0.68, 0.63, 0.45, 0.75),
        },
    }
    choice = {"best": "dwf", "highest": "dwf", "within_noise": ["dwf"]}
    write_json(Path("metrics/evaluate.json"), choice | {"systems": systems})
    found = CliRunner().invoke(app, ["scores"])
    assert found.exit_code == 0
    rows = [line.split() for line in found.stdout.splitlines()]
    assert rows[1][:7] == ["dwf", "0.580", "0.680", "0.630", "[0.450,", "0.750]", "0.650"], "the best first"
    assert rows[2] == ["dynamic", "0.500", "0.600", "0.550", "[0.400,", "0.700]", "0.600", "+0.050"]
    assert [row[0] for row in rows if "<-" in row] == ["dwf"]
    assert ["≈" in row for row in rows[1:]] == [True, False], "within the noise of the highest"
    assert len(rows) == 3, "a head, and a line for each system"


def test_before_any_evaluation_it_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(app, ["scores"])
    assert found.exit_code == 1
    assert "metrics/evaluate.json is missing. Run `dvc repro` first." in found.stderr
