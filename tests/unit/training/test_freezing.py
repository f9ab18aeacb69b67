"""Gradual unfreezing, and frozen layers that stand still."""

import pytest
import torch
from torch import nn

from stages.training.freezing import check_groups, one_group, train_mode, unfreeze_top


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)),
        nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)),
        nn.Linear(4, 2),
    )


def groups_of(model):
    return [list(part.parameters()) for part in model]


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, [False, False, True]), (2, [False, True, True]), (9, [True] * 3), (None, [True] * 3)],
)
def test_the_top_groups_train(model, count, expected):
    assert unfreeze_top(groups_of(model), count) == sum(expected)
    assert [all(p.requires_grad for p in part.parameters()) for part in model] == expected
    assert [any(p.requires_grad for p in part.parameters()) for part in model] == expected


def test_frozen_layers_keep_their_statistics_and_drop_nothing(model):
    unfreeze_top(groups_of(model), 2)
    train_mode(model)
    assert [part.training for part in model] == [False, True, True]
    assert not model[0][2].training
    before, x = [part[1].running_mean.clone() for part in model[:2]], torch.randn(16, 3)
    assert torch.equal(model[0](x), model[0](x))
    model(x)
    assert torch.equal(model[0][1].running_mean, before[0])
    assert not torch.equal(model[1][1].running_mean, before[1])


def test_thawed_layers_train_again(model):
    unfreeze_top(groups_of(model), 1)
    train_mode(model)
    unfreeze_top(groups_of(model), 3)
    train_mode(model)
    assert all(module.training for module in model.modules())


def test_groups_that_do_not_fit_are_refused(model):
    groups = groups_of(model)
    check_groups(model, groups)
    check_groups(model, one_group(model))
    with pytest.raises(ValueError, match="4 trainable parameters belong to no layer group"):
        check_groups(model, groups[1:])
    with pytest.raises(ValueError, match="2 parameters are repeated"):
        check_groups(model, [*groups, groups[-1]])
    with pytest.raises(ValueError, match="1 parameters in the layer groups aren't the model's"):
        check_groups(model, [*groups, [nn.Parameter(torch.ones(1))]])
