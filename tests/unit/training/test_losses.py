"""Losses against closed formulas, masks, and the constant predictions that break the naive CCC."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812  (its customary name)

from stages.training.losses import (
    balanced_weights,
    ccc_loss,
    class_probability,
    log_cosh,
    log_cosh_loss,
    multi_task_loss,
    soft_focal_loss,
)


@pytest.mark.parametrize("x", [-700.0, -3.0, -1e-3, 0.0, 0.5, 20.0, 1e4])
def test_log_cosh_is_exact_where_cosh_overflows_not_and_linear_where_it_does(x):
    expected = math.log(math.cosh(x)) if abs(x) < 500 else abs(x) - math.log(2)
    assert log_cosh(torch.tensor(x, dtype=torch.float64)).item() == pytest.approx(expected, abs=1e-12)


def test_the_gradient_of_log_cosh_is_tanh():
    x = torch.linspace(-30, 30, 61, requires_grad=True)
    log_cosh(x).sum().backward()
    assert torch.allclose(x.grad, torch.tanh(x.detach()), atol=1e-6)


def _ccc(truth, predicted):
    """Population CCC straight from its definition, in float64."""
    covariance = np.mean((truth - truth.mean()) * (predicted - predicted.mean()))
    return 2 * covariance / (truth.var() + predicted.var() + (truth.mean() - predicted.mean()) ** 2)


def test_ccc_loss_pools_all_frames_of_the_batch():
    rng = np.random.default_rng(0)
    truth = rng.uniform(-1, 1, (6, 20, 2))
    predicted = 0.6 * truth + rng.normal(0.1, 0.2, truth.shape)
    expected = sum(1 - _ccc(truth[..., c].ravel(), predicted[..., c].ravel()) for c in (0, 1))
    assert ccc_loss(torch.tensor(predicted), torch.tensor(truth)).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("scale", "shift", "expected"), [(1, 0, 0), (-1, 0, 4), (1, 1, None), (0, 0, 2)])
def test_ccc_loss_of_scaled_and_shifted_truth(scale, shift, expected):
    truth = torch.tensor([-0.5, 0.5] * 8).repeat(2, 1).T
    variance = 0.25
    if expected is None:
        expected = 2 * (1 - 2 * variance / (2 * variance + shift**2))
    assert ccc_loss(scale * truth + shift, truth).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("predicted", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("truth", ["constant", "varied", "single"])
def test_ccc_loss_and_its_gradient_are_finite_for_constants(predicted, truth):
    target = {"constant": torch.full((8, 2), 0.3), "varied": torch.rand(8, 2), "single": torch.rand(1, 2)}[
        truth
    ]
    prediction = torch.full_like(target, predicted, requires_grad=True)
    loss = ccc_loss(prediction, target)
    loss.backward()
    assert loss.isfinite()
    assert prediction.grad.isfinite().all()


@pytest.mark.parametrize("loss", [ccc_loss, log_cosh_loss])
def test_masked_frames_do_not_exist(loss):
    torch.manual_seed(0)
    target, prediction = torch.rand(3, 10, 2), torch.rand(3, 10, 2)
    valid = torch.rand(3, 10) < 0.6
    expected = loss(prediction[valid], target[valid])
    target[~valid], prediction[~valid] = torch.nan, torch.nan
    prediction.requires_grad_()
    value = loss(prediction, target, valid)
    value.backward()
    assert torch.allclose(value.detach(), expected, atol=1e-6)
    assert prediction.grad.isfinite().all()
    assert not prediction.grad[~valid].any()


@pytest.mark.parametrize("loss", [ccc_loss, log_cosh_loss])
def test_without_a_valid_frame_the_loss_is_zero(loss):
    prediction = torch.rand(2, 5, 2, requires_grad=True)
    value = loss(prediction, torch.rand(2, 5, 2), torch.zeros(2, 5, dtype=torch.bool))
    value.backward()
    assert value.item() == 0
    assert not prediction.grad.any()


def test_soft_focal_loss_is_cross_entropy_without_focusing_and_the_focal_loss_for_hard_labels():
    torch.manual_seed(0)
    logits, label, weight = torch.randn(16, 8), torch.randint(8, (16,)), torch.rand(8)
    hard = torch.nn.functional.one_hot(label, 8).float()
    plain = torch.nn.functional.cross_entropy(logits, label)
    assert torch.allclose(soft_focal_loss(logits, hard), plain, atol=1e-6)
    q = logits.softmax(-1).gather(1, label[:, None])[:, 0]
    focal = (-weight[label] * (1 - q) ** 2 * q.log()).mean()
    assert torch.allclose(soft_focal_loss(logits, hard, weight, focusing=2.0), focal, atol=1e-6)
    valid = torch.arange(16) < 4
    part = soft_focal_loss(logits[:4], hard[:4])
    hard[4:] = torch.nan
    assert torch.allclose(soft_focal_loss(logits, hard, valid=valid), part, atol=1e-6)


NAN = float("nan")


def task(**changes):
    """Three images: one with valence and arousal, one with an emotion, one with both."""
    batch = {
        "valence_arousal": torch.tensor([[0.2, -0.4], [9.0, 9.0], [0.1, 0.0]], requires_grad=True),
        "target": torch.tensor([[0.0, 0.0], [NAN, NAN], [0.5, NAN]]),
        "logits": torch.tensor([[5.0, -5.0, 0.0], [1.0, 0.0, 0.0], [0.0, 2.0, 0.0]], requires_grad=True),
        "probability": torch.tensor([[NAN] * 3, [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
    }
    return batch | changes


CLASSES = torch.tensor([0, 1])
"""Of the images with an emotion."""


def test_the_multi_task_loss_is_the_sum_of_means_over_the_labels_there_are():
    batch = {name: tensor.detach() for name, tensor in task().items()}
    differences = torch.tensor([0.2, -0.4, -0.4])
    regression = torch.log(torch.cosh(differences)).mean()
    classes = F.cross_entropy(batch["logits"][1:], CLASSES)
    assert multi_task_loss(**batch) == pytest.approx(float(regression + classes), abs=1e-6)
    assert multi_task_loss(**batch, emotion_weight=0.5) == pytest.approx(
        float(regression + classes / 2), abs=1e-6
    )


def test_by_concordance_each_target_is_scored_over_the_images_that_have_it():
    rng = np.random.default_rng(0)
    truth = rng.uniform(-1, 1, (20, 2))
    predicted = 0.5 * truth + rng.normal(0, 0.2, truth.shape)
    seen = [slice(0, 20), slice(0, 12)]
    expected = sum(1 - _ccc(truth[seen[c], c], predicted[seen[c], c]) for c in (0, 1))
    truth[12:, 1] = NAN
    logits = torch.zeros(20, 3)
    loss = multi_task_loss(
        torch.tensor(predicted), torch.tensor(truth), logits, logits.fill_(NAN), concordance=True
    )
    assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_classes_come_from_the_winner_or_from_the_votes():
    shares = torch.tensor([[0.6, 0.4], [NAN, NAN], [0.5, 0.5], [NAN, NAN]])
    emotion = torch.tensor([0, 1, -1, -1])
    winners, votes = (class_probability(emotion, shares, by_votes) for by_votes in (False, True))
    assert winners[:2].tolist() == [[1, 0], [0, 1]]
    assert winners[2:].isnan().all()
    assert votes[:3].tolist() == [shares[0].tolist(), [0, 1], [0.5, 0.5]], "no votes: the winner"
    assert votes[3].isnan().all()


def test_what_is_not_labelled_gets_no_gradient():
    batch = task()
    multi_task_loss(**batch, focusing=2.0).backward()
    moved = batch["valence_arousal"].grad != 0
    assert moved.tolist() == [[True, True], [False, False], [True, False]]
    assert (batch["logits"].grad != 0).any(dim=1).tolist() == [False, True, True]
    assert torch.isfinite(batch["valence_arousal"].grad).all()


@pytest.mark.parametrize("missing", ["probability", "target"])
def test_a_batch_without_a_kind_of_label_has_no_loss_of_it(missing):
    batch = task(**{missing: torch.full_like(task()[missing], NAN)})
    loss = multi_task_loss(**batch)
    loss.backward()
    idle = "logits" if missing == "probability" else "valence_arousal"
    assert torch.isfinite(loss)
    assert batch[idle].grad is None or (batch[idle].grad == 0).all()


def test_class_weights_weigh_and_are_one_on_average():
    weights = balanced_weights(torch.tensor([6, 2, 0]))
    assert weights.tolist() == pytest.approx([2 / 3, 2, 0])
    assert (weights * torch.tensor([6, 2, 0])).sum() / 8 == pytest.approx(1)
    batch = {name: tensor.detach() for name, tensor in task(target=torch.full((3, 2), NAN)).items()}
    each = F.cross_entropy(batch["logits"][1:], CLASSES, reduction="none")
    expected = float((each * weights[:2]).mean())
    assert multi_task_loss(**batch, class_weight=weights) == pytest.approx(expected, abs=1e-6)
