"""Model-based fusion, from features to predictions: both modalities are learnt from, paired by their times."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stages.core.artefacts import files_of, read_arrays, read_json, write_arrays
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.errors import BadInput
from stages.core.measures import ccc_per_target
from stages.core.optimisation import OptimSettings
from stages.core.params import CrossAttentionParams, CrossfitParams
from stages.core.untrained import read_untrained
from stages.engine.stage import HERE
from stages.engine.units import Unit, do_unit
from stages.predict_cross_attention import predict_subject, units
from stages.train_cross_attention import train, unit_of

STEP_S, STEPS, RATE_HZ = 0.2, 150, 10.0
CROSSFIT = CrossfitParams(folds=5, seed=0)
PYTORCH = HERE.model_copy(update={"engine": "torch"})
NAMES = {"train": ("t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8"), "validation": ("v1", "v2")}
SUBJECTS = [Subject(name, name, None, split) for split, names in NAMES.items() for name in names]
MUTE = Subject("mute", "mute", None, "validation")


def settings(**optimisation: object) -> CrossAttentionParams:
    quick = {"epochs": 12, "patience": 12, "schedule": "one_cycle", "learning_rate": 0.01, "warmup_steps": 0}
    return CrossAttentionParams(
        window_s=2.0,
        d_model=16,
        heads=2,
        dropout=0.0,
        aggregation="stp",
        silence="as_heard",
        normalisation="standard",
        batch_size=8,
        validation_smooth_s=0.0,
        optimisation=OptimSettings.model_validate(quick | optimisation),
    )


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALARO_DEVICE", "cpu")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """The face tells valence, the voice a slower arousal; the voice begins late and has holes.

    So the same ordinal is another time in the two streams, by 1 to 12 of 30 seconds.
    """
    workspace = Workspace(tmp_path)
    workspace.write_corpus(Corpus([*SUBJECTS, MUTE], {s.video: f"{s.video}.mp4" for s in [*SUBJECTS, MUTE]}))
    for seed, subject in enumerate([*SUBJECTS, MUTE]):
        rng = np.random.default_rng(seed)
        time_s, native_s = np.arange(STEPS) * STEP_S, np.arange(STEPS * 2) / RATE_HZ
        phase, pace = rng.uniform(0, 6, 2), rng.uniform([1.5, 0.5], [3.0, 0.9])
        labels = np.sin(pace * native_s[:, None] + phase).astype(np.float32)
        said = np.sin(pace * time_s[:, None] + phase)
        noise = 0.05 * rng.standard_normal((STEPS, 2, 4))
        lay_features(workspace, subject.name, "dynamic", time_s, said[:, :1, None] + noise)
        if subject is not MUTE:
            first = int(rng.integers(5, 60))
            heard = np.arange(first, STEPS)[(np.arange(first, STEPS) % 40) > 3]
            sound = said[heard, 1:] + 0.05 * rng.standard_normal((len(heard), 3))
            lay_features(workspace, subject.name, "audio", time_s[heard], sound)
        write_arrays(
            workspace.artefact("speech", subject.name),
            {"speaking": rng.random(STEPS) < 0.5, "time_s": time_s},
        )
        write_arrays(
            workspace.artefact("index", subject.name),
            {"valence_arousal": labels, "labelled": np.ones(len(labels), bool), "time_s": native_s},
        )
    return workspace


def lay_features(
    workspace: Workspace, name: str, system: str, time_s: np.ndarray, features: np.ndarray
) -> None:
    arrays = {"features": features.astype(np.float16), "time_s": time_s}
    if system == "dynamic":
        arrays["detected"] = np.full(len(time_s), True)
    write_arrays(workspace.artefact(f"features/{system}", name), arrays, fps_hz=1 / STEP_S)


def predict_all(workspace: Workspace) -> None:
    for unit in units(workspace, workspace, workspace.corpus().of("validation"), PYTORCH):
        do_unit(predict_subject, unit, None)


def grid_ccc(workspace: Workspace) -> np.ndarray:
    """CCC of valence and of arousal over the validation steps that are predicted."""
    truth, said = [], []
    for name in NAMES["validation"]:
        predicted = read_arrays(workspace.artefact("predictions/cross_attention", name))
        index = read_arrays(workspace.artefact("index", name))
        at = np.round(predicted["time_s"] * RATE_HZ).astype(int)
        truth.append(index["valence_arousal"][at])
        said.append(predicted["valence_arousal"])
    return np.asarray(ccc_per_target(np.concatenate(truth), np.concatenate(said)))


@pytest.mark.long
def test_both_modalities_are_learnt_from_at_their_own_times(workspace: Workspace, tmp_path: Path) -> None:
    unit = unit_of(workspace, workspace.corpus(), CROSSFIT)
    splits = {split: unit.facts[split] for split in NAMES}
    assert splits == {split: list(names) for split, names in NAMES.items()}, "who has no sound is left out"
    do_unit(train, with_scratch(unit, tmp_path), settings())
    predict_all(workspace)
    assert (grid_ccc(workspace) > 0.8).all(), grid_ccc(workspace)
    heard = read_arrays(workspace.artefact("features/audio", "v1"), "time_s")["time_s"]
    predicted = read_arrays(workspace.artefact("predictions/cross_attention", "v1"))
    np.testing.assert_array_equal(predicted["time_s"], heard)
    assert predicted["valence_arousal"].dtype == np.float32
    assert not workspace.artefact("predictions/cross_attention", "mute").exists()
    models = {path.name for path in files_of(workspace.model("cross_attention"))}
    assert models == {"valence.safetensors", "arousal.safetensors", "normalisation.safetensors"}
    held_out = read_arrays(workspace.artefact("out_of_fold/cross_attention", "v1"))
    assert held_out["by_fold"].shape[1:] == predicted["valence_arousal"].shape
    metrics = read_json(workspace.metrics("cross_attention/metrics.json"))
    assert metrics["validation_subjects"] == 2
    assert metrics["best"]["mean_ccc"]["value"] > 0.6, "over whole videos, ends without sound held"


@pytest.mark.long
def test_streams_that_belong_to_different_times_teach_no_arousal(
    workspace: Workspace, tmp_path: Path
) -> None:
    """The same sounds a step-count apart: what pairing by ordinal would make of them."""
    for name in (*NAMES["train"], *NAMES["validation"]):
        path = workspace.artefact("features/audio", name)
        arrays = read_arrays(path)
        ordinals = np.arange(len(arrays["time_s"])) * STEP_S
        write_arrays(path, arrays | {"time_s": ordinals}, fps_hz=1 / STEP_S)
    do_unit(train, with_scratch(unit_of(workspace, workspace.corpus(), CROSSFIT), tmp_path), settings())
    predict_all(workspace)
    valence, arousal = grid_ccc(workspace)
    assert valence > 0.8
    assert arousal < 0.4


def test_a_sound_that_never_meets_the_picture_is_named(workspace: Workspace, tmp_path: Path) -> None:
    do_unit(
        train, with_scratch(unit_of(workspace, workspace.corpus(), CROSSFIT), tmp_path), settings(epochs=1)
    )
    lay_features(workspace, "v1", "audio", np.array([900.0]), np.zeros((1, 3)))
    (unit,) = [u for u in units(workspace, workspace, SUBJECTS, PYTORCH) if u.name == "cross_attention/v1"]
    with pytest.raises(BadInput, match="no step of it lies in the video"):
        do_unit(predict_subject, unit, None)


def lack_of(workspace: Workspace, tmp_path: Path, given: CrossAttentionParams | None = None) -> str:
    """Train where nothing can be learnt; the reason that lies in place of the models."""
    unit = with_scratch(unit_of(workspace, workspace.corpus(), CROSSFIT), tmp_path)
    (note,) = do_unit(train, unit, given or settings())
    lacks = [read_untrained(path) for path in files_of(workspace.model("cross_attention"))]
    assert len(lacks) == 3, "of valence, arousal, normalisation"
    (reason,) = {lack and lack.reason for lack in lacks}
    assert note.problem == f"no model: {reason}"
    assert read_json(workspace.metrics("cross_attention/metrics.json")) == {"reason": reason}
    assert units(workspace, workspace, SUBJECTS, PYTORCH) == []
    return str(reason)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_nobody_with_sound_is_no_model(workspace: Workspace, tmp_path: Path, split: str) -> None:
    for name in NAMES[split]:
        workspace.artefact("features/audio", name).unlink()
    wanted = f"no subject of the {split} split has features of both face and voice"
    assert lack_of(workspace, tmp_path) == wanted


def test_faces_that_are_never_seen_teach_nothing(workspace: Workspace, tmp_path: Path) -> None:
    for name in NAMES["train"]:
        path = workspace.artefact("features/dynamic", name)
        arrays = read_arrays(path)
        write_arrays(path, arrays | {"detected": np.zeros(STEPS, bool)}, fps_hz=1 / STEP_S)
    assert "whose face is ever seen" in lack_of(workspace, tmp_path)


def test_windows_longer_than_any_stretch_teach_nothing(workspace: Workspace, tmp_path: Path) -> None:
    long = settings().model_copy(update={"window_s": 60.0})
    assert "cross_attention.window_s = 60" in lack_of(workspace, tmp_path, long)


def with_scratch(unit: Unit, folder: Path) -> Unit:
    return replace(unit, scratch=folder / "scratch")
