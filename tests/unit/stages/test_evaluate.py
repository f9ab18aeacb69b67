"""Scores are those of all labelled frames together, and the best system is the best out of fold."""

import csv
from pathlib import Path

import numpy as np
import pytest

from stages.core.artefacts import write_arrays, write_json
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.errors import ValaroError
from stages.core.params import EvaluateParams
from stages.evaluate import (
    HEAD,
    gather_notes,
    legend,
    margins,
    score_all,
    table,
    write_pairs,
    write_per_video,
)
from stages.evaluation.scoring import gather, score

SETTINGS = EvaluateParams(seeds=1, resamples=100, confidence=0.9, seed=0)
SUBJECTS = [
    Subject("t", "t", None, "train"),
    Subject("p_left", "p", "left", "validation"),
    Subject("p_right", "p", "right", "validation"),
    Subject("q", "q", None, "validation"),
    Subject("silent", "silent", None, "validation"),
]
LENGTHS = {"t": 30, "p_left": 40, "p_right": 25, "q": 60, "silent": 10}


def ccc(x: np.ndarray, y: np.ndarray) -> float:
    """Equation 2 of the paper, as it stands there."""
    return 2 * np.cov(x, y, bias=True)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)


@pytest.fixture
def truth() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    labels = {name: rng.uniform(-1, 1, (length, 2)).astype(np.float32) for name, length in LENGTHS.items()}
    labels["q"][10:20] = np.nan
    labels["silent"][:] = np.nan
    return labels


@pytest.fixture
def traces(truth: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    return {name: (np.nan_to_num(labels) * 0.7 + rng.normal(0, 0.1, labels.shape)).astype(np.float32)
            for name, labels in truth.items()}  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path, truth: dict[str, np.ndarray], traces: dict[str, np.ndarray]) -> Workspace:
    workspace = Workspace(tmp_path)
    workspace.write_corpus(Corpus(SUBJECTS, {}))
    for name in LENGTHS:
        write_arrays(workspace.artefact("index", name), {"valence_arousal": truth[name]})
        for folder in ("traces/dynamic", "traces/dynamic.out_of_fold"):
            weaker = traces[name] * (0.8 if folder.endswith("fold") else 1)
            write_arrays(workspace.artefact(folder, name), {"valence_arousal": weaker})
    for name in ("p_left", "p_right", "q"):
        for folder, noise in (("dwf_dynamic_audio", 0.0), ("rf_dynamic_audio_kelm", 0.4)):
            write_arrays(
                workspace.artefact(f"fused/{folder}.out_of_fold", name),
                {"valence_arousal": traces[name] * (1 - noise)},
            )
            write_arrays(
                workspace.artefact(f"fused/{folder}", name), {"valence_arousal": np.nan_to_num(truth[name])}
            )
    return workspace


def test_ccc_and_rmse_are_those_of_all_labelled_frames_together(
    workspace: Workspace, truth: dict[str, np.ndarray], traces: dict[str, np.ndarray]
) -> None:
    found = score(gather(workspace, "traces/dynamic", SUBJECTS[1:]), SETTINGS)
    assert found
    names = ["p_left", "p_right", "q"]
    x, y = (np.concatenate([side[name] for name in names]).astype(float) for side in (truth, traces))
    known = ~np.isnan(x[:, 0])
    for column, target in enumerate(("valence", "arousal")):
        assert found["ccc"][target]["value"] == pytest.approx(
            ccc(x[known, column], y[known, column]), abs=1e-6
        )
        rmse = np.sqrt(((x - y)[known, column] ** 2).mean())
        assert found["rmse"][target] == pytest.approx(rmse, abs=1e-6)
        assert found["ccc"][target]["low"] <= found["ccc"][target]["value"] <= found["ccc"][target]["high"]
    mean = (found["ccc"]["valence"]["value"] + found["ccc"]["arousal"]["value"]) / 2
    assert found["ccc"]["mean"]["value"] == pytest.approx(mean)
    assert found["labelled_frames"] == known.sum() == 115
    assert found["videos"] == 2, "both people of a video count once"


def test_one_video_has_a_figure_but_no_interval(workspace: Workspace) -> None:
    found = score(gather(workspace, "traces/dynamic", SUBJECTS[1:3]), SETTINGS)
    assert found
    assert set(found["ccc"]["mean"]) == {"value"}


