"""What the models minimise: log-cosh for single frames, CCC for sequences, soft labels for emotions.

`valid` has the shape of the target without its last axis, True where a label exists. What stands at
other places (NaN included) never reaches a loss; without a single valid frame a loss is 0.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (its customary name)

SMALLEST_DENOMINATOR = 1e-8
"""Keeps CCC finite where prediction and target are the same constant; far below any real variance."""


def log_cosh(x: Tensor) -> Tensor:
    """Element-wise log(cosh(x)), without the overflow of cosh: x + softplus(−2x) − log 2.

    >>> log_cosh(torch.tensor([0.0, 200.0])).tolist()
    [0.0, 199.3068...]
    """
    return x + F.softplus(-2.0 * x) - math.log(2.0)


def log_cosh_loss(prediction: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean log cosh(prediction − target) over the valid rows and both targets (paper, equation 3).

    Shape: prediction, target (..., C); valid (...) bool -> scalar.
    """
    weight, target = _weights(target, valid)
    difference = torch.where(weight > 0, prediction.float() - target, 0.0)
    return log_cosh(difference).sum() / _at_least_one(weight.sum() * target.shape[-1])


def ccc_loss(prediction: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Σ over targets of 1 − CCC, over all valid frames of the batch taken together (paper, equation 2).

    CCC = 2 cov / (var_t + var_p + (mean_t − mean_p)²), with population moments throughout. Value and
    gradient stay finite for constant predictions or targets; two equal constants count as CCC 0.

    Shape: prediction, target (..., C); valid (...) bool -> scalar.
    """
    weight, target = _weights(target, valid)
    weight, target = weight.flatten(0, -2), target.flatten(0, -2)  # (frames, 1), (frames, C)
    prediction = torch.where(weight > 0, prediction.float().flatten(0, -2), 0.0)
    share = weight / _at_least_one(weight.sum())
    mean_p, mean_t = (share * prediction).sum(0), (share * target).sum(0)
    off_p, off_t = prediction - mean_p, target - mean_t
    covariance = (share * off_p * off_t).sum(0)
    spread = (share * (off_p.square() + off_t.square())).sum(0) + (mean_t - mean_p).square()
    ccc = 2.0 * covariance / (spread + SMALLEST_DENOMINATOR)
    return (1.0 - ccc).sum() * (weight.sum() > 0)


def soft_focal_loss(
    logits: Tensor,
    probability: Tensor,
    class_weight: Tensor | None = None,
    focusing: float = 0.0,
    valid: Tensor | None = None,
) -> Tensor:
    """Cross-entropy against soft labels; with `focusing` > 0 well classified rows count less.

    Each class k adds −w_k · p_k · |p_k − q_k|^focusing · log q_k, where q = softmax(logits): for hard
    labels this is the focal loss of Lin et al. 2017, and plain cross-entropy at focusing 0.

    Shape: logits, probability (..., K); class_weight (K,); valid (...) bool -> scalar, mean of valid rows.
    """
    weight, probability = _weights(probability, valid)
    log_q = F.log_softmax(torch.where(weight > 0, logits.float(), 0.0), dim=-1)
    per_class = -probability * log_q
    if focusing > 0:
        per_class = per_class * (probability - log_q.exp()).abs().pow(focusing)
    if class_weight is not None:
        per_class = per_class * class_weight
    return (per_class * weight).sum() / _at_least_one(weight.sum())


def multi_task_loss(
    valence_arousal: Tensor,
    target: Tensor,
    logits: Tensor,
    probability: Tensor,
    class_weight: Tensor | None = None,
    *,
    emotion_weight: float = 1.0,
    focusing: float = 0.0,
    concordance: bool = False,
) -> Tensor:
    """A loss of valence and arousal plus a focal loss on the emotions, each over the labels there are.

    A missing label is no part of its mean; a batch without any label of a kind has no loss of that kind.

    Shape: valence_arousal, target (N, 2); logits, probability (N, K); class_weight (K,) -> scalar.

    Args:
        valence_arousal: predicted.
        target: NaN where unlabelled, each target by itself.
        logits: predicted.
        probability: of each class: shares of votes, or 1 for the one that was named; NaN where unlabelled.
        class_weight: see `balanced_weights`.
        emotion_weight: of the emotions' loss against the other.
        focusing: see `soft_focal_loss`.
        concordance: the loss of valence and arousal is `ccc_loss` over the batch, each target by itself;
            else `log_cosh_loss`.
    """
    if concordance:
        columns = [(valence_arousal[:, [k]], target[:, [k]], ~target[:, k].isnan()) for k in (0, 1)]
        regression = ccc_loss(*columns[0]) + ccc_loss(*columns[1])
    else:
        regression = log_cosh_loss(
            valence_arousal.reshape(-1, 1), target.reshape(-1, 1), ~target.isnan().flatten()
        )
    named = ~probability.isnan().any(dim=-1)
    return regression + emotion_weight * soft_focal_loss(logits, probability, class_weight, focusing, named)


def class_probability(emotion: Tensor, shares: Tensor, votes: bool) -> Tensor:
    """What the emotions' loss compares with: the shares of the votes, or all for the emotion that won.

    Shape: emotion (N,) class, -1 where unlabelled; shares (N, K), NaN without votes -> (N, K).

    Args:
        emotion: the winner.
        shares: of the votes.
        votes: take the shares, where there are any.
    """
    named = (emotion >= 0).unsqueeze(-1)
    winner = F.one_hot(emotion.clamp(min=0), shares.shape[-1]).to(shares.dtype)
    probability = torch.where(named, winner, torch.nan)
    return torch.where(shares.isnan(), probability, shares) if votes else probability


def balanced_weights(counts: Tensor) -> Tensor:
    """Class weights by inverse frequency, of mean 1 over all labelled rows; 0 for classes that never occur.

    Shape: (K,) -> (K,) float32.

    >>> balanced_weights(torch.tensor([6, 2, 0])).tolist()
    [0.666..., 2.0, 0.0]
    """
    present = counts > 0
    share = counts.sum() / (counts.clamp(min=1) * _at_least_one(present.sum()))
    return torch.where(present, share, 0.0).float()


def _weights(target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """(weights (..., 1) in {0, 1}, target in float32 with 0 where it isn't valid)."""
    if valid is None:
        return torch.ones_like(target[..., :1], dtype=torch.float32), target.float()
    weight = valid.unsqueeze(-1)
    return weight.float(), torch.where(weight, target.float(), 0.0)


def _at_least_one(count: Tensor) -> Tensor:
    """Never divide by zero frames."""
    return count.clamp(min=1.0)
