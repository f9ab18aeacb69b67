"""Fusion: who abstains is stood in for, every video is fused by the others, saved fusions come back."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from stages.core.artefacts import read_arrays, read_config, read_json, write_arrays, write_tensors
from stages.core.corpus import Subject, Workspace
from stages.core.errors import ValaroError
from stages.core.measures import ccc_per_target
from stages.core.params import FuseParams, IntervalParams
from stages.core.systems import FUSIONS
from stages.core.untrained import write_untrained
from stages.engine.units import Unit, do_unit
from stages.fuse import (
    apply_fusion,
    applying_units,
    fit_fusion,
    fit_widths,
    fitting_unit,
    read_stack,
    unfitted,
    width_units,
)

SETTINGS = FuseParams(
    draws=500,
    refine=True,
    per_target=True,
    trees=[5],
    min_leaf=[5],
    max_samples=[1.0],
    rows_hz=5,
    speaking_window_s=0.8,
    folds=5,
    seed=0,
)
INTERVALS = IntervalParams(
    coverage=0.9,
    trees=2,
    depth=2,
    rate=0.9,
    min_leaf=5,
    rows=1000,
    landmarks=10,
    seed=0,
)
FINE = INTERVALS.model_copy(update={"trees": 8, "rate": 0.5})
VIDEOS = ["a", "b", "c", "d"]
TIME_S = np.arange(100) / 25


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Four videos: `dynamic` knows valence, `audio` knows arousal, `kelm` nothing; `d` has no sound.

    The first half of each is speaking.
    """
    workspace, rng = Workspace(tmp_path), np.random.default_rng(5)
    for name in VIDEOS:
        truth = rng.uniform(-0.9, 0.9, (len(TIME_S), 2)).astype(np.float32)
        noise = rng.uniform(-0.9, 0.9, (3, len(TIME_S), 2)).astype(np.float32)
        noise[0, :, 0], noise[1, :, 1] = truth[:, 0], truth[:, 1]
        write_arrays(workspace.artefact("index", name), {"valence_arousal": truth, "time_s": TIME_S})
        for system, trace in zip(("dynamic", "audio", "kelm"), noise, strict=True):
            if (system, name) != ("audio", "d"):
                arrays = {"valence_arousal": trace, "time_s": TIME_S}
                write_arrays(workspace.artefact(f"traces/{system}", name), arrays)
                lay_out_of_fold(workspace, system, name)
        speaking = (np.arange(20) < 10) & (name != "d")
        write_arrays(workspace.artefact("speech", name), {"speaking": speaking, "time_s": np.arange(20) / 5})
        lay_faces(workspace, name, np.ones(20, bool))
    return workspace


def lay_faces(workspace: Workspace, name: str, detected: np.ndarray) -> None:
    """A track at 5 Hz of a face of 50 px, where it is detected."""
    box = np.where(detected[:, None], [10.0, 10.0, 60.0, 60.0], np.nan).astype(np.float32)
    arrays = {"detected": detected, "score": detected * 0.9, "box_xyxy": box}
    write_arrays(workspace.artefact("faces", name), arrays | {"time_s": np.arange(len(detected)) / 5})


def lay_out_of_fold(workspace: Workspace, system: str, name: str) -> None:
    """What a system leaves that picked nothing by validation: the same trace for every fold."""
    trace = read_arrays(workspace.artefact(f"traces/{system}", name))
    arrays = trace | {"by_fold": trace["valence_arousal"][None]}
    write_arrays(workspace.artefact(f"traces/{system}.out_of_fold", name), arrays, fold=VIDEOS.index(name))


FOLDS = {name: place for place, name in enumerate(VIDEOS)}


def subjects(*names: str) -> list[Subject]:
    return [Subject(name, name, None, "validation") for name in names]


def fit(
    workspace: Workspace,
    fusion: str,
    names: Iterable[str] = "abc",
    settings: FuseParams = SETTINGS,
    intervals: IntervalParams = INTERVALS,
) -> None:
    """What the stage does to fit one fusion."""
    if FUSIONS[fusion].by_width:
        for unit in width_units(workspace, subjects(*names), FOLDS):
            do_unit(fit_widths, unit, intervals)
    do_unit(fit_fusion, fitting_unit(workspace, subjects(*names), fusion, FOLDS), settings)