def test_nothing_to_score_is_none(workspace: Workspace) -> None:
    assert score(gather(workspace, "traces/kelm", SUBJECTS), SETTINGS) is None
    assert score(gather(workspace, "traces/dynamic", SUBJECTS[4:]), SETTINGS) is None, "no label"


def test_every_protocol_that_applies(workspace: Workspace) -> None:
    scores, pairs = score_all(workspace, SETTINGS)
    systems = scores["systems"]
    assert set(systems["dynamic"]) == {"train", "as_published", "out_of_fold", "optimism"}
    assert systems["kelm"] == {}
    forest = systems["rf_dynamic_audio_kelm"]
    assert forest["as_published"]["ccc"]["mean"]["value"] == pytest.approx(1)
    assert forest["optimism"] == pytest.approx(1 - forest["out_of_fold"]["ccc"]["mean"]["value"])
    assert scores["highest"] == "dwf_dynamic_audio", (
        "out of fold, though both fusions are perfect as published"
    )
    assert len(pairs) == 3
    rows, best = table(scores)
    assert best is not None
    assert rows[best][0] == scores["best"]
    figures = [float(row[3]) for row in rows]
    assert figures == sorted(figures, reverse=True)
    assert [row[0] for row in rows if row[-1]] == [
        name for name in (r[0] for r in rows) if name in scores["within_noise"]
    ]
    assert all(len(row) == len(HEAD) for row in rows)
    scores["systems"][scores["best"]]["optimism"] = -0.0001
    assert table(scores)[0][best][HEAD.index("optimism")] == "+0.000"
    said = " ".join(legend(scores))
    assert "no score, since they predict no validation video: static, kelm, audio, cross_attention" in said
    assert "dwf_dynamic_audio," not in said
    write_pairs(pairs, workspace.metrics("pairs.csv"))
    with workspace.metrics("pairs.csv").open(newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert {row["better"] for row in read} == {"dwf_dynamic_audio", "dynamic"}


def test_without_two_labelled_recordings_nothing_is_claimed(workspace: Workspace) -> None:
    for name in LENGTHS:
        workspace.artefact("traces/dynamic.out_of_fold", name).unlink()
        for fusion in ("dwf_dynamic_audio", "rf_dynamic_audio_kelm"):
            workspace.artefact(f"fused/{fusion}.out_of_fold", name).unlink(missing_ok=True)
    with pytest.raises(ValaroError, match="validation needs two labelled recordings"):
        score_all(workspace, SETTINGS)


def test_margins_are_of_the_out_of_fold_traces(
    workspace: Workspace, truth: dict[str, np.ndarray], traces: dict[str, np.ndarray]
) -> None:
    found = margins(workspace)
    assert found["kelm"] is None
    names = ("p_left", "p_right", "q")
    for system, share in (("dynamic", 0.8), ("rf_dynamic_audio_kelm", 0.6)):
        errors = np.concatenate([truth[name] - traces[name] * share for name in names])
        margin = found[system]
        assert margin
        assert margin.videos == 2
        assert margin.valence == pytest.approx(np.nanquantile(errors[:, 0], [0.05, 0.95]), abs=0.05)


def test_per_video_figures_come_worst_first(
    workspace: Workspace, truth: dict[str, np.ndarray], traces: dict[str, np.ndarray]
) -> None:
    write_per_video(workspace, "dwf_dynamic_audio", workspace.metrics("per_video.csv"))
    with workspace.metrics("per_video.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["subject"] for row in rows) == ["p_left", "p_right", "q"]
    means = [float(row["mean_ccc"]) for row in rows]
    assert means == sorted(means)
    (left,) = [row for row in rows if row["subject"] == "p_left"]
    assert float(left["valence_ccc"]) == pytest.approx(
        ccc(truth["p_left"][:, 0], traces["p_left"][:, 0]), abs=1e-4
    )
    assert left["labelled_frames"] == "40"


def test_notes_of_all_stages_before_are_gathered(workspace: Workspace) -> None:
    note = {"subject": "q", "file": "q.mp4", "problem": "odd", "remedy": "none", "quarantined": False}
    for stage in ("index", "faces", "submission"):
        write_json(workspace.folder(stage) / "notes.json", [note])
    write_json(workspace.folder("predictions", "audio") / "notes.json", [note])
    stages = ["faces", "index", "predictions"]
    assert gather_notes(workspace) == [{"stage": stage, **note} for stage in stages]
