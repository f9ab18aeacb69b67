"""A sweep holds what may be compared, and nothing else. exp_show.json is what DVC 3.67 printed.

The commit has window 4; experiments: 1, 2, 8 (finished), 6 with another dropout, 3 (queued), 99 (failed), and
one with another normalisation, run in the workspace.
"""

import copy
import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from stages.core.errors import ValaroError
from stages.evaluation.sweep import DEFAULT_METRICS, Sweep, collect, draw, recipe
from stages.evaluation.upstream import parameters_behind

WINDOW = "dynamic.window_s"
METRICS = DEFAULT_METRICS["dynamic"]


@pytest.fixture
def shown() -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = json.loads(Path(__file__).with_name("exp_show.json").read_text())
    return content


def test_finished_experiments_that_differ_in_this_alone_are_rows_by_value(
    shown: list[dict[str, Any]],
) -> None:
    sweep = collect(shown, WINDOW, METRICS)
    assert [row[1] for row in sweep.rows] == [1, 2, 4, 8]
    for _, window, (valence, arousal, mean) in sweep.rows:  # what the recorded stage computed
        assert valence == pytest.approx(0.5 + window / 100)
        assert arousal == pytest.approx(0.6 - window / 50)
        assert mean == pytest.approx((valence + arousal) / 2)
    assert [row[0] for row in sweep.rows].count("commit") == 1
    assert sweep.labels() == ["valence_ccc", "arousal_ccc", "mean_ccc"]


def test_what_is_left_out_is_said(shown: list[dict[str, Any]]) -> None:
    """DVC shows the failed window of 99 s with the commit's figures: no row may come of it."""
    notes = " | ".join(collect(shown, WINDOW, METRICS).notes)
    for said in ("unmet-lahs is left out: it differs in dynamic.dropout too", "1 waits in the queue",
                 "1 failed", "workspace is left out: it differs in dynamic.normalisation"):  # fmt: skip
        assert said in notes


def test_those_that_still_run_are_counted(shown: list[dict[str, Any]]) -> None:
    for each in shown[1]["experiments"]:
        if each["name"] in ("drear-bait", "power-food"):
            each["executor"], each["revs"][0]["error"] = {"state": "running", "name": "dvc-task"}, None
    notes = collect(shown, WINDOW, METRICS).notes
    assert "2 are still running" in notes
    assert [row[1] for row in collect(shown, WINDOW, METRICS).rows] == [1, 2, 4, 8]


def lock_of(**dynamic: Any) -> dict[str, Any]:
    """A dvc.lock: train_dynamic stands on index, smooth comes after it."""
    return {
        "stages": {
            "index": {"outs": [{"path": "data/index"}], "params": {"params.yaml": {"decode.max_pixels": 9}}},
            "train_dynamic": {
                "deps": [{"path": "data/index"}, {"path": "stages/train_dynamic.py"}],
                "params": {"params.yaml": {"dynamic": dynamic}},
                "outs": [{"path": "metrics/dynamic/metrics.json"}, {"path": "models/dynamic"}],
            },
            "smooth": {
                "deps": [{"path": "models/dynamic"}],
                "params": {"params.yaml": {"smooth": {"window_s": 0.5}}},
                "outs": [{"path": "data/traces"}],
            },
        }
    }


LOCK = lock_of(window_s=4, normalisation="minmax", dropout=0.1)


def test_a_parameter_that_can_t_change_the_figure_is_no_difference(shown: list[dict[str, Any]]) -> None:
    for number, revision in enumerate([shown[0], *(each["revs"][0] for each in shown[1]["experiments"])]):
        revision["data"]["params"]["params.yaml"]["data"]["smooth"] = {"window_s": number}
    shown[1]["data"]["params"]["params.yaml"]["data"]["smooth"] = {"window_s": 99}
    with pytest.raises(ValaroError, match=r"smooth\.window_s"):
        collect(shown, WINDOW, METRICS)
    sweep = collect(shown, WINDOW, METRICS, LOCK)
    assert [row[1] for row in sweep.rows] == [1, 2, 4, 8]


def test_a_parameter_behind_no_figure_is_refused(shown: list[dict[str, Any]]) -> None:
    shown[1]["data"]["params"]["params.yaml"]["data"]["smooth"] = {"window_s": 1}
    with pytest.raises(ValaroError, match=r"changes nothing in metrics/dynamic/metrics\.json"):
        collect(shown, "smooth.window_s", METRICS, LOCK)


def test_what_leads_to_a_file() -> None:
    assert parameters_behind(LOCK, "data/traces") == {
        "decode.max_pixels": 9,
        "dynamic.window_s": 4,
        "dynamic.normalisation": "minmax",
        "dynamic.dropout": 0.1,
        "smooth.window_s": 0.5,
    }
    assert parameters_behind(LOCK, "data/index/a.h5") == {"decode.max_pixels": 9}
    assert parameters_behind(LOCK, "elsewhere") is None
    assert parameters_behind({}, "data/index") is None


