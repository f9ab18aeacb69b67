"""Extractors of folds: none has seen its own recordings; KELM's choice then says what validation says."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from stages import finetune_folds
from stages.core.artefacts import read_json, write_arrays
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.errors import ValaroError
from stages.core.params import CrossfitParams, KelmParams, Params, load_params
from stages.engine.units import do_unit
from stages.kelm import fit, unit_of
from stages.training.checkpoints import save_model
from stages.vision.architectures import build_static
from stages.vision.backbones import describe, only, static_config
from stages.vision.fold_extractors import aligned, alignment


def test_a_rotation_is_found_again_through_noise() -> None:
    rng = np.random.default_rng(0)
    embedding, turn = rng.normal(size=(300, 8)), np.linalg.qr(rng.normal(size=(8, 8)))[0]
    other = embedding @ turn + 3.0
    found = alignment(embedding, other + rng.normal(0, 0.01, other.shape))
    np.testing.assert_allclose(aligned(embedding, found), other, atol=0.05)


@pytest.fixture
def params(repository: Path, finetune_params: Any) -> Params:
    whole = load_params(repository / "profiles" / "sample.yaml")
    embed = whole.embed.model_copy(update={"backbone": "small", "folds": 2})
    return whole.model_copy(update={"finetune": finetune_params(epochs=1), "embed": embed})


def test_each_extractor_learns_without_its_fold(people: Workspace, params: Params) -> None:
    config = static_config(describe(params.finetune, "small"), 0.1, True)
    torch.manual_seed(0)
    for folder in ("pretrained_static", "static"):
        save_model(people.model(f"{folder}/small.safetensors"), build_static(config), config)
    units, folds = finetune_folds.fold_units(people, people.corpus(), params)
    assert folds["b_left"] == folds["b_right"] != folds["a"], "a recording stays whole"
    for unit in units:
        own = {name for name, fold in folds.items() if unit.writes["model"].stem == f"fold_{fold}"}
        assert own
        assert not own & set(unit.facts["train"])
        assert not [role for role in unit.reads if role.partition("/")[2] in own]
    unit = replace(units[0], scratch=people.root / "scratch")
    do_unit(finetune_folds.train_fold, unit, only(params.finetune, "small"))
    found = load_file(unit.writes["alignment"])
    np.testing.assert_allclose(found["rotation"] @ found["rotation"].T, np.eye(256), atol=1e-6)


def test_no_folds_are_no_work_and_too_many_are_refused(people: Workspace, params: Params) -> None:
    none = params.model_copy(update={"embed": params.embed.model_copy(update={"folds": 0})})
    assert finetune_folds.fold_units(people, people.corpus(), none) == ([], {})
    many = params.model_copy(update={"embed": params.embed.model_copy(update={"folds": 3})})
    with pytest.raises(ValaroError, match=r"embed\.folds is 3, training has 2 recordings"):
        finetune_folds.fold_units(people, people.corpus(), many)


STEPS, FPS_HZ, WIDTH = 60, 5.0, 12
SUBJECTS = [Subject(f"t{k}", f"t{k}", None, "train") for k in range(12)] + [
    Subject(f"v{k}", f"v{k}", None, "validation") for k in range(6)
]
SETTINGS = KelmParams(
    compare=["mean"],
    functionals="mean",
    window_s=2.0,
    standardise=True,
    kernel="rbf",
    c=[0.1, 1.0, 10.0],
    gamma_scale=[0.1, 1.0],
    choose_on="train",
    folds=4,
    max_exact_windows=1000,
    landmarks=1000,
    validation_smooth_s=0.0,
    seed=0,
)


def embed_by_heart(workspace: Workspace, folds: dict[str, int], turns: dict[int, np.ndarray]) -> None:
    """An extractor that sees a little, and knows by heart the labels of what it was fitted on.

    Each extractor has axes of its own; `alignment` finds them on pictures of recordings that both know.
    """
    for seed, subject in enumerate(SUBJECTS):
        rng = np.random.default_rng(seed)
        time_s = np.arange(STEPS) / FPS_HZ
        phase, pace = rng.uniform(0, 6, 2), rng.uniform(0.5, 1.5, 2)
        labels = 0.7 * np.sin(pace * time_s[:, None] + phase)
        seen = labels @ np.random.default_rng(99).normal(size=(2, 6)) + 1.5 * np.repeat(
            rng.normal(size=(STEPS // 10, 6)), 10, axis=0
        )
        by_heart = subject.split == "train" and subject.name not in folds
        remembered = labels if by_heart else rng.normal(0, 0.5, (STEPS // 10, 2)).repeat(10, axis=0)
        raw = np.column_stack([seen, remembered, rng.normal(0, 0.1, (STEPS, WIDTH - 8))])
        embedding = raw @ turns[folds.get(subject.name, -1)]
        if subject.name in folds:
            common = np.random.default_rng(7).normal(size=(200, WIDTH))
            found = alignment(common @ turns[folds[subject.name]], common @ turns[-1])
            embedding = aligned(embedding, found)
        write_arrays(
            workspace.artefact("embeddings", subject.name),
            {"embedding": embedding.astype(np.float32), "time_s": time_s, "detected": np.ones(STEPS, bool)},
            fps_hz=FPS_HZ,
        )
        arrays = {
            "valence_arousal": labels.astype(np.float32),
            "labelled": np.ones(STEPS, bool),
            "time_s": time_s,
        }
        write_arrays(workspace.artefact("index", subject.name), arrays)


def test_an_extractor_that_knows_its_training_by_heart_fools_the_choice_unless_folds_are_left_out(
    tmp_path: Path,
) -> None:
    """What KELM's cross-validation over training says, less what validation says."""
    workspace = Workspace(tmp_path)
    workspace.write_corpus(Corpus(SUBJECTS, {}))
    rng = np.random.default_rng(5)
    turns = {fold: np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0] for fold in range(-1, 3)}
    names = [subject.name for subject in SUBJECTS if subject.split == "train"]
    above, validation = {}, {}
    for k in (0, 3):
        embed_by_heart(workspace, finetune_folds.training_folds(workspace.corpus(), names, k, 0), turns)
        do_unit(
            fit, unit_of(workspace, workspace.corpus(), "mean", CrossfitParams(folds=3, seed=0)), SETTINGS
        )
        found = read_json(workspace.metrics("kelm/mean.json"))
        validation[k] = found["validation"]["mean_ccc"]
        above[k] = found["choice"]["mean_ccc"] - validation[k]
    assert above[0] > 0.24, (above, validation)
    assert abs(above[3]) < 0.05, (above, validation)
    assert validation[3] > validation[0], "and the machine is the better for it"
