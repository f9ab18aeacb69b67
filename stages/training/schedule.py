"""Learning rates: their schedule over the optimiser steps, and per layer group."""

import inspect
import math
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from stages.core.optimisation import OptimSettings

CLIMB = 0.3
"""Share of all steps in which a one-cycle schedule rises (Smith & Topin 2018)."""


def learning_rate_at(step: int, steps_per_epoch: int, settings: OptimSettings) -> float:
    """Learning rate of the topmost layer group at an optimiser step, counted from 0.

    - cyclic: linear warm-up, then cosine annealing from the full to the minimal rate, restarted every
      `cycle_epochs` (paper, section 4.4; Loshchilov & Hutter 2017);
    - one_cycle: one cosine up over the first 30 % of all steps, one cosine down over the rest;
    - constant: linear warm-up, then the full rate.

    Raises:
        ValueError: `step` is negative or `steps_per_epoch` not positive.
    """
    if step < 0 or steps_per_epoch < 1:
        raise ValueError(f"need step >= 0 and steps_per_epoch >= 1, got {step} and {steps_per_epoch}")
    low, full, end = settings.warmup_learning_rate, settings.learning_rate, settings.min_learning_rate
    if settings.schedule == "one_cycle":
        last = max(settings.epochs * steps_per_epoch - 1, 1)
        top = CLIMB * last
        return (
            _cosine(low, full, step / top) if step < top else _cosine(full, end, (step - top) / (last - top))
        )
    if step < settings.warmup_steps:
        return low + (full - low) * step / settings.warmup_steps
    if settings.schedule == "constant":
        return full
    period = settings.cycle_epochs * steps_per_epoch
    return _cosine(full, end, (step - settings.warmup_steps) % period / period)


def _cosine(start: float, end: float, progress: float) -> float:
    """Half a cosine wave from `start` to `end` while `progress` goes from 0 to 1; held afterwards."""
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))


def group_learning_rates(groups: int, settings: OptimSettings) -> list[float]:
    """Full learning rate of each layer group, bottom to top: discriminative learning (paper, section 4.4).

    The top group (the new layers) has the full rate; each lower group has `layer_decay` times the rate of the
    group above it, but at least `layer_floor` and at most the full rate.

    >>> group_learning_rates(3, OptimSettings(learning_rate=0.01, layer_decay=0.5, layer_floor=0.004))
    [0.004, 0.005, 0.01]
    """
    full, floor = settings.learning_rate, min(settings.layer_floor, settings.learning_rate)
    return [max(full * settings.layer_decay**depth, floor) for depth in reversed(range(groups))]


class _LightStart:
    """The optimiser's methods without `torch.compiler.disable`, which imports dynamo and sympy (4 s)."""

    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    zero_grad = inspect.unwrap(Optimizer.zero_grad)
    state_dict = inspect.unwrap(Optimizer.state_dict)
    load_state_dict = inspect.unwrap(Optimizer.load_state_dict)


class LightAdam(_LightStart, Adam):
    """`torch.optim.Adam`: same arithmetic, starts 4 s faster."""

    step = torch.no_grad()(inspect.unwrap(Adam.step))


class LightAdamW(_LightStart, AdamW):
    """`torch.optim.AdamW`: same arithmetic, starts 4 s faster."""

    step = torch.no_grad()(inspect.unwrap(AdamW.step))


def build_optimizer(groups: Sequence[Sequence[nn.Parameter]], settings: OptimSettings) -> Optimizer:
    """Adam or AdamW with one parameter group per layer group (bottom to top), each at its own full rate."""
    rates = group_learning_rates(len(groups), settings)
    parameters = [{"params": list(group), "lr": rate} for group, rate in zip(groups, rates, strict=True)]
    kind = LightAdamW if settings.optimizer == "adamw" else LightAdam
    on_cpu = all(parameter.device.type == "cpu" for group in groups for parameter in group)
    # On a processor the usual step loops over parameters, four times as slow; on a GPU the choice is torch's.
    # The fused one walks through memory as it lies: autograd gives a gradient the strides of its parameter.
    fused = True if on_cpu else None
    return kind(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=fused)


def build_schedule(optimizer: Optimizer, steps_per_epoch: int, settings: OptimSettings) -> LambdaLR:
    """One schedule for all groups: full rate of the group × learning_rate_at(step) / learning_rate.

    Groups that have just been unfrozen warm up in addition, see `unfrozen_share`.
    """
    groups = len(optimizer.param_groups)

    def factor(group: int) -> Callable[[int], float]:
        begin = steps_per_epoch * unfrozen_at(group, groups, settings)
        return lambda step: (
            learning_rate_at(step, steps_per_epoch, settings)
            / settings.learning_rate
            * unfrozen_share(step, begin, settings)
        )

    return LambdaLR(optimizer, [factor(group) for group in range(groups)])


def unfrozen_at(group: int, groups: int, settings: OptimSettings) -> int:
    """The epoch, from 0, in which a layer group begins to train; groups are counted from the bottom.

    >>> [unfrozen_at(group, 4, OptimSettings(unfrozen_groups=2)) for group in range(4)]
    [2, 1, 0, 0]
    """
    if settings.unfrozen_groups is None:
        return 0
    return max(0, groups - group - settings.unfrozen_groups)


def unfrozen_share(step: int, begin: int, settings: OptimSettings) -> float:
    """Factor on the rate of a group that was unfrozen at step `begin`: a linear warm-up from 0 to 1.

    >>> warm = OptimSettings(group_warmup_steps=4)
    >>> [unfrozen_share(step, 10, warm) for step in (9, 10, 12, 14)], unfrozen_share(0, 0, warm)
    ([0.0, 0.0, 0.5, 1.0], 1.0)
    """
    if begin == 0 or not settings.group_warmup_steps:
        return 1.0
    return min(1.0, max(0, step - begin) / settings.group_warmup_steps)