def test_the_mean_of_the_others_stands_in_for_an_abstention(workspace: Workspace) -> None:
    systems = ["dynamic", "audio", "kelm"]
    reads = {s: workspace.artefact(f"traces/{s}", "d") for s in systems if s != "audio"}
    stack, time_s = read_stack(Unit("d", reads, {}), systems)
    assert stack.shape == (100, 3, 2)
    np.testing.assert_array_equal(time_s, TIME_S)
    np.testing.assert_allclose(stack[:, 1], (stack[:, 0] + stack[:, 2]) / 2, rtol=1e-6)
    with pytest.raises(ValaroError, match="none of audio has a trace"):
        read_stack(Unit("d", reads, {}), ["audio"])


@pytest.mark.parametrize("fusion", FUSIONS)
def test_what_was_fitted_is_saved_and_applied(workspace: Workspace, fusion: str) -> None:
    fit(workspace, fusion)
    (unit,) = applying_units(workspace, workspace, subjects("a"), fusion)
    do_unit(apply_fusion, unit, None)
    fused = read_arrays(workspace.artefact(f"fused/{fusion}", "a"))
    truth = read_arrays(workspace.artefact("index", "a"), "valence_arousal")["valence_arousal"]
    np.testing.assert_array_equal(fused["time_s"], TIME_S)
    assert fused["valence_arousal"].dtype == np.float32
    assert [np.corrcoef(fused["valence_arousal"][:, k], truth[:, k])[0, 1] > 0.7 for k in (0, 1)] == [
        True,
        True,
    ]
    summary = read_json(workspace.metrics(f"fusion/{fusion}.json"))
    assert summary["systems"] == list(FUSIONS[fusion].systems)
    if FUSIONS[fusion].by_width and "weights" in summary:
        valence, arousal = np.array(summary["weights"]).T
        assert len(valence) == 4, "the surest is one more"
        assert valence[0] + valence[3] > 0.9, "valence by who knows it"
        assert arousal[1] + arousal[3] > 0.9, "arousal too"
    elif "weights" in summary:
        for weights in np.split(np.array(summary["weights"]), 2 if "speaking" in fusion else 1):
            np.testing.assert_allclose(weights.sum(axis=0), 1, atol=1e-5)
            assert weights[0, 0] > 0.9, "valence by who knows it"
            assert weights[1, 1] > 0.9, "arousal too"
    else:
        grouped = FUSIONS[fusion].method == "grouped_forest"
        chosen_by = "grouped" if grouped else "out_of_bag"
        assert {summary[target]["chosen_by"] for target in ("valence", "arousal")} == {chosen_by}
        least = [5, 5] if grouped else [1, 1]
        assert [summary[target]["min_leaf"] for target in ("valence", "arousal")] == least


@pytest.mark.parametrize("fusion", ["rf_dynamic_audio_kelm", "dwf_width_dynamic_audio_kelm"])
def test_out_of_fold_traces_have_not_seen_their_own_video(workspace: Workspace, fusion: str) -> None:
    """Whatever the labels of one video are, its own out-of-fold trace is the same."""
    held_out = []
    for turn in (1, -1):
        index = read_arrays(workspace.artefact("index", "b"))
        write_arrays(
            workspace.artefact("index", "b"), index | {"valence_arousal": turn * index["valence_arousal"]}
        )
        fit(workspace, fusion)
        held_out.append(
            {
                n: read_arrays(workspace.artefact(f"fused/{fusion}.out_of_fold", n))["valence_arousal"]
                for n in "abc"
            }
        )
    np.testing.assert_array_equal(held_out[0]["b"], held_out[1]["b"])
    assert np.abs(held_out[0]["a"] - held_out[1]["a"]).max() > 0.01, "the others have seen it"


def babble_in_silence(workspace: Workspace) -> None:
    """Give `audio` its full knowledge in the speaking half, and noise in the other; `dynamic` knows a part."""
    rng = np.random.default_rng(7)
    for name in ("a", "b", "c"):
        index = workspace.artefact("index", name)
        truth = read_arrays(index, "valence_arousal")["valence_arousal"]
        noise = rng.uniform(-0.9, 0.9, (2, *truth.shape))
        heard = np.where(TIME_S[:, None] < 2, truth, noise[0])
        for system, trace in (("audio", heard), ("dynamic", 0.5 * truth + 0.5 * noise[1])):
            arrays = {"valence_arousal": trace.astype(np.float32), "time_s": TIME_S}
            write_arrays(workspace.artefact(f"traces/{system}", name), arrays)
            lay_out_of_fold(workspace, system, name)


