"""Leaks built in: the figure as published is fooled by each, the out-of-fold figure by none."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from stages.core.artefacts import read_arrays, read_facts, write_arrays
from stages.core.corpus import Corpus, Subject, Workspace
from stages.core.folds import assign_folds, validation_folds
from stages.core.measures import Moments, ccc, merge_all, moments_per_target
from stages.core.params import CrossfitParams
from stages.fusion.grouped import cross_fitted
from stages.training.crossfit import fold_scores, is_by_fold, kept_scores, write_out_of_fold
from stages.training.run_state import Best, Fitted

EPOCHS, RECORDINGS, FRAMES = 100, 16, 40
Epoch = dict[str, tuple[Moments, Moments]]


def equally_good_epochs(seed: int) -> list[Epoch]:
    """Epochs that differ by luck alone: each is off by a level of its own in every recording."""
    rng = np.random.default_rng(seed)
    truth = {f"r{k}": rng.normal(0, 0.4, (FRAMES, 2)) for k in range(RECORDINGS)}
    return [
        {
            name: moments_per_target(labels, 0.7 * labels + rng.normal(0, 0.45, 2))
            for name, labels in truth.items()
        }
        for _ in range(EPOCHS)
    ]


def mean_ccc(parts: list[tuple[Moments, Moments]]) -> float:
    return float(np.mean([merge_all(column).ccc() for column in zip(*parts, strict=True)]))


def test_the_luckiest_of_100_epochs_fools_its_own_recordings_alone() -> None:
    published, held_out, real = [], [], []
    folds = {f"r{k}": k % 4 for k in range(RECORDINGS)}
    for seed in range(6):
        epochs = equally_good_epochs(seed)
        scores = [fold_scores(epoch, folds) for epoch in epochs]
        best = max(range(EPOCHS), key=lambda epoch: scores[epoch]["mean_ccc"])
        published.append(scores[best]["mean_ccc"])
        picked = {
            fold: max(range(EPOCHS), key=lambda e: scores[e][f"mean_ccc_without_fold_{fold}"])
            for fold in range(4)
        }
        held_out.append(mean_ccc([epochs[picked[fold]][name] for name, fold in folds.items()]))
        real.append(np.mean([score["mean_ccc"] for score in scores]))
    assert np.mean(published) > np.mean(real) + 0.08, "as published"
    assert np.mean(held_out) == pytest.approx(np.mean(real), abs=0.03), "out of fold"


def test_scores_are_those_of_the_frames_outside_the_fold() -> None:
    """Against CCC over the frames themselves."""
    rng = np.random.default_rng(1)
    truth = {name: rng.normal(size=(30, 2)) for name in "abc"}
    said = {name: labels + rng.normal(size=labels.shape) for name, labels in truth.items()}
    truth["b"][:10] = np.nan
    parts = {name: moments_per_target(truth[name], said[name]) for name in truth}
    scores = fold_scores(parts, {"a": 0, "b": 1, "c": 1}, "x_")
    others = [np.concatenate([side["b"], side["c"]]) for side in (truth, said)]
    assert scores["x_valence_ccc_without_fold_0"] == pytest.approx(ccc(others[0][:, 0], others[1][:, 0]))
    assert scores["x_arousal_ccc_without_fold_1"] == pytest.approx(ccc(truth["a"][:, 1], said["a"][:, 1]))
    assert [name for name in scores if not is_by_fold(name)] == [
        "x_valence_ccc",
        "x_arousal_ccc",
        "x_mean_ccc",
    ]
    wanted = kept_scores({"a": 0, "b": 1}, ["x_mean_ccc"])
    assert wanted == ("x_mean_ccc", "x_mean_ccc_without_fold_0", "x_mean_ccc_without_fold_1")
    assert set(wanted) <= set(scores)


def test_without_labels_elsewhere_a_fold_has_no_choice_and_without_any_none_is_made() -> None:
    rows = np.random.default_rng(0).normal(size=(9, 2))
    nothing = moments_per_target(np.full((9, 2), np.nan), rows)
    scores = fold_scores({"a": moments_per_target(rows, rows), "b": nothing}, {"a": 0, "b": 1})
    assert np.isnan(scores["mean_ccc_without_fold_0"])
    assert scores["mean_ccc_without_fold_1"] == pytest.approx(1)
    with pytest.raises(ValueError, match="no labelled frame in validation"):
        fold_scores({"b": nothing}, {})


def test_each_fold_is_predicted_by_the_epochs_of_the_others(tmp_path: Path) -> None:
    """A model that says the number of its epoch."""
    best = {f"{target}_ccc_without_fold_{fold}": Best(10 * fold + column, 0.5, tmp_path)
            for fold in (0, 1) for column, target in enumerate(("valence", "arousal"))}  # fmt: skip

    class Epochs(Fitted):
        def restore(self, model: nn.Module, score: str) -> nn.Module:
            model.bias.data = torch.tensor([float(self.best[score].epoch)])
            return model

    write_out_of_fold(
        tmp_path / "out",
        Epochs(best, []),
        nn.Linear(1, 1),
        {"a": 1, "b": 0},
        ("valence_ccc", "arousal_ccc"),
        ["a", "b"],
        lambda model, _: (np.full((3, 2), model.bias.item()), np.arange(3.0)),
    )
    found = read_arrays(tmp_path / "out/a.h5")
    assert found["by_fold"][:, 0].tolist() == [[0, 1], [10, 11]]
    assert read_facts(tmp_path / "out/a.h5") == {"fold": 1}


def remembers(
    stacks: np.ndarray, truth: np.ndarray, _groups: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Says what the nearest row that it has seen was labelled."""

    def predict(rows: np.ndarray) -> np.ndarray:
        nearest = ((rows[:, None] - stacks[None]) ** 2).sum(axis=2).argmin(axis=1)
        return np.asarray(truth[nearest])

    return predict


