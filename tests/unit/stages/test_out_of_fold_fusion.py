"""Leakage built in: within a video frames are near-duplicates, between videos nothing but the systems' skill.

The paper's protocol (fitted and scored on all of development) is fooled, the out-of-fold figure isn't: it agrees with
what the same fusions reach on videos that nobody has seen. So the choice by the out-of-fold figure is the right one.
"""

from typing import Any

import numpy as np
import pytest

from stages.core.artefacts import read_arrays, write_arrays
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.folds import validation_folds
from stages.core.measures import ccc_per_target
from stages.core.params import CrossfitParams, EvaluateParams, FuseParams, IntervalParams
from stages.core.systems import FUSIONS
from stages.engine.units import do_unit
from stages.evaluate import score_all
from stages.fuse import apply_fusion, applying_units, fit_fusion, fit_widths, fitting_unit, width_units

pytestmark = pytest.mark.long

SETTINGS = FuseParams(
    draws=1000,
    refine=True,
    per_target=True,
    trees=[10],
    min_leaf=[20],
    max_samples=[1.0],
    rows_hz=5,
    speaking_window_s=2.0,
    folds=4,
    seed=0,
)
INTERVALS = IntervalParams(
    coverage=0.9,
    trees=5,
    depth=1,
    rate=0.5,
    min_leaf=40,
    rows=300,
    landmarks=10,
    seed=0,
)
FRAMES, RATE_HZ = 200, 10.0
SEEN = [Subject(f"seen{k}", f"seen{k}", None, "validation") for k in range(24)]
NEW = [Subject(f"new{k}", f"new{k}", None, "test") for k in range(40)]


def lay(workspace: Workspace, subject: Subject, seed: int) -> np.ndarray:
    """Slow labels, and systems that see them through slow errors of their own; returns the labels."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(FRAMES) / RATE_HZ
    phase = 2 * np.pi * np.outer(np.linspace(0, 1, FRAMES), np.arange(6) / 6)
    curves = np.einsum("tk,ksc->tsc", np.cos(phase), rng.standard_normal((6, 4, 2))) / np.sqrt(6)
    truth = np.tanh(curves[:, 0]).astype(np.float32)
    for place, system in enumerate(("dynamic", "audio", "kelm"), start=1):
        trace = np.clip(0.6 * truth + 0.5 * curves[:, place], -1, 1).astype(np.float32)
        arrays = {"valence_arousal": trace, "time_s": time_s}
        write_arrays(workspace.artefact(f"traces/{system}", subject.name), arrays)
        if subject in SEEN:  # it picked nothing by validation
            held_out = arrays | {"by_fold": trace[None]}
            write_arrays(workspace.artefact(f"traces/{system}.out_of_fold", subject.name), held_out, fold=0)
    speaking = {"speaking": rng.random(FRAMES // 2) < 0.5, "time_s": np.arange(FRAMES // 2) / 5}
    write_arrays(workspace.artefact("speech", subject.name), speaking)
    faces = {"detected": np.ones(FRAMES // 2, bool), "score": np.full(FRAMES // 2, 0.9)}
    faces |= {"box_xyxy": np.tile([10.0, 10.0, 60.0, 60.0], (FRAMES // 2, 1)), "time_s": speaking["time_s"]}
    write_arrays(workspace.artefact("faces", subject.name), faces)
    labels = {"valence_arousal": truth, "labelled": np.ones(FRAMES, bool), "time_s": time_s}
    if subject.split == "validation":
        write_arrays(workspace.artefact("index", subject.name), labels)
    return truth


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, float]]:
    """What the evaluation says, and the mean CCC of every fusion on the new videos."""
    workspace = Workspace(tmp_path_factory.mktemp("fusions"))
    subjects = [*SEEN, *NEW]
    workspace.write_corpus(Corpus(subjects, {s.video: f"{s.video}.mp4" for s in subjects}))
    labels = {subject.name: lay(workspace, subject, seed) for seed, subject in enumerate(subjects)}
    truth, real = np.concatenate([labels[subject.name] for subject in NEW]), {}
    folds = validation_folds(workspace, workspace.corpus(), CrossfitParams(folds=4, seed=0))
    for unit in width_units(workspace, SEEN, folds):
        do_unit(fit_widths, unit, INTERVALS)
    for fusion in FUSIONS:
        do_unit(fit_fusion, fitting_unit(workspace, SEEN, fusion, folds), SETTINGS)
        for unit in applying_units(workspace, workspace, subjects, fusion):
            do_unit(apply_fusion, unit, None)
        traces = [read_arrays(workspace.artefact(f"fused/{fusion}", s.name))["valence_arousal"] for s in NEW]
        real[fusion] = float(ccc_per_target(truth, np.concatenate(traces)).mean())
    for system in ("dynamic", "audio", "kelm"):
        traces = [read_arrays(workspace.artefact(f"traces/{system}", s.name))["valence_arousal"] for s in NEW]
        real[system] = float(ccc_per_target(truth, np.concatenate(traces)).mean())
    return score_all(workspace, EvaluateParams(seeds=1, resamples=200, confidence=0.95, seed=0))[0], real


def figure(judged: tuple[dict[str, Any], dict[str, float]], fusion: str, protocol: str) -> dict[str, float]:
    found: dict[str, float] = judged[0]["systems"][fusion][protocol]["ccc"]["mean"]
    return found


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_out_of_fold_figure_is_what_new_videos_give(judged: Any, fusion: str) -> None:
    held_out = figure(judged, fusion, "out_of_fold")
    assert held_out["value"] == pytest.approx(judged[1][fusion], abs=0.1)
    assert held_out["low"] < judged[1][fusion] < held_out["high"]


def test_the_papers_protocol_is_fooled_by_the_published_forest(judged: Any) -> None:
    fusion = "rf_dynamic_audio_kelm"
    paper = figure(judged, fusion, "as_published")
    assert paper["value"] > judged[1][fusion] + 0.15
    assert paper["low"] > judged[1][fusion], "even its interval is"
    assert judged[0]["systems"][fusion]["optimism"] > 0.15
    weighted = [name for name, described in FUSIONS.items() if described.method == "dirichlet"]
    optimism = {name: judged[0]["systems"][name]["optimism"] for name in weighted}
    plain = [name for name in weighted if not FUSIONS[name].by_width]
    assert all(optimism[name] < 0.05 for name in plain), optimism
    # The widths that it weighs by are of intervals that have seen these very recordings.
    assert all(optimism[name] < 0.1 for name in weighted), optimism


def test_the_choice_by_the_out_of_fold_figure_is_the_better_one(judged: Any) -> None:
    scores, real = judged
    on_paper = max(FUSIONS, key=lambda name: figure(judged, name, "as_published")["value"])
    assert on_paper == "rf_dynamic_audio_kelm", "what the paper's protocol would submit"
    assert scores["best"] != on_paper
    assert real[scores["highest"]] > real[on_paper] + 0.02
    assert scores["best"] in scores["within_noise"]
    assert real[scores["highest"]] > max(real.values()) - 0.02
