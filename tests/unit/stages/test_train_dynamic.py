"""The dynamic model with every window, normalisation and temporal block of the comparison; what is kept of it."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from stages.core.artefacts import files_of, read_arrays, read_config, read_facts, read_json, write_arrays
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.errors import ValaroError
from stages.core.measures import ccc_per_target
from stages.core.optimisation import OptimSettings
from stages.core.params import CrossfitParams, DynamicParams
from stages.engine.stage import HERE
from stages.engine.units import do_unit
from stages.predict import dynamic_units, predict_dynamic
from stages.train_dynamic import train, unit_of

FPS_HZ, STEPS, FEATURES = 5.0, 90, 6
SUBJECTS = [Subject(f"t{k}", f"t{k}", None, "train") for k in range(4)] + [
    Subject(f"v{k}", f"v{k}", None, "validation") for k in range(2)
]
CROSSFIT = CrossfitParams(folds=5, seed=0)
PYTORCH = HERE.model_copy(update={"engine": "torch"})
WINDOWS_S = (1, 2, 3, 4, 6, 8)
NORMALISATIONS = ("none", "minmax", "per_video_minmax", "standard", "per_video_standard")
VARIANTS = [
    (kind, window_s, NORMALISATIONS[(place + shift) % len(NORMALISATIONS)])
    for shift, kind in enumerate(("transformer", "gru"))
    for place, window_s in enumerate(WINDOWS_S)
]
"""Both kinds with all windows; both with all normalisations."""


def settings(**changes: object) -> DynamicParams:
    optimisation = {"epochs": 1, "schedule": "constant", "warmup_steps": 0, "learning_rate": 0.01}
    given = {
        "kind": "transformer",
        "window_s": 2,
        "normalisation": "per_video_minmax",
        "missing": "as_seen",
        "layers": 1,
        "d_model": 8,
        "heads": 2,
        "dropout": 0.0,
        "batch_size": 16,
        "validation_smooth_s": 0.5,
        "optimisation": OptimSettings.model_validate(optimisation),
    }
    return DynamicParams.model_validate(given | changes)


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALARO_DEVICE", "cpu")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Embeddings of 18 s whose first two columns tell the labels, on a level and a scale of each video's own."""
    workspace = Workspace(tmp_path)
    workspace.write_corpus(Corpus(SUBJECTS, {s.video: f"{s.video}.mp4" for s in SUBJECTS}))
    for seed, subject in enumerate(SUBJECTS):
        rng = np.random.default_rng(seed)
        time_s, native_s = np.arange(STEPS) / FPS_HZ, np.arange(STEPS * 5) / (5 * FPS_HZ)
        phase, pace = rng.uniform(0, 6, 2), rng.uniform(0.7, 1.5, 2)
        embedding = 0.1 * rng.standard_normal((STEPS, FEATURES))
        embedding[:, :2] += np.sin(pace * time_s[:, None] + phase)
        embedding = 0.2 * embedding * rng.uniform(0.8, 1.2) + rng.uniform(-0.1, 0.1)
        write_arrays(
            workspace.artefact("embeddings", subject.name),
            {
                "embedding": embedding.astype(np.float32),
                "time_s": time_s,
                "detected": np.ones(STEPS, bool),
            },
            fps_hz=FPS_HZ,
        )
        labels = np.sin(pace * native_s[:, None] + phase).astype(np.float32)
        arrays = {"valence_arousal": labels, "labelled": np.ones(len(labels), bool), "time_s": native_s}
        write_arrays(workspace.artefact("index", subject.name), arrays)
    return workspace


def run(workspace: Workspace, given: DynamicParams) -> None:
    """Train, then predict validation."""
    shutil.rmtree(workspace.root / "scratch", ignore_errors=True)  # each is a run of its own
    unit = replace(unit_of(workspace, workspace.corpus(), CROSSFIT), scratch=workspace.root / "scratch")
    do_unit(train, unit, given)
    for each in dynamic_units(workspace, workspace, workspace.corpus().of("validation"), PYTORCH):
        do_unit(predict_dynamic, each, None)


