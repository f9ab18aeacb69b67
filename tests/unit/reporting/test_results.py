"""What the report reads of metrics/ is what the stages wrote there."""

from pathlib import Path

import numpy as np
import pytest

from stages.evaluation.tables import Cell, Table
from stages.reporting import results
from stages.reporting.results import Printed, Sweep

TABLE_5 = (
    "row,system,as_published_mean,as_published_mean_low,as_published_mean_high,out_of_fold_mean,"
    "out_of_fold_mean_low,out_of_fold_mean_high,optimism,paper_dev_mean\n"
    "1 face,dynamic,0.5500,0.4500,0.6500,0.5000,0.4000,0.6000,0.0500,0.5740\n"
    '"2 DWF (1, audio)",dwf_dynamic_audio,0.7000,0.6500,0.7500,0.6000,0.5500,0.6500,0.1000,0.5910\n'
    "HRNet,dynamic,,,,,,,,\n"
)


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_printed_table_is_taken_apart_as_it_was_put_together() -> None:
    rows: list[list[Cell]] = [["a|b <i>", 0.5, None], ["`c`", -0.25, "x"]]
    table = Table("Title: of it", ["name", "figure_one", "note"], rows, ["first", "second"], "a mark")
    printed = Printed.of(table.markdown())
    assert printed.title == "Title: of it"
    assert printed.columns == ["name", "figure one", "note"]
    assert printed.numeric == [False, True, False]
    assert printed.rows == [["a/b <i>", "0.500", "—"], ["`c`", "-0.250", "x"]]
    assert printed.notes == ["first", "second"]


def test_figures_are_the_out_of_fold_ones_first(tmp_path: Path) -> None:
    single, fused = results.read_figures(written(tmp_path / "t.csv", TABLE_5))
    assert (single.label, single.published) == ("1 face", 0.574)
    assert [(e.value, e.low, e.high, e.out_of_fold) for e in single.estimates] == [
        (0.5, 0.4, 0.6, True), (0.55, 0.45, 0.65, False)
    ]  # fmt: skip
    assert [(e.value, e.out_of_fold) for e in fused.estimates] == [(0.6, True), (0.7, False)]
    assert results.read_optimism(tmp_path / "t.csv") == [("1 face", 0.05), ("2 DWF (1, audio)", 0.1)]
    assert results.read_names(tmp_path / "t.csv") == {
        "dynamic": "1 face",
        "dwf_dynamic_audio": "2 DWF (1, audio)",
    }


def test_rivals_are_compared_out_of_fold(tmp_path: Path) -> None:
    text = (
        "subject,system,protocol,mean_ccc\n"
        "a,dynamic,out_of_fold,0.5\na,audio,out_of_fold,0.3\nb,dynamic,out_of_fold,0.4\n"
        "a,dwf_dynamic_audio,as_published,0.9\na,dwf_dynamic_audio,out_of_fold,0.6\n"
    )
    file = written(tmp_path / "all.csv", text)
    names, means = results.read_rivals(file, without="dynamic")
    assert names == ["audio", "dwf_dynamic_audio"]
    assert means == {"a": [0.3, 0.6]}
    names, means = results.read_rivals(file, without="dwf_dynamic_audio")
    assert (names, means["b"]) == (["dynamic", "audio"], [0.4, None])


def test_curves_are_grouped_by_what_they_measure_and_count_from_one(tmp_path: Path) -> None:
    plots = tmp_path / "audio/v1/plots"
    written(plots / "train/loss.tsv", "step\tloss\n0\t2.5\n1\t1.5\n")
    written(plots / "train/learning_rate.tsv", "step\tlearning_rate\n0\t0.1\n")
    for target in ("valence", "arousal", "mean"):
        name = f"speaking_window_{target}_ccc"
        written(plots / f"validation/{name}.tsv", f"step\t{name}\n0\t0.1\n1\t\n")
    loss, ccc = results.read_trainings(tmp_path)
    assert (loss.title, ccc.title) == ("audio/v1: training loss", "audio/v1: CCC, validation")
    assert [line.name for line in ccc.lines] == ["arousal", "mean", "valence"]
    assert loss.lines[0].x.tolist() == [1, 2]
    assert loss.lines[0].y.tolist() == [2.5, 1.5]
    assert np.isnan(ccc.lines[0].y[1])


def test_runs_of_one_value_are_averaged_and_words_have_no_axis(tmp_path: Path) -> None:
    text = "dynamic.window_s,experiment,mean_ccc\n4,a,0.5\n2,b,0.3\n4,c,0.7\n8,d,\n"
    written(tmp_path / "dynamic.window_s.csv", text)
    written(tmp_path / "audio.version.csv", "audio.version,experiment,mean_ccc\nv1,a,0.5\n")
    written(tmp_path / "empty.csv", "empty,experiment\n")
    (found,) = results.read_sweeps(tmp_path)
    assert found.parameter == "dynamic.window_s"
    (line,) = found.lines
    assert (line.x.tolist(), line.y.tolist()) == ([2, 4], pytest.approx([0.3, 0.6]))


@pytest.mark.parametrize(
    ("parameter", "label"),
    [
        ("dynamic.window_s", "dynamic.window, s"),
        ("faces.fps_hz", "faces.fps, Hz"),
        ("fuse.draws", "fuse.draws"),
    ],
)
def test_units_stand_apart(parameter: str, label: str) -> None:
    assert Sweep(parameter, []).x_label == label


def test_nothing_measured_is_nothing_to_show(tmp_path: Path) -> None:
    for read in (results.read_trainings, results.read_sweeps, results.read_tables):
        assert read(tmp_path) == []
    assert results.read_rivals(tmp_path / "none.csv", without="") == ([], {})
