"""Cross-fitted choice of an epoch: picked on all folds of validation but one, scored on that one.

The best epoch on validation is chosen by the very recordings that then score it, and the best of a hundred
noisy epochs looks better than any of them is. So beside the epoch that all of validation picks, each fold has
an epoch that the other folds pick; a recording's out-of-fold prediction is by the epoch of its fold.

1. `fold_scores` names one score per target and fold: CCC over the recordings of all other folds.
2. The training loop keeps the weights of the best epoch by each of them: at most 2 folds + 3 files, fewer
   where epochs agree.
3. `write_out_of_fold` lets these epochs predict validation.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from torch import nn

from stages.core.arrays import Floats
from stages.core.artefacts import write_arrays
from stages.core.measures import TARGETS, Moments, merge_all
from stages.training.run_state import Fitted

WITHOUT = "_without_fold_"
Parts = Mapping[str, tuple[Moments, Moments]]
"""Subject -> moments of [truth, prediction], of valence and of arousal."""


def fold_scores(parts: Parts, folds: Mapping[str, int], prefix: str = "") -> dict[str, float]:
    """CCC over all subjects together, and over those outside each fold, by names that `keep` takes.

    Args:
        parts: of every subject that was scored.
        folds: subject -> its fold; empty: no scores by fold.
        prefix: of all names.

    Returns:
        `<prefix><valence, arousal, mean>_ccc`, and the same followed by `_without_fold_<fold>`; NaN where
        the other folds have no label.

    Raises:
        ValueError: nothing is labelled at all.
    """
    if not any(both[0].count for both in parts.values()):
        raise ValueError("no labelled frame in validation: nothing to measure")
    scores = _named(parts.values(), prefix, "")
    for fold in sorted(set(folds.values())):
        others = [both for name, both in parts.items() if folds.get(name) != fold]
        scores |= _named(others, prefix, f"{WITHOUT}{fold}")
    return scores


def kept_scores(folds: Mapping[str, int], chosen_by: Iterable[str]) -> tuple[str, ...]:
    """Names of the scores whose best epochs must be kept.

    Args:
        folds: subject -> its fold.
        chosen_by: the scores that epochs are chosen by, such as `valence_ccc` and `arousal_ccc`.
    """
    by_fold = [f"{name}{WITHOUT}{fold}" for name in chosen_by for fold in sorted(set(folds.values()))]
    return (*chosen_by, *by_fold)


def is_by_fold(score: str) -> bool:
    """Whether a score is that of a fold's others: for the choice alone, not for curves and tables."""
    return WITHOUT in score


def chosen_epochs(
    fitted: Fitted, folds: Mapping[str, int], chosen_by: tuple[str, str]
) -> dict[str, dict[str, int]]:
    """Fold -> the epochs that the other folds choose for valence and for arousal."""
    return {
        str(fold): {
            target: fitted.best[f"{name}{WITHOUT}{fold}"].epoch
            for target, name in zip(TARGETS, chosen_by, strict=True)
        }
        for fold in sorted(set(folds.values()))
    }


def write_out_of_fold(
    folder: Path,
    fitted: Fitted,
    model: nn.Module,
    folds: Mapping[str, int],
    chosen_by: tuple[str, str],
    names: Iterable[str],
    predict: Callable[[nn.Module, str], tuple[Floats, Floats]],
) -> None:
    """Predict validation subjects by the epochs that each fold's others choose.

    Writes `<folder>/<subject>.h5`: by_fold (folds, T, 2) float32, time_s (T,), fold. The subject's own
    out-of-fold prediction is by_fold[fold]; the rest is what a fusion of the other folds is fitted on.

    Args:
        folder: where to; made even if there are no folds.
        fitted: the run, which kept `kept_scores`.
        model: takes the weights of one epoch after the other.
        folds: subject -> its fold.
        chosen_by: the score that valence's and arousal's epoch is chosen by.
        names: subjects that the system predicts, all with a fold.
        predict: (model, subject) -> (T, 2), (T,).
    """
    folder.mkdir(parents=True, exist_ok=True)
    places, subjects = sorted(set(folds.values())), list(names)
    wanted = [[f"{name}{WITHOUT}{fold}" for name in chosen_by] for fold in places]
    by_epoch = {fitted.best[score].epoch: score for pair in wanted for score in pair}
    said = {
        epoch: {name: predict(fitted.restore(model, score), name) for name in subjects}
        for epoch, score in sorted(by_epoch.items())
    }
    for name in subjects if places else []:
        epochs = [[fitted.best[score].epoch for score in pair] for pair in wanted]
        by_fold = [
            np.column_stack([said[epoch][name][0][:, column] for column, epoch in enumerate(pair)])
            for pair in epochs
        ]
        time_s = said[epochs[0][0]][name][1]
        arrays = {"by_fold": np.array(by_fold, np.float32), "time_s": time_s}
        write_arrays(folder / f"{name}.h5", arrays, fold=folds[name])


def _named(parts: Iterable[tuple[Moments, Moments]], prefix: str, ending: str) -> dict[str, float]:
    counted = [both for both in parts if both[0].count]
    if not counted:
        return {f"{prefix}{target}_ccc{ending}": float("nan") for target in (*TARGETS, "mean")}
    valence, arousal = (merge_all(column).ccc() for column in zip(*counted, strict=True))
    figures = (valence, arousal, (valence + arousal) / 2)
    return {
        f"{prefix}{target}_ccc{ending}": value
        for target, value in zip((*TARGETS, "mean"), figures, strict=True)
    }
