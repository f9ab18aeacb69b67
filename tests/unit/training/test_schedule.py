"""Learning rates step by step, against the paper's figures; and the optimiser that starts fast."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from stages.core.optimisation import OptimSettings
from stages.training.schedule import (
    LightAdam,
    LightAdamW,
    build_optimizer,
    build_schedule,
    group_learning_rates,
    learning_rate_at,
)

PAPER = OptimSettings()
STEPS = 200  # per epoch


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 5e-5),
        (50, (5e-5 + 5e-3) / 2),
        (100, 5e-3),
        (100 + 500, (5e-3 + 1e-4) / 2),  # half a period of 5 epochs
        (100 + 999, pytest.approx(1e-4, rel=1e-3)),
        (100 + 1000, 5e-3),  # "cyclic": it starts again
        (100 + 1500, (5e-3 + 1e-4) / 2),
    ],
)
def test_the_papers_schedule(step, expected):
    assert learning_rate_at(step, STEPS, PAPER) == (
        expected if not isinstance(expected, float) else pytest.approx(expected)
    )


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 5e-5), (0.15, 2.525e-3), (0.3, 5e-3), (0.65, 2.55e-3), (1.0, 1e-4)]
)
def test_one_cycle_climbs_for_three_tenths_of_all_steps(share, expected):
    settings = OptimSettings(schedule="one_cycle", epochs=10)
    assert learning_rate_at(round(share * 2000), 200, settings) == pytest.approx(expected, rel=0.01)


def test_constant_stays_after_its_warm_up():
    settings = OptimSettings(schedule="constant", warmup_steps=10)
    assert [learning_rate_at(s, 5, settings) for s in (0, 10, 9999)] == [5e-5, 5e-3, 5e-3]


@pytest.mark.parametrize("steps_per_epoch", [1, 3])
@pytest.mark.parametrize("schedule", ["cyclic", "one_cycle", "constant"])
def test_every_rate_of_the_shortest_run_is_legal(schedule, steps_per_epoch):
    settings = OptimSettings(schedule=schedule, epochs=1, warmup_steps=0)
    rates = [learning_rate_at(s, steps_per_epoch, settings) for s in range(steps_per_epoch + 1)]
    assert all(5e-5 * (1 - 1e-9) <= rate <= 5e-3 for rate in rates)


def test_discriminative_rates_fall_by_a_tenth_per_group_down_to_the_floor():
    rates = group_learning_rates(60, OptimSettings(layer_decay=0.9))
    assert rates[-1] == 5e-3
    assert rates[-2] == pytest.approx(0.9 * 5e-3)
    assert rates[-11] == pytest.approx(0.9**10 * 5e-3)
    assert rates[0] == 5e-5
    assert group_learning_rates(3, OptimSettings()) == [5e-3] * 3
    assert group_learning_rates(1, OptimSettings(learning_rate=1e-6)) == [1e-6]


def test_the_schedule_moves_all_groups_alike():
    groups = [[torch.nn.Parameter(torch.zeros(1))] for _ in range(3)]
    settings = OptimSettings(layer_decay=0.5, warmup_steps=4)
    optimizer = build_optimizer(groups, settings)
    schedule = build_schedule(optimizer, 10, settings)
    for step in range(8):
        expected = [f * learning_rate_at(step, 10, settings) for f in (0.25, 0.5, 1.0)]
        assert schedule.get_last_lr() == pytest.approx(expected)
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize(("ours", "theirs"), [(LightAdam, torch.optim.Adam), (LightAdamW, torch.optim.AdamW)])
def test_the_light_optimizers_compute_what_torchs_do(ours, theirs):
    torch.manual_seed(0)
    start, slopes = torch.randn(5), torch.randn(4, 5)
    ends = []
    for kind in (ours, theirs):
        parameter = torch.nn.Parameter(start.clone())
        optimizer = kind([parameter], lr=0.1, weight_decay=0.1)
        for slope in slopes:
            optimizer.zero_grad()
            (parameter * slope).sum().backward()
            optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
        ends.append(parameter.detach())
    assert torch.equal(*ends)


def test_a_step_on_a_processor_is_torchs_plain_one_however_weights_lie_in_memory():
    ends = []
    for plain in (True, False):
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Conv2d(5, 8, 3, stride=2), torch.nn.Conv2d(8, 4, 1)).double()
        net.to(memory_format=torch.channels_last)
        settings = OptimSettings(learning_rate=0.01, weight_decay=0.1)
        optimizer = build_optimizer([list(net.parameters())], settings)
        if plain:
            optimizer = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.1, fused=False)
        for _ in range(5):
            optimizer.zero_grad()
            net(torch.randn(2, 5, 9, 9).double()).square().sum().backward()
            optimizer.step()
        ends.append(torch.cat([parameter.detach().flatten() for parameter in net.parameters()]))
    assert torch.allclose(*ends, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_a_step_imports_no_compiler():
    code = (
        "import sys, torch; from stages.training.schedule import *; p = torch.nn.Parameter(torch.ones(2));"
        "o = build_optimizer([[p]], OptimSettings()); s = build_schedule(o, 1, OptimSettings());"
        "o.zero_grad(); p.sum().backward(); o.step(); s.step(); o.state_dict();"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_bad_steps_are_refused():
    with pytest.raises(ValueError, match="got -1 and 5"):
        learning_rate_at(-1, 5, PAPER)


def test_a_group_that_is_unfrozen_climbs_from_nothing() -> None:
    """While those that train from the start go their way."""
    settings = OptimSettings(
        schedule="constant", warmup_steps=0, learning_rate=0.1, unfrozen_groups=1, group_warmup_steps=4
    )
    groups = [[nn.Parameter(torch.zeros(1))] for _ in range(2)]
    optimizer = build_optimizer(groups, settings)
    schedule, rates = build_schedule(optimizer, 3, settings), []
    for _ in range(9):
        rates.append(schedule.get_last_lr())
        optimizer.step()
        schedule.step()
    bottom, top = zip(*rates, strict=True)
    assert top == pytest.approx([0.1] * 9)
    assert bottom == pytest.approx([0, 0, 0, 0, 0.025, 0.05, 0.075, 0.1, 0.1])
