"""The stage that fits intervals: out of fold, on recordings as they are and degraded, beside constant bands."""

from pathlib import Path

import numpy as np
import pytest

from stages.core.artefacts import read_arrays, read_config, read_json, write_arrays, write_tensors
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.params import IntervalParams
from stages.engine.units import do_unit
from stages.evaluation.sureness import read_interval
from stages.intervals import fit_interval, take_view, units, view_units

SETTINGS = IntervalParams(
    coverage=0.9, trees=25, depth=2, rate=0.12, min_leaf=20, rows=2000, landmarks=10, seed=0
)
NAMES = [f"r{k}" for k in range(20)]
STEPS = 60
FOLDS = {name: k % 5 for k, name in enumerate(NAMES)}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Errors of .05 as they are, of .5 degraded; the detector's score falls from .9 to .4."""
    workspace, time_s = Workspace(tmp_path), np.arange(STEPS) / 5
    write_tensors(
        workspace.model("intervals/landmarks.safetensors"), {"landmarks": np.zeros((2, 8), np.float32)}
    )
    for seed, name in enumerate(NAMES):
        rng = np.random.default_rng(seed)
        truth = np.clip(rng.normal(0, 0.2, (STEPS, 2)), -0.5, 0.5).astype(np.float32)
        write_arrays(workspace.artefact("index", name), {"valence_arousal": truth, "time_s": time_s})
        for place, traces, error, score in (
            (workspace.folder(), "traces/dynamic.out_of_fold", 0.05, 0.9),
            (workspace.folder("degraded", "noise"), "traces/dynamic", 0.5, 0.4),
            (workspace.folder("degraded", "shifted"), "traces/dynamic", 0.1, 0.8),
        ):
            said = (truth + rng.normal(0, error, truth.shape)).astype(np.float32)
            write_arrays(place / traces / f"{name}.h5", {"valence_arousal": said, "time_s": time_s})
            faces = {"detected": np.ones(STEPS, bool), "score": np.full(STEPS, score), "time_s": time_s}
            faces["box_xyxy"] = np.tile([10.0, 10.0, 60.0, 60.0], (STEPS, 1))
            write_arrays(place / f"faces/{name}.h5", faces)
    return workspace


def fit(workspace: Workspace, settings: IntervalParams = SETTINGS) -> None:
    corpus = Corpus([Subject(name, name, None, "validation") for name in NAMES], {})
    for unit in view_units(workspace, corpus, FOLDS):
        do_unit(take_view, unit, None)
    (unit,) = units(workspace, corpus, FOLDS)
    do_unit(fit_interval, unit, settings)


def test_it_is_narrow_where_errors_are_small_and_measured_beside_two_bands(workspace: Workspace) -> None:
    fit(workspace)
    found = read_json(workspace.metrics("intervals/dynamic.json"))
    assert {"sample", "noise", "degraded", "shifted", "all"} <= found.keys()
    for target in ("valence", "arousal"):
        clean, noisy = (found[name][target] for name in ("sample", "degraded"))
        assert clean["coverage"] == pytest.approx(0.9, abs=0.05)
        assert noisy["coverage"] == pytest.approx(0.9, abs=0.05)
        assert clean["width"] == pytest.approx(2 * 1.645 * 0.05, rel=0.3)
        assert noisy["width"] > 3 * clean["width"]
        assert clean["constant_coverage"] > 0.99, "one band for both is too wide here"
        assert found["all"][target]["narrower_at_equal_coverage"] > 0.15
        # Here every clean frame is as hard as any other: nothing is narrower than a band of clean ones, and
        # few recordings cost something.
        assert -0.3 < clean["narrower_than_clean_at_equal_coverage"] < 0.05
    config = read_config(workspace.model("intervals/dynamic.safetensors"))
    assert (config["recordings"], config["others"]) == (len(NAMES), [])
    assert read_interval(workspace.model("intervals"), "dynamic") is not None
    band = read_arrays(workspace.folder("intervals", "dynamic") / "r3.h5")["low_high"]
    assert band.shape == (STEPS, 2, 2)
    assert (np.diff(band, axis=2) > 0).all()


def test_who_predicts_a_single_recording_gets_no_interval(workspace: Workspace) -> None:
    corpus = Corpus([Subject(name, name, None, "validation") for name in NAMES], {})
    for unit in view_units(workspace, corpus, FOLDS):
        do_unit(take_view, unit, None)
    trace = read_arrays(workspace.artefact("traces/dynamic.out_of_fold", "r0"))
    for name, wanted in (("r0", ["dynamic"]), ("r1", ["dynamic", "audio"])):
        write_arrays(workspace.artefact("traces/audio.out_of_fold", name), trace)
        assert [unit.name for unit in units(workspace, corpus, FOLDS)] == wanted


def test_the_interval_of_a_fold_has_not_seen_it(workspace: Workspace) -> None:
    """Whatever the errors of a recording are, its own band is as wide; those of the others change."""

    def widths() -> dict[str, float]:
        fit(workspace, SETTINGS.model_copy(update={"trees": 4}))
        folder = workspace.folder("intervals", "dynamic")
        return {
            name: float(np.diff(read_arrays(folder / f"{name}.h5")["low_high"], axis=2).mean())
            for name in NAMES
        }

    before = widths()
    for name in ("r2", "r7", "r12", "r17"):  # the fold 2
        path = workspace.artefact("index", name)
        labels = read_arrays(path)
        shifted = np.clip(labels["valence_arousal"] + 0.4, -1, 1).astype(np.float32)
        write_arrays(path, labels | {"valence_arousal": shifted})
    after = widths()
    assert after["r2"] == pytest.approx(before["r2"], abs=1e-9)
    assert abs(after["r0"] - before["r0"]) > 0.01
