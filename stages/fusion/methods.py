"""The late-fusion methods with one interface: fit on a stack, apply to a stack, store as plain arrays.

A stack is the predictions of M systems, (N, M, 2); a fusion turns it into one prediction, (N, 2).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from stages.core.arrays import Floats
from stages.core.folds import Groups, assign_folds
from stages.core.measures import TARGETS
from stages.core.params import FuseParams
from stages.fusion.dirichlet import best_weights, fuse, target_moments
from stages.fusion.forest import Forest
from stages.fusion.width import with_precision_weighted_mean, with_widths

ROWS_WORTH_THREADS = 20_000
"""With fewer rows, starting threads costs more than growing trees; their number doesn't change a forest."""


class Fitted(Protocol):
    """A fusion that has been fitted."""

    def predict(self, stacks: Floats) -> Floats:
        """Shape: (N, M, 2) -> (N, 2)."""
        ...

    def to_arrays(self) -> dict[str, Floats]:
        """Plain arrays, as safetensors wants them; see `Method.load`."""
        ...

    def summary(self) -> dict[str, Any]:
        """Values for `metrics/fusion/<fusion>.json`."""
        ...


@dataclass(frozen=True, eq=False)
class Weighted:
    """Dirichlet-weighted fusion: weights (M, 2), each column with sum 1 (paper, section 3.3).

    For a stack split by speaking time: (2 M, 2), in each column M weights for silence, then M for speech.
    """

    weights: Floats

    def predict(self, stacks: Floats) -> Floats:
        """Weighted sum."""
        return fuse(stacks, self.weights)

    def to_arrays(self) -> dict[str, Floats]:
        """The weights."""
        return {"weights": np.ascontiguousarray(self.weights)}

    def summary(self) -> dict[str, Any]:
        """The weights."""
        return {"weights": self.weights.tolist()}


@dataclass(frozen=True, eq=False)
class Forests:
    """One random forest per target, on the predictions of that target only (paper, section 3.3)."""

    forests: tuple[Forest, ...]
    choices: tuple[dict[str, Any], ...] = ()

    def predict(self, stacks: Floats) -> Floats:
        """Each target by its own forest."""
        return np.column_stack([f.predict(stacks[:, :, column]) for column, f in enumerate(self.forests)])

    def to_arrays(self) -> dict[str, Floats]:
        """The trees of both forests."""
        return {
            f"{target}.{name}": np.ascontiguousarray(array)
            for target, forest in zip(TARGETS, self.forests, strict=True)
            for name, array in forest.to_arrays().items()
        }

    def summary(self) -> dict[str, Any]:
        """The choice behind each forest; empty for a fusion that was loaded from its file."""
        return dict(zip(TARGETS, self.choices, strict=bool(self.choices)))


def load_weighted(arrays: Mapping[str, Floats]) -> Weighted:
    """The inverse of `Weighted.to_arrays`."""
    return Weighted(arrays["weights"])


def load_forests(arrays: Mapping[str, Floats]) -> Forests:
    """The inverse of `Forests.to_arrays`."""
    parts: dict[str, dict[str, Floats]] = {target: {} for target in TARGETS}
    for key, array in arrays.items():
        target, name = key.split(".", 1)
        parts[target][name] = array
    return Forests(tuple(Forest.from_arrays(parts[target]) for target in TARGETS))


def fit_weighted(
    stacks: Floats, truth: Floats, *, draws: int, seed: int, per_target: bool, refine: bool, blocks: int = 1
) -> Weighted:
    """Choose the weights by their CCC; see `dirichlet.best_weights` for the arguments.

    Shape: (N, M, 2), (N, 2).
    """
    moments = target_moments(truth, stacks)
    found = best_weights(moments, draws=draws, seed=seed, per_target=per_target, refine=refine, blocks=blocks)
    return Weighted(found.weights)


