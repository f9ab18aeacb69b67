"""Cross-fitted choice of an epoch: selected on all folds of validation but one, scored on that one.

The best epoch on validation is selected and scored on the same recordings, so its score is optimistic. In
addition to the epoch that all of validation selects, each fold therefore has an epoch that the other folds
select; a recording's out-of-fold prediction comes from the epoch of its fold.

1. `fold_scores` gives one score per target and fold: CCC over the recordings of all other folds.
2. The training loop keeps the weights of the best epoch by each score: at most 2 folds + 3 files, fewer if
   the same epoch is best by several.
3. `write_out_of_fold` predicts validation with these epochs.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from torch import nn

from stages.core.arrays import Floats
from stages.core.artefacts import write_arrays
from stages.core.measures import TARGETS, Moments, merge_all
from stages.training.run_state import Fitted
from stages.training.threads import threads_for

WITHOUT = "_without_fold_"
Parts = Mapping[str, tuple[Moments, Moments]]
"""Subject -> moments of [truth, prediction], of valence and of arousal."""


def fold_scores(parts: Parts, folds: Mapping[str, int], prefix: str = "") -> dict[str, float]:
    """CCC over all subjects together, and over the subjects outside each fold.

    Args:
        parts: moments of every scored subject.
        folds: subject -> its fold; empty: no scores by fold.
        prefix: begins all names.

    Returns:
        `<prefix><valence, arousal, mean>_ccc`, and the same names followed by `_without_fold_<fold>`; NaN if
        the other folds have no label. `loop.fit` takes these names as `keep`.

    Raises:
        ValueError: no frame is labelled.
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
        chosen_by: the scores that select epochs, e.g. `valence_ccc` and `arousal_ccc`.
    """
    by_fold = [f"{name}{WITHOUT}{fold}" for name in chosen_by for fold in sorted(set(folds.values()))]
    return (*chosen_by, *by_fold)


def is_by_fold(score: str) -> bool:
    """Whether a score leaves a fold out: it is for the choice of epochs, not for curves and tables."""
    return WITHOUT in score


def chosen_epochs(
    fitted: Fitted, folds: Mapping[str, int], chosen_by: tuple[str, str]
) -> dict[str, dict[str, int]]:
    """Fold -> the epochs that the other folds select for valence and for arousal."""
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
    """Predict validation subjects with the epochs that the other folds select, for each fold.

    Writes `<folder>/<subject>.h5`: by_fold (folds, T, 2) float32, time_s (T,) in seconds, fold. The subject's
    own out-of-fold prediction is by_fold[fold]; fusions of the other folds are fitted on the rest.

    Args:
        folder: where to write; created even if there are no folds.
        fitted: the run, which kept the weights for `kept_scores`.
        model: the weights of one epoch after the other are loaded into it.
        folds: subject -> its fold.
        chosen_by: the scores that select the epochs for valence and for arousal.
        names: subjects to predict, all with a fold.
        predict: (model, subject) -> predictions (T, 2) and times (T,).
    """
    folder.mkdir(parents=True, exist_ok=True)
    places, subjects = sorted(set(folds.values())), list(names)
    wanted = [[f"{name}{WITHOUT}{fold}" for name in chosen_by] for fold in places]
    by_epoch = {fitted.best[score].epoch: score for pair in wanted for score in pair}
    with threads_for(model):
        predicted = {
            epoch: {name: predict(fitted.restore(model, score), name) for name in subjects}
            for epoch, score in sorted(by_epoch.items())
        }
    for name in subjects if places else []:
        epochs = [[fitted.best[score].epoch for score in pair] for pair in wanted]
        by_fold = [
            np.column_stack([predicted[epoch][name][0][:, column] for column, epoch in enumerate(pair)])
            for pair in epochs
        ]
        time_s = predicted[epochs[0][0]][name][1]
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