def test_the_workspace_counts_unless_its_figures_are_stale(shown: list[dict[str, Any]]) -> None:
    params = shown[0]["data"]["params"]["params.yaml"]["data"]["dynamic"]
    params |= {"normalisation": "minmax", "window_s": 3}
    assert ("workspace", 3) in [row[:2] for row in collect(shown, WINDOW, METRICS).rows]
    fresh = collect(shown, WINDOW, METRICS, lock_of(window_s=3.0, normalisation="minmax", dropout=0.1))
    assert ("workspace", 3) in [row[:2] for row in fresh.rows]
    stale = collect(shown, WINDOW, METRICS, LOCK)
    assert "workspace" not in [row[0] for row in stale.rows]
    assert any("dynamic.window_s changed since it was run (dvc repro)" in note for note in stale.notes)


def test_the_table_and_the_curve(shown: list[dict[str, Any]], tmp_path: Path) -> None:
    sweep = collect(shown, WINDOW, METRICS)
    rows = list(csv.DictReader(io.StringIO(sweep.csv())))
    assert [row[WINDOW] for row in rows] == ["1", "2", "4", "8"]
    assert rows[0]["valence_ccc"] == "0.5100"
    draw(sweep, tmp_path / "a.png")
    draw(sweep, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_values_that_are_no_numbers_make_a_sweep_too(shown: list[dict[str, Any]], tmp_path: Path) -> None:
    sweep = collect(shown, "dynamic.normalisation", ["best.mean_ccc.value"])
    assert [row[1] for row in sweep.rows] == ["minmax", "none"]
    assert sweep.labels() == ["best.mean_ccc.value"]
    assert any("all figures are the same" in note for note in sweep.notes), "the recorded stage ignores it"
    draw(sweep, tmp_path / "a.png")


def test_a_figure_that_an_experiment_lacks_is_a_gap(shown: list[dict[str, Any]], tmp_path: Path) -> None:
    holed = copy.deepcopy(shown)
    for each in holed[1]["experiments"]:
        if each["revs"][0]["name"] == "worst-ords":
            del each["revs"][0]["data"]["metrics"]["metrics/dynamic/metrics.json"]["data"]["best"]["mean_ccc"]
    sweep = collect(holed, WINDOW, METRICS)
    assert sweep.rows[0][2][2] is None
    assert sweep.csv().splitlines()[1].endswith(",")
    draw(sweep, tmp_path / "a.png")


@pytest.mark.parametrize(
    ("parameter", "metrics", "message"),
    [
        ("dynamic.window", METRICS, "dynamic.window: no such parameter"),
        (WINDOW, ["best.mean_cc.value"], r"no such metric.*best\.mean_ccc\.value"),
        ("dynamic.dropout", METRICS, None),
    ],
)
def test_what_can_t_be_had_is_said(
    shown: list[dict[str, Any]], parameter: str, metrics: list[str], message: str | None
) -> None:
    if message is None:  # 0.3 came with another window: nothing to compare with
        message = r"no finished experiment has another dynamic\.dropout than 0\.1"
    with pytest.raises(ValaroError, match=message):
        collect(shown, parameter, metrics)


def test_without_experiments_the_lines_to_run_are_named(shown: list[dict[str, Any]]) -> None:
    shown[1]["experiments"] = None
    with pytest.raises(ValaroError) as caught:
        collect(shown, WINDOW, METRICS)
    assert "dvc exp run --queue -S 'dynamic.window_s=1,2,3,4,6,8' train_dynamic" in str(caught.value)
    assert "dvc queue start" in str(caught.value)
    with pytest.raises(ValaroError, match="no commit"):
        collect(shown[:1], WINDOW, METRICS)
    assert "STAGE" in recipe("kelm.c")


def test_a_metric_that_several_files_have_must_be_told_apart(shown: list[dict[str, Any]]) -> None:
    for revision in (shown[1], *(each["revs"][0] for each in shown[1]["experiments"])):
        files = revision["data"]["metrics"]
        files["metrics/other.json"] = copy.deepcopy(files.get("metrics/dynamic/metrics.json", {"data": {}}))
    with pytest.raises(ValaroError, match=r"several files have it: .*metrics/other\.json:best\.mean_ccc"):
        collect(shown, WINDOW, ["best.mean_ccc.value"])
    assert len(collect(shown, WINDOW, ["metrics/other.json:best.mean_ccc.value"]).rows) == 4


def test_labels_say_what_tells_the_figures_apart() -> None:
    names = ("m.json:a.valence.value", "m.json:a.arousal.value")
    assert Sweep(WINDOW, names, (), ()).labels() == ["valence", "arousal"]
