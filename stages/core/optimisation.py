"""How a torch model is trained: optimiser, learning-rate schedule, unfreezing, stopping. No torch in here."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MixedPrecision = Literal["no", "fp16", "bf16"]
"""Accelerate's words for the number format of a forward pass."""


class OptimSettings(BaseModel):
    """The training of one model; defaults are the paper's (section 4.4) where it names a value.

    Learning rates are those of the topmost layer group; lower groups scale all of them alike.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    optimizer: Literal["adamw", "adam"] = "adamw"
    schedule: Literal["cyclic", "one_cycle", "constant"] = "cyclic"
    learning_rate: float = Field(0.005, gt=0)
    warmup_learning_rate: float = Field(5e-5, gt=0)
    """Where the linear warm-up (and a one-cycle's climb) starts."""
    min_learning_rate: float = Field(1e-4, gt=0)
    """Where each cosine ends."""
    warmup_steps: int = Field(100, ge=0)
    """Optimiser steps until the full learning rate (cyclic and constant; a one-cycle climbs for 30 %)."""
    cycle_epochs: float = Field(5.0, gt=0)
    """Period of the cosine annealing."""
    weight_decay: float = Field(1e-4, ge=0)
    max_grad_norm: float = Field(1.0, ge=0)
    """Gradients are scaled down to this norm; 0 leaves them as they are."""
    epochs: int = Field(100, ge=1)
    patience: int = Field(10, ge=1)
    """Epochs without gain after which training stops."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Discriminative learning: learning rate × this per layer group going down; 1 = off, the paper's 0.9."""
    layer_floor: float = Field(5e-5, ge=0)
    """No group's full learning rate falls below this through `layer_decay`."""
    unfrozen_groups: int | None = Field(None, ge=1)
    """Gradual unfreezing: topmost groups that train in the first epoch, one more each epoch; None = all."""
    group_warmup_steps: int = Field(0, ge=0)
    """Optimiser steps over which a layer group's rate climbs from 0 once it is unfrozen; 0 = at once (the
    paper). The groups that train from the first step on have `warmup_steps` alone."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Decay of a moving average of the weights, which then is what is scored and kept; 0 = off."""
    mixed_precision: MixedPrecision = "no"
    seed: int = Field(0, ge=0)
