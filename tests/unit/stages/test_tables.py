"""Ours stand beside the paper's rows that are the same thing, and nothing stands where there is no figure."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from stages.core.artefacts import write_json
from stages.core.corpus import Corpus, Workspace
from stages.core.params import Params, load_params
from stages.tables import (
    SAMPLE_MARK,
    at_best_epoch,
    audio_table,
    compact,
    functionals_table,
    mark_of,
    static_table,
    systems_table,
    tables,
)


@pytest.fixture
def affwild2(repository: Path) -> Params:
    """The profile, with all rows of tables 2 and 3."""
    params = load_params(repository / "profiles" / "affwild2.yaml")
    audio = params.audio.model_copy(update={"compare": ["v1", "v2", "v3"]})
    finetune = params.finetune.model_copy(update={"compare": list(params.finetune.backbones)})
    return params.model_copy(update={"audio": audio, "finetune": finetune})


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    """What the stages leave, with figures that tell where they come from."""
    for k, version in enumerate(("v1", "v2", "v3")):
        gated = {"valence": 0.1 + k, "arousal": 0.2 + k, "mean": 0.15 + k}
        write_json(tmp_path / f"audio/{version}/metrics.json", {"speaking_window_ccc": gated})
    for backbone in ("efficientnet_b1", "pose_hrnet"):
        folder = tmp_path / "finetune" / backbone
        best = {"mean_rmse": {"epoch": 2, "value": 0.25}}
        write_json(folder / "metrics.json", {"best": best})
        (folder / "plots/validation").mkdir(parents=True)
        for k, target in enumerate(("valence", "arousal")):
            lines = [f"step\t{target}_rmse", *(f"{step}\t{0.5 - 0.1 * step + 0.01 * k}" for step in range(3))]
            (folder / f"plots/validation/{target}_rmse.tsv").write_text("\n".join(lines) + "\n")
    kelm = {"valence_ccc": 0.3, "arousal_ccc": 0.5, "mean_ccc": 0.4, "optimistic": False}
    write_json(
        tmp_path / "kelm/mean_max.json",
        {"c": 10.0, "gamma": 0.00013, "choice": {"on": "train"}, "validation": kelm},
    )
    write_json(tmp_path / "evaluate.json", evaluation())
    return tmp_path


def evaluation() -> dict[str, Any]:
    def ccc(valence: float, arousal: float, low: float, high: float) -> dict[str, Any]:
        mean = {"value": (valence + arousal) / 2, "low": low, "high": high}
        return {"ccc": {"valence": {"value": valence}, "arousal": {"value": arousal}, "mean": mean}}

    systems = {
        "dynamic": {"train": ccc(0.9, 0.9, 0.8, 1.0), "as_published": ccc(0.5, 0.6, 0.4, 0.7)},
        "kelm": {},
        "audio": {"as_published": ccc(0.1, 0.3, 0.0, 0.4)},
        "rf_dynamic_audio_kelm": {
            "as_published": ccc(0.7, 0.8, 0.7, 0.8),
            "out_of_fold": ccc(0.4, 0.5, 0.3, 0.6),
            "optimism": 0.3,
        },
    }
    return {
        "best": "rf_dynamic_audio_kelm",
        "highest": "rf_dynamic_audio_kelm",
        "confidence": 0.9,
        "systems": systems,
    }


def cells(table: Any) -> list[dict[str, Any]]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def test_table_2_is_of_gated_windows_by_version(metrics: Path, affwild2: Params) -> None:
    table = audio_table(metrics, affwild2.audio, "")
    third = cells(table)[2]
    assert (third["model"], third["version"]) == ("AudioModelV3", "v3")
    assert [third[name] for name in ("valence", "arousal", "mean")] == [2.1, 2.2, 2.15]
    assert third["paper_mean"] == 0.345
    assert "Not comparable with table 5" in table.markdown()


def test_table_2_says_why_a_version_has_no_figure(metrics: Path, affwild2: Params) -> None:
    write_json(metrics / "audio/v2/metrics.json", {"reason": "nobody speaks"})
    table = audio_table(metrics, affwild2.audio, "")
    assert [row["mean"] for row in cells(table)] == [0.15, None, 2.15]
    assert table.notes[-1] == "v2 isn't trained: nobody speaks."


def test_table_3_is_at_the_epoch_best_by_the_mean_and_matched_by_architecture(
    metrics: Path, affwild2: Params
) -> None:
    b1, b4, _, pose = cells(static_table(metrics, affwild2.finetune, ""))
    assert (b1["model"], b1["backbone"], b1["DL"], b1["GU"]) == ("EN-B1", "efficientnet_b1", "+", "+")
    assert [b1["valence"], b1["arousal"], b1["mean"]] == pytest.approx([0.4, 0.41, 0.25])
    assert b1["paper_valence"] == 0.3593
    assert [b4["valence"], b4["arousal"], b4["mean"]] == [None] * 3, "not trained"
    assert (pose["model"], pose["DL"], pose["GU"], pose["paper_mean"]) == ("HRNet", "N/A", "N/A", 0.3489)


def test_an_architecture_that_the_paper_hasn_t_is_a_row_of_its_own(repository: Path, tmp_path: Path) -> None:
    sample = load_params(repository / "profiles" / "sample.yaml")
    first, narrow = cells(static_table(tmp_path, sample.finetune, ""))
    assert (first["model"], first["DL"], first["GU"]) == ("test_resnet", "-", "-")
    assert (narrow["model"], narrow["DL"], narrow["GU"]) == ("pose_hrnet", "N/A", "N/A")
    for row in (first, narrow):  # the second is a narrower pose network than the paper's
        assert [row[f"paper_{name}"] for name in ("valence", "arousal", "mean")] == [None] * 3


def test_table_4_says_what_c_was_chosen_on(metrics: Path, affwild2: Params) -> None:
    rows = {row["functionals"]: row for row in cells(functionals_table(metrics, affwild2.kelm, ""))}
    found = rows["mean+max"]
    assert [found["valence"], found["arousal"], found["mean"]] == [0.3, 0.5, 0.4]
    assert (found["C"], found["gamma"], found["chosen_on"]) == ("10", "0.00013", "train")
    assert rows["mean+min"]["mean"] is None
    assert rows["mean+min"]["paper_mean"] == 0.495


def test_table_5_has_both_protocols_the_interval_and_the_optimism(metrics: Path, affwild2: Params) -> None:
    table = systems_table(metrics, affwild2.finetune, affwild2.embed, "")
    rows = {row["system"]: row for row in cells(table)[:-1]}
    forest = rows["rf_dynamic_audio_kelm"]
    assert [forest[f"as_published_{name}"] for name in ("valence", "arousal", "mean")] == [0.7, 0.8, 0.75]
    assert [forest[f"out_of_fold_{name}"] for name in ("mean", "mean_low", "mean_high")] == [0.45, 0.3, 0.6]
    assert (forest["optimism"], forest["paper_dev_mean"], forest["paper_test_mean"]) == (0.3, 0.763, 0.4324)
    assert rows["dynamic"]["as_published_mean"] == 0.55, "on validation, not on train"
    assert rows["dynamic"]["out_of_fold_mean"] is None
    assert rows["kelm"]["as_published_mean"] is None, "evaluated, and without a trace"
    assert rows["dwf_dynamic_audio"]["as_published_mean"] is None, "not evaluated"
    assert [row["system"] for row in cells(table)[:4]] == [
        "dynamic", "dwf_dynamic_audio", "dwf_dynamic_audio_kelm", "rf_dynamic_audio_kelm"
    ]  # fmt: skip
    text = compact(table).markdown()
    (shown,) = [line for line in text.splitlines() if line.startswith("| 4 RF")]
    assert [cell.strip() for cell in shown.split("|")[2:-1]] == [
        "0.400 0.500 0.450", "[0.300, 0.600]", "0.700 0.800 0.750", "0.300", "0.738 0.787 0.763",
        "0.4014 0.4635 0.4324",
    ]  # fmt: skip
    assert "(90%) by a bootstrap" in text
    assert "- No score, since they predict no validation video: kelm (metrics/notes.json)." in text


@pytest.mark.parametrize(("backbone", "ours"), [("pose_hrnet", 0.5), ("efficientnet_b1", None)])
def test_the_hrnet_row_is_ours_only_on_hrnet_s_embeddings(
    metrics: Path, affwild2: Params, backbone: str, ours: float | None
) -> None:
    embed = affwild2.embed.model_copy(update={"backbone": backbone})
    last = cells(systems_table(metrics, affwild2.finetune, embed, ""))[-1]
    assert last["row"] == "HRNet embeddings, dynamic"
    assert last["as_published_valence"] == ours
    assert last["paper_dev_valence"] == 0.0984


def test_no_run_is_no_figure(tmp_path: Path) -> None:
    assert at_best_epoch(tmp_path, "mean_rmse", "valence_rmse") == [None, None]
    write_json(tmp_path / "metrics.json", {"best": {"mean_rmse": {"epoch": 1, "value": 0.3}}})
    assert at_best_epoch(tmp_path, "mean_rmse", "valence_rmse") == [None, 0.3]


@pytest.mark.parametrize(
    ("source", "mark"),
    [("data/sample/corpus", SAMPLE_MARK), ("/corpora/affwild2", "corpus: /corpora/affwild2")],
)
def test_every_table_of_the_sample_says_so(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, source: str, mark: str
) -> None:
    workspace = Workspace(tmp_path)
    workspace.write_corpus(Corpus([], {}), source=source)
    assert mark_of(workspace) == mark
    (tmp_path / "params.yaml").write_bytes((repository / "profiles" / "sample.yaml").read_bytes())
    write_json(workspace.metrics("evaluate.json"), evaluation())
    monkeypatch.chdir(tmp_path)
    tables()
    written = {path.name: path.read_bytes() for path in (tmp_path / "metrics/tables").iterdir()}
    assert set(written) == {f"table_{number}.{kind}" for number in range(2, 7) for kind in ("md", "csv")}
    for name, content in written.items():
        text = content.decode()
        if name.endswith(".md"):
            assert f"**{mark}**" in text
        else:
            assert all(row["corpus"] == mark for row in csv.DictReader(text.splitlines()))
    tables()
    again = {path.name: path.read_bytes() for path in (tmp_path / "metrics/tables").iterdir()}
    assert again == written
    assert json.loads((tmp_path / "metrics/evaluate.json").read_text())["best"]