def fit_forests(
    stacks: Floats,
    truth: Floats,
    groups: Groups,
    *,
    choose_by: Literal["out_of_bag", "grouped"],
    trees: Sequence[int],
    min_leaf: Sequence[int],
    max_samples: Sequence[float],
    folds: int,
    seed: int,
) -> Forests:
    """Choose and fit both forests; see `forest_choice` for the arguments.

    Shape: (N, M, 2), (N, 2), (N,), no NaN.

    Args:
        stacks: predictions of the M systems.
        truth: labels.
        groups: recording of each row.
        choose_by: the criterion: out-of-bag CCC, or CCC over folds of whole recordings.
        trees: forest sizes tried.
        min_leaf: smallest leaf sizes tried, in rows; for "grouped".
        max_samples: sizes of the bootstrap sample tried, as shares of the rows; for "grouped".
        folds: number of folds, at most one per recording; for "grouped".
        seed: seed of folds and growth.
    """
    from stages.fusion.forest_choice import choose_by_groups, choose_out_of_bag

    fold = assign_folds(groups, min(folds, len(np.unique(groups))), seed) if choose_by == "grouped" else None
    n_jobs = -1 if len(stacks) >= ROWS_WORTH_THREADS else 1
    forests, choices = [], []
    for column in range(len(TARGETS)):
        stack, target = stacks[:, :, column], truth[:, column]
        if fold is None:
            forest, ranked = choose_out_of_bag(stack, target, trees=trees, seed=seed, n_jobs=n_jobs)
        else:
            forest, ranked = choose_by_groups(
                stack,
                target,
                fold,
                trees=trees,
                min_leaf=min_leaf,
                max_samples=max_samples,
                seed=seed,
                n_jobs=n_jobs,
            )
        forests.append(forest)
        best = ranked[0]
        growth = {"min_leaf": best.growth.min_leaf, "max_samples": best.growth.max_samples}
        choices.append({"trees": best.trees, **growth, "chosen_by": choose_by, "chosen_by_ccc": best.ccc})
    return Forests(tuple(forests), tuple(choices))


def _dirichlet(settings: FuseParams, blocks: int, stacks: Floats, truth: Floats, _groups: Groups) -> Fitted:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):  # the last digits of sums depend on how many threads add up
        return fit_weighted(
            stacks,
            truth,
            draws=settings.draws,
            seed=settings.seed,
            per_target=settings.per_target,
            refine=settings.refine,
            blocks=blocks,
        )


def _forests(choose_by: Literal["out_of_bag", "grouped"]) -> "Fit":
    def fit(settings: FuseParams, _blocks: int, stacks: Floats, truth: Floats, groups: Groups) -> Fitted:
        return fit_forests(
            stacks,
            truth,
            groups,
            choose_by=choose_by,
            trees=settings.trees,
            min_leaf=settings.min_leaf,
            max_samples=settings.max_samples,
            folds=settings.folds,
            seed=settings.seed,
        )

    return fit


Fit = Callable[[FuseParams, int, Floats, Floats, Groups], Fitted]
"""(parameters, blocks, stacks (N, M, 2), truth (N, 2) without NaN, recording of each row (N,)) -> a fitted
fusion. `blocks` is 2 for a stack that is split by speaking time, else 1."""


@dataclass(frozen=True)
class Method:
    """A way to fuse; `Fusion.method` in `stages.core.systems` names it.

    Args:
        fit: fits it on labelled rows.
        load: the inverse of `Fitted.to_arrays`.
        thins: whether it is fitted on `fuse.rows_hz` rows per second instead of on every frame.
        weigh: adds the widths of the systems' intervals, (N, M, 2), to a stack (N, M, 2); see `width`.
    """

    fit: Fit
    load: Callable[[Mapping[str, Floats]], Fitted]
    thins: bool = False
    weigh: Callable[[Floats, Floats], Floats] = with_widths


METHODS: Mapping[str, Method] = {
    "dirichlet": Method(_dirichlet, load_weighted, weigh=with_precision_weighted_mean),
    "forest": Method(_forests("out_of_bag"), load_forests, thins=True),
    "grouped_forest": Method(_forests("grouped"), load_forests, thins=True),
}
"""The methods by name."""