def test_weights_by_voice_listen_to_speech_alone(workspace: Workspace) -> None:
    """And so do better on videos that they weren't fitted on."""
    babble_in_silence(workspace)
    truth = {
        n: read_arrays(workspace.artefact("index", n), "valence_arousal")["valence_arousal"] for n in "abc"
    }
    held_out = {}
    for fusion in ("dwf_dynamic_audio", "dwf_speaking_dynamic_audio"):
        fit(workspace, fusion)
        folder = workspace.folder("fused", f"{fusion}.out_of_fold")
        traces = [read_arrays(folder / f"{n}.h5")["valence_arousal"] for n in "abc"]
        held_out[fusion] = ccc_per_target(np.concatenate(list(truth.values())), np.concatenate(traces)).mean()
    weights = np.array(read_json(workspace.metrics("fusion/dwf_speaking_dynamic_audio.json"))["weights"])
    assert (weights[1] < 0.35).all(), "in silence"
    assert (weights[3] > 0.9).all(), "in speech"
    assert held_out["dwf_speaking_dynamic_audio"] > held_out["dwf_dynamic_audio"] + 0.05


def test_a_fusion_by_voice_knows_its_own_window(workspace: Workspace) -> None:
    """What it was fitted with counts, not what the parameters have become since."""
    fusion = "dwf_speaking_dynamic_audio"
    fit(workspace, fusion)
    assert read_config(workspace.model(f"fusion/{fusion}.safetensors"))["speaking_window_s"] == 0.8


@pytest.mark.parametrize("rows_hz", [5, None])
def test_forests_grow_on_a_thinned_grid_or_on_every_frame(
    workspace: Workspace, rows_hz: float | None
) -> None:
    fusion = "rf_dynamic_audio_kelm"
    settings = SETTINGS.model_copy(update={"rows_hz": rows_hz})
    fit(workspace, fusion, settings=settings)
    nodes = len(load_file(workspace.model(f"fusion/{fusion}.safetensors"))["valence.value"])
    assert (nodes > 5 * 2 * 60) == (rows_hz is None), "3 videos of 20 or 100 rows, about 2 nodes for each"


def test_too_few_videos_to_fuse_are_refused(workspace: Workspace) -> None:
    with pytest.raises(ValaroError, match="3 labelled validation recordings, there are 2"):
        fit(workspace, "dwf_dynamic_audio", "ab")
    with pytest.raises(ValaroError, match="3 labelled validation recordings, there are 2"):
        do_unit(fit_widths, width_units(workspace, subjects("a", "b"), {})[0], INTERVALS)


def test_who_has_no_trace_at_all_is_left_out(workspace: Workspace) -> None:
    units = applying_units(workspace, workspace, subjects("a", "nobody"), "dwf_dynamic_audio")
    assert [unit.name for unit in units] == ["dwf_dynamic_audio/a"]
    (silent,) = applying_units(workspace, workspace, subjects("d"), "dwf_dynamic_audio")
    assert set(silent.reads) == {"model", "dynamic"}
    (by_voice,) = applying_units(workspace, workspace, subjects("d", "nobody"), "dwf_speaking_dynamic_audio")
    assert set(by_voice.reads) == {"model", "dynamic", "speech"}


def test_a_fusion_of_who_predicts_nobody_is_no_fusion(workspace: Workspace) -> None:
    """It would be the others' own under a name that promises more."""
    assert unfitted(workspace, subjects(*VIDEOS)) == {}, "one recording without sound is no reason"
    for name in VIDEOS:
        workspace.artefact("traces/audio", name).unlink(missing_ok=True)
    lacks = unfitted(workspace, subjects(*VIDEOS))
    assert set(lacks) == {name for name, fusion in FUSIONS.items() if "audio" in fusion.systems}
    lack = lacks["dwf_dynamic_audio"]
    assert lack.reason == "audio predicts no validation video"
    assert width_units(workspace, subjects(*VIDEOS), FOLDS, FUSIONS.keys() - lacks.keys()) == []
    write_untrained(workspace.model("fusion/dwf_dynamic_audio.safetensors"), lack)
    assert applying_units(workspace, workspace, subjects("a"), "dwf_dynamic_audio") == []


