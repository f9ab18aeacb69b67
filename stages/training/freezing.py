"""Which layers train: gradual unfreezing, and frozen layers in eval mode."""

from collections.abc import Sequence

from torch import nn

Groups = Sequence[Sequence[nn.Parameter]]
"""The trainable parameters of a model by layer group, from the input (bottom) to the new layers (top)."""


def one_group(model: nn.Module) -> Groups:
    """All trainable parameters of the model as a single layer group."""
    return [[p for p in model.parameters() if p.requires_grad]]


def check_groups(model: nn.Module, groups: Groups) -> None:
    """Refuse groups that lack a trainable parameter, repeat one, or hold one of another model.

    Raises:
        ValueError: with the number of parameters concerned.
    """
    grouped = [id(p) for group in groups for p in group]
    trainable = {id(p) for p in model.parameters() if p.requires_grad}
    if len(grouped) != len(set(grouped)):
        raise ValueError(f"layer groups overlap: {len(grouped) - len(set(grouped))} parameters are repeated")
    if missing := trainable - set(grouped):
        raise ValueError(f"{len(missing)} trainable parameters belong to no layer group")
    if strange := set(grouped) - {id(p) for p in model.parameters()}:
        raise ValueError(f"{len(strange)} parameters in the layer groups aren't the model's")


def unfreeze_top(groups: Groups, count: int | None) -> int:
    """Make the `count` topmost groups trainable (None: all), freeze the others; return how many train."""
    count = len(groups) if count is None else min(count, len(groups))
    for depth, group in enumerate(reversed(groups)):
        for parameter in group:
            parameter.requires_grad_(depth < count)
    return count


def train_mode(model: nn.Module) -> None:
    """`model.train()`, except for modules whose parameters are all frozen: these stay in eval mode.

    A frozen layer then normalises with its stored statistics, doesn't update them and has no dropout. (The
    authors' code leaves frozen parts in train mode.) Layers without parameters follow their parent module.
    """
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            module.eval()
