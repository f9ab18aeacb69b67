"""Parameters of the training of a torch model: optimiser, schedule, unfreezing, stopping. Without torch."""

from typing import Literal

from pydantic import Field

from stages.core.section import Section

MixedPrecision = Literal["no", "fp16", "bf16"]
"""Accelerate's names of the number format of a forward pass."""


class OptimSettings(Section):
    """Parameters of the training of one model; defaults are the paper's (section 4.4) if it names a value.

    Learning rates are those of the topmost layer group; lower groups scale them by a common factor.
    """

    optimizer: Literal["adamw", "adam"] = "adamw"
    schedule: Literal["cyclic", "one_cycle", "constant"] = "cyclic"
    learning_rate: float = Field(0.005, gt=0)
    warmup_learning_rate: float = Field(5e-5, gt=0)
    """Initial rate of the linear warm-up, and of the rise of one_cycle."""
    min_learning_rate: float = Field(1e-4, gt=0)
    """Final rate of each cosine."""
    warmup_steps: int = Field(100, ge=0)
    """Optimiser steps until the full learning rate, for cyclic and constant (one_cycle rises for 30 %)."""
    cycle_epochs: float = Field(5.0, gt=0)
    """Period of the cosine annealing, in epochs."""
    weight_decay: float = Field(1e-4, ge=0)
    max_grad_norm: float = Field(1.0, ge=0)
    """Gradients are clipped to this norm; 0: no clipping."""
    epochs: int = Field(100, ge=1)
    patience: int = Field(10, ge=1)
    """Epochs without improvement after which training stops."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Discriminative learning: factor on the learning rate per lower layer group; 1: off; the paper: 0.9."""
    layer_floor: float = Field(5e-5, ge=0)
    """Lower limit of a group's full learning rate under `layer_decay`."""
    unfrozen_groups: int | None = Field(None, ge=1)
    """Gradual unfreezing: number of topmost groups in the first epoch, one more per epoch; None: all."""
    group_warmup_steps: int = Field(0, ge=0)
    """Optimiser steps of a linear warm-up from 0 for a newly unfrozen group; 0: none (the paper). Groups that
    train from the first step have `warmup_steps` only."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Decay of an exponential moving average of the weights, which is then scored and kept; 0: off."""
    mixed_precision: MixedPrecision = "no"
    seed: int = Field(0, ge=0)
