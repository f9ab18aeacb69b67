"""Loss functions: log-cosh for single frames, CCC for sequences, focal loss on soft labels for emotions.

`valid` has the shape of the target without its last axis, True where a label exists. Values elsewhere, NaN
included, affect neither a loss nor its gradient; without any valid frame a loss is 0.
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
    """Mean log cosh(prediction − target) over the valid rows and all targets (paper, equation 3).

    Shape: prediction, target (..., C); valid (...) bool -> scalar.
    """
    weight, target = _weights(target, valid)
    difference = torch.where(weight > 0, prediction.float() - target, 0.0)
    return log_cosh(difference).sum() / _at_least_one(weight.sum() * target.shape[-1])


def ccc_loss(prediction: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Sum over targets of 1 − CCC, over all valid frames of the batch together (paper, equation 2).

    CCC = 2 cov / (var_t + var_p + (mean_t − mean_p)²), with population moments. Value and
    gradient are finite for constant predictions or targets; for two equal constants CCC is 0.

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
    """Cross-entropy with soft labels; with `focusing` > 0, well-classified rows count less.

    Each class k adds −w_k · p_k · |p_k − q_k|^focusing · log q_k, with q = softmax(logits). For hard labels
    this is the focal loss of Lin et al. 2017; with focusing 0 it is cross-entropy.

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
    """A loss on valence and arousal plus a focal loss on the emotions, each over the labelled rows.

    Missing labels don't enter the mean; a batch without any label of one kind has loss 0 of that kind.

    Shape: valence_arousal, target (N, 2); logits, probability (N, K); class_weight (K,) -> scalar.

    Args:
        valence_arousal: predicted.
        target: labels; NaN where unlabelled, separately for each target.
        logits: predicted, of the K classes.
        probability: of each class: shares of the votes, or 1 for the labelled class; NaN where unlabelled.
        class_weight: see `balanced_weights`.
        emotion_weight: factor on the loss of the emotions.
        focusing: see `soft_focal_loss`.
        concordance: use `ccc_loss` over the batch for valence and arousal, separately for each target; else
            `log_cosh_loss`.
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
    """Target of the emotions' loss: the shares of the votes, or one-hot for the majority class.

    Shape: emotion (N,), shares (N, K) -> (N, K), NaN where unlabelled.

    Args:
        emotion: majority class, -1 where unlabelled.
        shares: shares of the votes, NaN without votes.
        votes: use the shares where they exist.
    """
    named = (emotion >= 0).unsqueeze(-1)
    winner = F.one_hot(emotion.clamp(min=0), shares.shape[-1]).to(shares.dtype)
    probability = torch.where(named, winner, torch.nan)
    return torch.where(shares.isnan(), probability, shares) if votes else probability


def balanced_weights(counts: Tensor) -> Tensor:
    """Class weights by inverse frequency, with mean 1 over all labelled rows; 0 for classes that don't occur.

    Shape: (K,) -> (K,) float32.

    >>> balanced_weights(torch.tensor([6, 2, 0])).tolist()
    [0.666..., 2.0, 0.0]
    """
    present = counts > 0
    share = counts.sum() / (counts.clamp(min=1) * _at_least_one(present.sum()))
    return torch.where(present, share, 0.0).float()


def _weights(target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """Weights (..., 1), 0 or 1; and the target in float32, 0 where it isn't valid."""
    if valid is None:
        return torch.ones_like(target[..., :1], dtype=torch.float32), target.float()
    weight = valid.unsqueeze(-1)
    return weight.float(), torch.where(weight, target.float(), 0.0)


def _at_least_one(count: Tensor) -> Tensor:
    """A count as divisor: 1 instead of 0."""
    return count.clamp(min=1.0)
