"""Dirichlet-weighted fusion: the best of many random convex combinations of the models (paper, section 3.3).

The CCC of a weighted sum follows from the models' moments, so a draw costs O(models^2), not O(frames), and
the frames are read once. The authors draw valence and arousal jointly; the two optima are independent, so by
default each target keeps its own best column. On the simplex, CCC is a linear function divided by a convex
quadratic one, hence quasiconcave where it is positive: every local maximum is the global one, and a local
search from the best draw finds it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from stages.core.arrays import Floats
from stages.core.measures import Moments, concordance

CHUNK = 1 << 16
KEPT_DRAWS = 1 << 20
"""So many are kept for the next fit, in some 60 MB: a fusion is fitted for every fold, by the same ones."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """Weights and their CCC on the frames they were chosen on (optimistic; see `grouped`).

    Attributes:
        weights: (M, targets), >= 0; each block of a column has sum 1.
        ccc: (targets,).
    """

    weights: Floats
    ccc: Floats


def target_moments(truth: Floats, stacks: Floats) -> tuple[Moments, ...]:
    """Moments of [truth, models] for every target, over the frames with all targets labelled.

    Shape: (N, targets), (N, M, targets).

    Raises:
        ValueError: shapes don't match, or a labelled frame's prediction isn't finite.
    """
    if stacks.ndim != 3 or (len(truth), truth.shape[1]) != (stacks.shape[0], stacks.shape[2]):
        raise ValueError(f"truth is {truth.shape}, stacks {stacks.shape}: must be (N, C) and (N, M, C)")
    rows = ~np.isnan(truth).any(axis=1)
    columns = range(truth.shape[1])
    return tuple(Moments.of(truth[rows, column], stacks[rows][:, :, column]) for column in columns)


def best_weights(
    moments: Sequence[Moments],
    *,
    draws: int = 1_000_000,
    seed: int = 0,
    per_target: bool = True,
    refine: bool = True,
    blocks: int = 1,
) -> Chosen:
    """Draw every target's column from Dirichlet(1, ..., 1) and keep the best.

    The paper's variant: draws=2000, per_target=False, refine=False.

    Args:
        moments: one per target, from `target_moments`, merged over recordings as needed.
        draws: number of weight matrices tried.
        seed: seed of the draws.
        per_target: choose each column by its own CCC; False: choose the matrix with the best mean CCC.
        refine: search locally from the best draw for the maximum.
        blocks: number of equal parts of a column that each have sum 1; 2 for the columns of
            `voice.split_by_speaking` (silence, then speech).

    Raises:
        ValueError: no draw, target, model or labelled frame; targets with different numbers of models; or a
            number of models that isn't a multiple of `blocks`.
    """
    sizes = {len(each.mean) - 1 for each in moments}
    if draws < 1 or len(sizes) != 1 or min(sizes) < 1 or not all(each.count for each in moments):
        raise ValueError(
            f"{draws} draws, models per target {sorted(sizes)}: need a draw, models and labelled frames"
        )
    models = sizes.pop()
    if blocks < 1 or models % blocks:
        raise ValueError(f"{blocks} blocks of {models} columns: all blocks must have the same length")
    best = np.full((models, len(moments)), np.nan)
    reached = np.full(len(moments), -np.inf)
    draw = _kept if draws <= KEPT_DRAWS else _drawn
    for drawn in draw(draws, seed, len(moments), blocks, models // blocks):
        scores = np.stack([ccc_of_weights(each, drawn[:, t]) for t, each in enumerate(moments)], axis=1)
        leaders = scores.argmax(axis=0) if per_target else np.full(len(moments), scores.mean(axis=1).argmax())
        leading = scores[leaders, np.arange(len(moments))]
        better = leading > reached if per_target else np.full(len(moments), leading.mean() > reached.mean())
        best[:, better] = drawn[leaders, np.arange(len(moments))][better].T
        reached[better] = leading[better]
    if refine:
        best = np.column_stack([_climb(each, best[:, t], blocks) for t, each in enumerate(moments)])
    return Chosen(best, np.array([each.fused(best[:, t]).ccc() for t, each in enumerate(moments)]))


def _drawn(draws: int, seed: int, targets: int, blocks: int, models: int) -> Iterator[Floats]:
    """The draws, CHUNK at a time. Shape: -> (CHUNK, targets, blocks x models) each."""
    generator = np.random.default_rng(seed)
    for begin in range(0, draws, CHUNK):
        shape = (min(CHUNK, draws - begin), targets, blocks, models)
        drawn = generator.standard_exponential(shape)
        drawn /= drawn.sum(axis=3, keepdims=True)
        yield drawn.reshape(*shape[:2], blocks * models)


@lru_cache(maxsize=1)
def _kept(*asked: int) -> list[Floats]:
    return list(_drawn(*asked))


def ccc_of_weights(moments: Moments, weights: Floats) -> Floats:
    """CCC of many weighted sums at once.

    Shape: (draws, M) -> (draws,).

    Args:
        moments: of [truth, model 1, ..., model M].
        weights: one row per weighted sum.
    """
    mean, covariance = moments.mean, moments.covariance
    variance = np.einsum("dm,dm->d", weights @ covariance[1:, 1:], weights)
    spread = covariance[0, 0] + variance + (mean[0] - weights @ mean[1:]) ** 2
    return concordance(weights @ (2 * covariance[1:, 0]), spread)


def fuse(stacks: Floats, weights: Floats) -> Floats:
    """Weighted sum of the models' predictions, per target.

    Shape: (N, M, C), (M, C) -> (N, C) float64.

    Raises:
        ValueError: the weights aren't one per model and target.
    """
    if stacks.shape[1:] != weights.shape:
        raise ValueError(f"weights are {weights.shape}, stacks {stacks.shape}: must be (M, C) and (N, M, C)")
    return np.asarray(np.einsum("nmc,mc->nc", stacks.astype(np.float64), weights))


def _climb(moments: Moments, start: Floats, blocks: int) -> Floats:
    """The maximum of CCC on the simplex (of each block), searched from the best draw; never worse than it."""
    from scipy.optimize import minimize

    members = np.kron(np.eye(blocks), np.ones(len(start) // blocks))
    found = minimize(
        lambda weights: _loss_and_slope(moments, weights),
        start,
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * len(start),
        constraints={"type": "eq", "fun": lambda w: members @ w - 1, "jac": lambda _: members},
        options={"ftol": 1e-12, "maxiter": 200},
    )
    peak = np.clip(found.x, 0.0, 1.0).reshape(blocks, -1)
    peak = (peak / peak.sum(axis=1, keepdims=True)).ravel()
    before, after = ccc_of_weights(moments, np.stack([start, peak]))
    return peak if after > before else start


def _loss_and_slope(moments: Moments, weights: Floats) -> tuple[float, Floats]:
    """Minus CCC, and its gradient with respect to the weights."""
    mean, covariance = moments.mean, moments.covariance
    distance = weights @ mean[1:] - mean[0]
    blurred = covariance[1:, 1:] @ weights
    spread = covariance[0, 0] + weights @ blurred + distance**2
    if spread <= 0:
        return -1.0, np.zeros_like(weights)
    ratio = 2 * (weights @ covariance[1:, 0]) / spread
    slope = (2 * covariance[1:, 0] - ratio * 2 * (blurred + distance * mean[1:])) / spread
    return -float(ratio), -slope
