"""Folds of recordings: models are selected or fitted on some folds and scored on the others."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.arrays import Flags, Integers
from stages.core.artefacts import read_arrays
from stages.core.corpus import Corpus, Workspace
from stages.core.params import CrossfitParams

Groups = NDArray[Any]
"""One group per row, a string or an integer: the recording, so that its people and parts stay in one fold."""

FEWEST_RECORDINGS = 2
"""One to select on, one to score on."""


def assign_folds(groups: Groups, folds: int, seed: int, labelled: Flags | Integers | None = None) -> Integers:
    """Assign whole groups to folds with about equal numbers of labelled rows.

    Groups are assigned in descending order of size, each to the smallest fold so far; the seed breaks ties.
    The order of rows and groups doesn't matter.

    Shape: (N,) -> (N,) in 0..folds - 1.

    Args:
        groups: group of each row.
        folds: number of folds; none stays empty.
        seed: seed of the ties.
        labelled: weight of each row, e.g. whether it is labelled; None: equal weights.

    Raises:
        ValueError: lengths differ, or folds isn't in 2..number of groups.
    """
    names, member = np.unique(groups, return_inverse=True)
    if not 2 <= folds <= len(names):
        raise ValueError(f"folds is {folds}, must be in 2..{len(names)}, the number of groups")
    if labelled is not None and len(labelled) != len(groups):
        raise ValueError(f"{len(labelled)} flags for {len(groups)} rows: must match")
    weight = np.bincount(member, weights=labelled, minlength=len(names))
    shuffled = np.random.default_rng(seed).permutation(len(names))
    fold_of_group = np.empty(len(names), np.int64)
    load, size = np.zeros(folds), np.zeros(folds)
    for group in shuffled[np.argsort(-weight[shuffled], kind="stable")]:
        lightest = np.lexsort((size, load))[0]
        fold_of_group[group] = lightest
        load[lightest] += weight[group]
        size[lightest] += 1
    return fold_of_group[member]


def validation_folds(workspace: Workspace, corpus: Corpus, settings: CrossfitParams) -> dict[str, int]:
    """Validation subject -> the fold of its recording, the same for every system and fusion.

    Empty with fewer than FEWEST_RECORDINGS labelled recordings, since nothing can be scored out of fold then.

    Args:
        workspace: its index has the numbers of labelled frames.
        corpus: its validation subjects are assigned.
        settings: number of folds, at most one per labelled recording; and the seed.
    """
    subjects = workspace.having(corpus.of("validation"), "index")
    labelled = np.array(
        [read_arrays(workspace.artefact("index", s.name), "labelled")["labelled"].sum() for s in subjects],
        np.int64,
    )
    recordings = np.array([subject.recording for subject in subjects])
    usable = len(set(recordings[labelled > 0].tolist()))
    if usable < FEWEST_RECORDINGS:
        return {}
    fold = assign_folds(recordings, min(settings.folds, usable), settings.seed, labelled)
    return {subject.name: int(place) for subject, place in zip(subjects, fold, strict=True)}