def test_inputs_are_those_that_the_other_folds_picked(workspace: Workspace) -> None:
    """Of fold 0 `dynamic` is right, but by what fold 0's others picked it is noise: so it gets no weight there."""
    rng = np.random.default_rng(9)
    for name in VIDEOS[:3]:
        path = workspace.artefact("traces/dynamic.out_of_fold", name)
        kept = read_arrays(path)
        by_fold = np.repeat(kept["by_fold"], 4, axis=0)
        by_fold[0] = rng.uniform(-0.9, 0.9, by_fold[0].shape)
        write_arrays(path, kept | {"by_fold": by_fold}, fold=FOLDS[name])
    fit(workspace, "dwf_dynamic_audio")
    found = {}
    for name in ("a", "b"):
        truth = read_arrays(workspace.artefact("index", name))["valence_arousal"]
        trace = read_arrays(workspace.artefact("fused/dwf_dynamic_audio.out_of_fold", name))[
            "valence_arousal"
        ]
        found[name] = ccc_per_target(truth, trace)[0]
    assert found["a"] < 0.3, "fold 0"
    assert found["b"] > 0.9, "fold 1"


def test_weights_by_width_follow_the_face_while_it_is_seen(workspace: Workspace) -> None:
    """Two systems: one errs while the face is lost, the other while it is seen; out of fold the widths tell."""
    rng = np.random.default_rng(3)
    for name in VIDEOS:
        seen = np.repeat(rng.random(4) < 0.5, 5)
        seen[:5], seen[5:10] = True, False
        lay_faces(workspace, name, seen)
        known = np.repeat(seen, 5)[:, None]
        truth = read_arrays(workspace.artefact("index", name), "valence_arousal")["valence_arousal"]
        noise = rng.uniform(-0.9, 0.9, (2, *truth.shape)).astype(np.float32)
        by_sight, by_ear = np.where(known, truth, noise[0]), np.where(known, noise[1], truth)
        for system, trace in (("dynamic", by_sight), ("audio", by_ear), ("kelm", by_sight)):
            arrays = {"valence_arousal": trace.astype(np.float32), "time_s": TIME_S}
            write_arrays(workspace.artefact(f"traces/{system}", name), arrays)
            lay_out_of_fold(workspace, system, name)
    reached = {}
    for fusion in ("dwf_dynamic_audio_kelm", "dwf_width_dynamic_audio_kelm"):
        fit(workspace, fusion, VIDEOS, intervals=FINE)
        truth, fused = (
            np.concatenate([read_arrays(workspace.artefact(folder, n))["valence_arousal"] for n in VIDEOS])
            for folder in ("index", f"fused/{fusion}.out_of_fold")
        )
        reached[fusion] = ccc_per_target(truth, fused).mean()
    assert reached["dwf_width_dynamic_audio_kelm"] > reached["dwf_dynamic_audio_kelm"] + 0.1, reached


def test_a_system_without_any_trace_knows_nothing(workspace: Workspace) -> None:
    for name in VIDEOS[:3]:
        workspace.artefact("traces/audio", name).unlink()
    fusion = "rf_width_dynamic_audio_kelm"
    fit(workspace, fusion)
    (unit,) = applying_units(workspace, workspace, subjects("a"), fusion)
    do_unit(apply_fusion, unit, None)
    fused = read_arrays(workspace.artefact(f"fused/{fusion}", "a"))["valence_arousal"]
    assert np.isfinite(fused).all()
    assert not any(name.startswith("part.audio.") for name in load_file(unit.reads["model"]))


def test_intervals_of_another_version_are_refused(workspace: Workspace) -> None:
    """Their trees ask for features by place: at other features they would be silently wrong."""
    fusion = "dwf_width_dynamic_audio_kelm"
    fit(workspace, fusion)
    model = workspace.model(f"fusion/{fusion}.safetensors")
    config = read_config(model)
    write_tensors(model, load_file(model), **config | {"features": config["features"][:-1]})
    (unit,) = applying_units(workspace, workspace, subjects("a"), fusion)
    with pytest.raises(ValaroError, match=r"other features.*dvc repro fuse"):
        do_unit(apply_fusion, unit, None)
