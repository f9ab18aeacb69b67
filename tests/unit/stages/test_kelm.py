"""The stage on four made-up videos: its figures by hand, its memory stated, no set of functionals affected by the others."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from stages.core.artefacts import read_arrays, write_arrays
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.errors import ValaroError
from stages.core.params import CrossfitParams, KelmParams
from stages.engine.units import do_unit
from stages.kelm import common, constants_of, fit, unit_of
from stages.temporal.functionals import functionals, window_of_step

FPS_HZ, RATE_HZ, STEPS, FEATURES = 5.0, 25.0, 103, 6
SUBJECTS = [
    Subject("a", "a", None, "train"),
    Subject("b", "b", None, "train"),
    Subject("c", "c", None, "train"),
    Subject("v", "v", None, "validation"),
    Subject("w", "w", None, "validation"),
]
CROSSFIT = CrossfitParams(folds=5, seed=0)
SETTINGS = KelmParams(
    compare=["mean_min_max", "mean_max", "mean_min"],
    functionals="mean_min_max",
    window_s=2.0,
    standardise=True,
    kernel="rbf",
    c=[1.0, 10.0],
    gamma_scale=[1.0],
    choose_on="train",
    folds=3,
    max_exact_windows=1000,
    landmarks=100,
    validation_smooth_s=0.5,
    seed=0,
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    workspace.write_corpus(Corpus(SUBJECTS, {}))
    rng = np.random.default_rng(0)
    mix = rng.standard_normal((2, FEATURES))
    for subject in SUBJECTS:
        time_s = np.arange(STEPS) / FPS_HZ
        native_s = np.arange(round(STEPS / FPS_HZ * RATE_HZ)) / RATE_HZ
        phase = rng.uniform(0, 6, 2)
        embedding = np.sin(0.5 * time_s[:, None] + phase) @ mix + 0.1 * rng.standard_normal((STEPS, FEATURES))
        labels = (0.8 * np.sin(0.5 * native_s[:, None] + phase)).astype(np.float32)
        labelled = np.ones(len(native_s), bool)
        labelled[40:90] = False
        labels[~labelled] = np.nan
        write_arrays(
            workspace.artefact("embeddings", subject.name),
            {"embedding": embedding.astype(np.float32), "time_s": time_s, "detected": np.ones(STEPS, bool)},
            fps_hz=FPS_HZ,
        )
        write_arrays(
            workspace.artefact("index", subject.name),
            {"valence_arousal": labels, "labelled": labelled, "time_s": native_s},
        )
    return workspace


def run(workspace: Workspace, name: str = "mean_max", **changes: Any) -> dict[str, Any]:
    settings = common(SETTINGS.model_copy(update=changes))
    do_unit(fit, unit_of(workspace, workspace.corpus(), name, CROSSFIT), settings)
    found: dict[str, Any] = json.loads(workspace.metrics(f"kelm/{name}.json").read_text())
    return found


def ccc(x: np.ndarray, y: np.ndarray) -> float:
    """Equation 2 of the paper, as it stands there."""
    return 2 * np.cov(x, y, bias=True)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)


def smoothed(trace: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """Section 4.3 frame by frame: the taps that lie inside, at unit sum."""
    half, out = len(taps) // 2, np.empty_like(trace)
    for k in range(len(trace)):
        inside = [j for j in range(k - half, k + half + 1) if 0 <= j < len(trace)]
        weights = taps[[j - k + half for j in inside]]
        out[k] = (weights[:, None] * trace[inside]).sum(axis=0) / weights.sum()
    return out


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
@pytest.mark.parametrize("name", ["mean_min_max", "mean_min"])
def test_the_validation_figure_by_hand(workspace: Workspace, name: str, kernel: str) -> None:
    """From the file that was written: standardise, kernel, beta; hold, interpolate, smooth, score."""
    found = run(workspace, name, kernel=kernel)
    arrays = load_file(workspace.model(f"kelm/{name}.safetensors"))
    support, beta = arrays["kelm.support"].astype(float), arrays["kelm.beta"]
    truth, traces = [], []
    for subject in ("v", "w"):
        import h5py

        with h5py.File(workspace.artefact("embeddings", subject)) as file:
            embedding, time_s = file["embedding"][()], file["time_s"][()]
        with h5py.File(workspace.artefact("index", subject)) as file:
            labels, native_s = file["valence_arousal"][()], file["time_s"][()]
        # 10 steps a window; the last window holds 3 steps, 0.6 s, and is kept
        parts = [embedding[k : k + 10].astype(float) for k in range(0, STEPS, 10)]
        measures = {"mean": np.mean, "min": np.min, "max": np.max}
        features = np.array(
            [np.hstack([measures[m](part, axis=0) for m in name.split("_")]) for part in parts]
        )
        features = (features - arrays["normalisation.offset"]) / arrays["normalisation.scale"]
        if kernel == "linear":
            seen = features @ support.T
        else:
            gamma = arrays["kelm.settings"][1]
            seen = np.exp(-gamma * ((features[:, None] - support[None]) ** 2).sum(axis=2))
        held = np.repeat(np.clip(seen @ beta, -1, 1), 10, axis=0)[:STEPS]
        native = np.column_stack([np.interp(native_s, time_s, held[:, k]) for k in range(2)])
        traces.append(np.clip(smoothed(native, np.hamming(13)), -1, 1))
        truth.append(labels.astype(float))
    x, y = np.concatenate(truth), np.concatenate(traces)
    known = ~np.isnan(x[:, 0])
    for column, target in enumerate(("valence", "arousal")):
        expected = ccc(x[known, column], y[known, column])
        assert found["validation"][f"{target}_ccc"] == pytest.approx(expected, abs=1e-5)
    assert found["validation"]["labelled_frames"] == known.sum()
    assert found["validation"]["mean_ccc"] > 0.5, "it learns"
    assert found["solution"] == ("linear" if kernel == "linear" else "exact")


@pytest.mark.parametrize(("choose_on", "optimistic"), [("train", False), ("validation", True)])
def test_what_was_chosen_on_validation_is_called_optimistic(
    workspace: Workspace, choose_on: str, optimistic: bool
) -> None:
    found = run(workspace, choose_on=choose_on)
    assert found["choice"]["on"] == choose_on
    assert found["choice"]["optimistic"] == found["validation"]["optimistic"] == optimistic
    assert found["c"] in SETTINGS.c
    assert len(found["choice_by_fold"]) == 2
    by_fold = read_arrays(workspace.artefact("out_of_fold/kelm/mean_max", "v"))["by_fold"]
    assert by_fold.shape == (2 if optimistic else 1, STEPS, 2)


def test_one_set_s_result_does_not_hang_on_the_others(workspace: Workspace) -> None:
    fewer = SETTINGS.model_copy(update={"compare": ["mean_max"], "functionals": "mean_max"})
    assert common(SETTINGS) == common(fewer)
    unit = unit_of(workspace, workspace.corpus(), "mean_max", CROSSFIT)
    assert {path.name for path in unit.writes.values()} == {
        "mean_max.safetensors", "mean_max.json", "mean_max"
    }  # fmt: skip


def test_memory_is_checked_before_the_search_begins(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil

    memory = psutil.virtual_memory()._replace(available=1000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr("stages.kelm.search_kelm", lambda *_, **__: pytest.fail("the search has begun"))
    with pytest.raises(
        ValaroError, match=r"30 windows of 12 features, exact .* needed, 1 KiB free\. Set kelm"
    ):
        run(workspace)


def test_windows_are_those_with_labels(workspace: Workspace) -> None:
    """Unlabelled from 1.6 to 3.6 s: the window 2-4 s has 8 of 10 steps without a label, and is dropped."""
    assert run(workspace)["windows"] == 3 * (11 - 1)
    assert len(functionals(np.zeros((STEPS, 2)), window_of_step(STEPS, FPS_HZ))) == 11


def test_one_training_video_is_too_few_to_choose_by(workspace: Workspace) -> None:
    workspace.write_corpus(Corpus(SUBJECTS[2:], {}))
    with pytest.raises(
        ValaroError, match=r"needs 2 labelled training recordings, there is 1\. Set it to validation"
    ):
        run(workspace)
    assert run(workspace, choose_on="validation")["choice"]["on"] == "validation"


def test_a_small_gamma_is_read_back_exactly_where_the_metrics_round_it(workspace: Workspace) -> None:
    settings = SETTINGS.model_copy(update={"gamma_scale": [1 / 3000]})
    do_unit(fit, unit := unit_of(workspace, workspace.corpus(), "mean_min_max", CROSSFIT), settings)
    _, gamma = constants_of(unit.writes["model"])
    assert gamma == pytest.approx(1 / 3000 / (3 * FEATURES), rel=1e-12)
    assert json.loads(unit.writes["metrics"].read_text())["gamma"] != pytest.approx(gamma, rel=1e-3)