@pytest.mark.parametrize(("kind", "window_s", "normalisation"), VARIANTS)
def test_every_variant_trains_and_predicts(
    kind: str, window_s: float, normalisation: str, workspace: Workspace
) -> None:
    run(workspace, settings(kind=kind, window_s=window_s, normalisation=normalisation))
    config = read_config(workspace.model("dynamic/valence.safetensors"))
    assert (config["model"]["kind"], config["window"]) == (kind, window_s * FPS_HZ)
    predicted = read_arrays(workspace.artefact("predictions/dynamic", "v0"))
    assert predicted["valence_arousal"].shape == (STEPS, 2)
    assert np.isfinite(predicted["valence_arousal"]).all()
    described = read_arrays(workspace.artefact("features/dynamic", "v0"))
    assert described["features"].shape == (STEPS, 2, 8)
    assert described["detected"].all()
    runs = (
        -(-STEPS // round(window_s * FPS_HZ / 2)) * 4
    )  # at most one window per hop, and those flush with the end
    assert 4 <= read_json(workspace.metrics("dynamic/metrics.json"))["windows"] <= runs


def test_the_comparison_is_complete() -> None:
    assert {(kind, normalisation) for kind, _, normalisation in VARIANTS} == {
        (kind, normalisation) for kind in ("transformer", "gru") for normalisation in NORMALISATIONS
    }


@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_what_the_embeddings_tell_is_learnt(kind: str, workspace: Workspace) -> None:
    optimisation = {"epochs": 25, "patience": 25, "schedule": "one_cycle", "learning_rate": 0.02}
    given = settings(kind=kind, optimisation=OptimSettings.model_validate(optimisation))
    run(workspace, given)
    truth, said = [], []
    for name in ("v0", "v1"):
        truth.append(read_arrays(workspace.artefact("index", name))["valence_arousal"][::5])
        said.append(read_arrays(workspace.artefact("predictions/dynamic", name))["valence_arousal"])
    assert (ccc_per_target(np.concatenate(truth), np.concatenate(said)) > 0.8).all()


def test_the_best_at_valence_and_the_best_at_arousal_are_kept_apart(workspace: Workspace) -> None:
    """Over some bouncing epochs the two peaks differ; each file holds the weights of its own."""
    optimisation = {
        "epochs": 8,
        "patience": 8,
        "schedule": "constant",
        "learning_rate": 0.1,
        "warmup_steps": 0,
    }
    run(workspace, settings(optimisation=OptimSettings.model_validate(optimisation)))
    best = read_json(workspace.metrics("dynamic/metrics.json"))["best"]
    weights = [load_file(workspace.model(f"dynamic/{t}.safetensors")) for t in ("valence", "arousal")]
    same = all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert same == (best["valence_ccc"]["epoch"] == best["arousal_ccc"]["epoch"])
    assert not same, "choose a setting in which they differ"
    assert {path.name for path in files_of(workspace.model("dynamic"))} == {
        "valence.safetensors", "arousal.safetensors", "normalisation.safetensors"
    }  # fmt: skip


def test_out_of_fold_predictions_are_by_the_epochs_that_the_others_chose(workspace: Workspace) -> None:
    optimisation = {
        "epochs": 8,
        "patience": 8,
        "schedule": "constant",
        "learning_rate": 0.1,
        "warmup_steps": 0,
    }
    run(workspace, settings(optimisation=OptimSettings.model_validate(optimisation)))
    chosen = read_json(workspace.metrics("dynamic/metrics.json"))["epochs_by_fold"]
    assert set(chosen) == {"0", "1"}
    assert set(read_json(workspace.metrics("dynamic/metrics.json"))["best"]) == {
        "valence_ccc", "arousal_ccc", "mean_ccc"
    }  # fmt: skip
    found = {name: read_arrays(workspace.artefact("out_of_fold/dynamic", name)) for name in ("v0", "v1")}
    folds = {name: read_facts(workspace.artefact("out_of_fold/dynamic", name))["fold"] for name in found}
    assert sorted(folds.values()) == [0, 1]
    for name, arrays in found.items():
        assert arrays["by_fold"].shape == (2, STEPS, 2)
        truth = read_arrays(workspace.artefact("index", name))["valence_arousal"][::5]
        own, other = (
            ccc_per_target(truth, arrays["by_fold"][fold]) for fold in (folds[name], 1 - folds[name])
        )
        assert (other >= own - 0.02).all(), "the epochs that this recording chose by itself"


def test_a_window_that_no_video_fills_is_refused(workspace: Workspace) -> None:
    with pytest.raises(ValaroError, match=r"dynamic\.window_s = 40"):
        run(workspace, settings(window_s=40))


def blank(workspace: Workspace) -> None:
    """Lose the face in half of the steps, in stretches of 1 to 2 s: a black image's embedding stands there."""
    for seed, subject in enumerate(SUBJECTS):
        path = workspace.artefact("embeddings", subject.name)
        embedded, facts = read_arrays(path), read_facts(path)
        rng = np.random.default_rng(100 + seed)
        lost = np.repeat(rng.permutation(np.arange(STEPS // 5) % 2 == 0), 5)
        embedded["embedding"][lost] = rng.uniform(-0.5, 0.5, FEATURES)
        write_arrays(path, embedded | {"detected": ~lost}, **facts)


def validation_ccc(workspace: Workspace) -> float:
    """Mean CCC of the predictions on the grid."""
    truth, said = [], []
    for name in ("v0", "v1"):
        truth.append(read_arrays(workspace.artefact("index", name))["valence_arousal"][::5])
        said.append(read_arrays(workspace.artefact("predictions/dynamic", name))["valence_arousal"])
    return float(ccc_per_target(np.concatenate(truth), np.concatenate(said)).mean())


@pytest.mark.long
def test_steps_without_a_face_cost_less_if_the_model_knows_them(workspace: Workspace) -> None:
    optimisation = {"epochs": 25, "patience": 25, "schedule": "one_cycle", "learning_rate": 0.02}
    given = {"optimisation": OptimSettings.model_validate(optimisation), "normalisation": "minmax"}
    run(workspace, settings(**given))
    whole = validation_ccc(workspace)
    blank(workspace)
    loss = {}
    for missing in ("as_seen", "input", "mask"):
        run(workspace, settings(missing=missing, **given))
        loss[missing] = whole - validation_ccc(workspace)
    assert loss["mask"] < 0.7 * loss["as_seen"], loss
    assert loss["input"] < loss["as_seen"], loss


@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_what_stands_at_a_masked_step_says_nothing(kind: str, workspace: Workspace) -> None:
    """Neither to the training nor to the predictions, which bridge such steps."""
    blank(workspace)
    found = []
    for filler in (0.0, 9.0):
        for subject in SUBJECTS:
            path = workspace.artefact("embeddings", subject.name)
            embedded, facts = read_arrays(path), read_facts(path)
            embedded["embedding"][~embedded["detected"]] = filler
            write_arrays(path, embedded, **facts)
        run(workspace, settings(kind=kind, missing="mask"))
        found.append(read_arrays(workspace.artefact("predictions/dynamic", "v0"))["valence_arousal"])
    np.testing.assert_array_equal(*found)
    assert np.isfinite(found[0]).all()
