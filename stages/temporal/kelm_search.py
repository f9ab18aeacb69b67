"""Choose C and gamma of the KELM, by grouped cross-validation or on a development set.

The search runs on the kernel as seen from a few landmarks: per gamma and fold one m x m matrix serves all C,
where exact solutions would take n^3 / 3 multiplications each. With n <= landmarks, or a linear kernel, the
search is exact too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.core.arrays import Flags, Floats, Integers
from stages.core.errors import ValaroError
from stages.core.measures import ccc_per_target
from stages.temporal.kelm import check_training_set, ridge
from stages.temporal.kernels import FeatureMap, blocks, choose_landmarks

EIGEN_PAYS = 25
"""An eigendecomposition takes as long as about so many Cholesky factors (n = 2000: 4.5 s and 0.18 s)."""


@dataclass(frozen=True)
class Candidate:
    """One point of the grid and the CCC of its pooled predictions, per target and on average."""

    c: float
    gamma: float
    ccc: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The figure it is chosen by."""
        return float(np.mean(self.ccc))


def search_kelm(
    features: Floats,
    targets: Floats,
    scored_in: Integers,
    *,
    kernel: str,
    c: Sequence[float],
    gamma: Sequence[float] = (0.0,),
    landmarks: int = 2000,
    seed: int = 0,
    counted: Flags | None = None,
) -> list[Candidate]:
    """Score every pair of C and gamma; the best comes first (of equals the more regularised).

    Windows of fold f >= 0 are predicted by machines fitted on all windows of other folds; CCC is taken over
    all these predictions together. So `scored_in` from `core.folds.assign_folds` is a cross-validation by
    video; -1 for the training windows and 0 for the development ones is the paper's choice on development.

    Shape: (n, d), (n, t), (n,).

    Args:
        features: one row per window.
        targets: its labels, none missing.
        scored_in: fold in which a window is predicted; -1: only ever fitted on.
        kernel: linear or rbf.
        c: candidates for C.
        gamma: candidates for gamma; the linear kernel ignores them.
        landmarks: windows the kernel is seen from.
        seed: draws them, among the windows of all folds.
        counted: (n,) windows whose predictions make the figure; None: all that are scored.

    Raises:
        ValueError: shapes don't match, a value isn't finite, or a fold leaves nothing to fit on or to score.
        ValaroError: a C is too large for a singular kernel.
    """
    check_training_set(features, targets)
    if len(scored_in) != len(features) or not (scored_in >= 0).any() or (scored_in == scored_in.max()).all():
        raise ValueError("scored_in must give every window a fold, and leave windows to fit on in each")
    seen_from = choose_landmarks(features, kernel, landmarks, seed)
    scored = (scored_in >= 0) & (True if counted is None else counted)
    if not scored.any():
        raise ValueError("no window is scored")
    found = []
    for width in [0.0] if kernel == "linear" else sorted(gamma):
        mapped = FeatureMap.of(seen_from, kernel, width)
        predicted = _predictions(features, targets, scored_in, mapped, sorted(c))
        for index, value in enumerate(sorted(c)):
            measured = ccc_per_target(targets[scored], predicted[index][scored])
            found.append(Candidate(value, width, tuple(measured.tolist())))
    return sorted(found, key=lambda candidate: -candidate.mean)


def ridge_path(gram: Floats, cross: Floats, c: Sequence[float]) -> Floats:
    """(gram + I / C)^-1 cross for every C, by whichever is cheaper: one factor each, or one for all.

    Shape: (m, m), (m, t) -> (len(c), m, t).

    Raises:
        ValaroError: a C is too large for a singular kernel.
    """
    if len(c) >= EIGEN_PAYS:
        values, vectors = np.linalg.eigh(gram)
        rotated = vectors.T @ cross
        return np.stack([vectors @ (rotated / (np.maximum(values, 0) + 1 / one)[:, None]) for one in c])
    try:
        return np.stack([ridge(gram, cross, one) for one in c])
    except np.linalg.LinAlgError:
        raise ValaroError(f"KELM: C = {max(c):g} regularises too little. Leave it out of kelm.c.") from None


def _predictions(
    features: Floats, targets: Floats, scored_in: Integers, mapped: FeatureMap, c: Sequence[float]
) -> Floats:
    """Every scored window by the machines of its fold. Shape: -> (len(c), n, t), NaN where not scored."""
    m, t = len(mapped.landmarks), targets.shape[1]
    folds = np.unique(scored_in)
    gram, cross = np.zeros((len(folds), m, m)), np.zeros((len(folds), m, t))
    for place, fold in enumerate(folds):
        members = np.flatnonzero(scored_in == fold)
        for rows in blocks(len(members), m):
            coordinates = mapped.apply(features[members[rows]])
            gram[place] += coordinates.T @ coordinates
            cross[place] += coordinates.T @ targets[members[rows]]
    predicted = np.full((len(c), len(features), t), np.nan)
    for fold in folds[folds >= 0]:
        others = folds != fold
        path = ridge_path(gram[others].sum(axis=0), cross[others].sum(axis=0), c)
        members = np.flatnonzero(scored_in == fold)
        for rows in blocks(len(members), m):
            predicted[:, members[rows]] = mapped.apply(features[members[rows]]) @ path
    return predicted