def test_parts_of_one_recording_stay_on_one_side(tmp_path: Path) -> None:
    """Files of one recording are near-duplicates; dealt by file they teach one another their labels."""
    rng, workspace = np.random.default_rng(2), Workspace(tmp_path)
    subjects = [
        Subject(f"v{k}_{part}", f"v{k}_{part}", None, "validation", f"v{k}")
        for k in range(12)
        for part in range(3)
    ]
    workspace.write_corpus(Corpus(subjects, {}))
    level = {f"v{k}": rng.normal(size=5) for k in range(12)}
    label = {name: rng.uniform(-1, 1, 2) for name in level}
    rows, truth = {}, {}
    for subject in subjects:
        rows[subject.name] = level[subject.recording] + rng.normal(0, 0.05, (20, 5))
        truth[subject.name] = label[subject.recording] + rng.normal(0, 0.05, (20, 2))
        arrays = {"labelled": np.ones(20, bool)}
        write_arrays(workspace.artefact("index", subject.name), arrays)
    names = np.repeat([subject.name for subject in subjects], 20)
    stacks, labels = (np.concatenate(list(each.values())) for each in (rows, truth))
    folds = validation_folds(workspace, workspace.corpus(), CrossfitParams(folds=4, seed=0))
    by_recording = np.array([folds[name] for name in names])
    by_file = assign_folds(names, 4, seed=0)
    figures = []
    for fold in (by_file, by_recording):
        said = cross_fitted(remembers, lambda found, some: found(some), lambda _: stacks, labels, names, fold)
        figures.append(ccc(labels[:, 0], said[:, 0]))
    assert figures[0] > 0.9, "by file it seems to know"
    assert figures[1] < 0.4, "by recording it knows nothing, which is the truth"


def test_with_one_labelled_recording_there_are_no_folds(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    subjects = [Subject(name, name, None, "validation") for name in "ab"]
    workspace.write_corpus(Corpus(subjects, {}))
    for subject, known in zip(subjects, (True, False), strict=True):
        write_arrays(workspace.artefact("index", subject.name), {"labelled": np.full(5, known)})
    assert validation_folds(workspace, workspace.corpus(), CrossfitParams(folds=5, seed=0)) == {}
