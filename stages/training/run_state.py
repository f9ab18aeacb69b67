"""The state of a training run: its records, its best weights, and the file it resumes from."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from stages.core.artefacts import whole

STATE_FILE = "state.pt"


@dataclass(frozen=True)
class EpochRecord:
    """Result of one epoch, for logs and for the history of the run."""

    epoch: int
    """Counted from 1."""
    train_loss: float
    """Mean over the steps of this process."""
    scores: dict[str, float]
    """Score -> value, with the names that `validate` gives."""
    learning_rate: float
    """Of the topmost layer group, after the last step."""
    trained_groups: int
    """Number of layer groups that were trained."""


@dataclass(frozen=True)
class Best:
    """The best epoch by one score."""

    epoch: int
    score: float
    weights: Path
    """Safetensors file of its state dict, in the scratch folder."""

    def beaten_by(self, score: float, lower_is_better: bool) -> bool:
        """Whether a score is strictly better; every number is better than NaN."""
        return math.isnan(self.score) or (score < self.score if lower_is_better else score > self.score)


@dataclass(frozen=True)
class Fitted:
    """The outcome of a run."""

    best: dict[str, Best]
    history: list[EpochRecord]

    def restore(self, model: nn.Module, score: str) -> nn.Module:
        """Load the best weights by `score` into `model`; return it in eval mode."""
        model.load_state_dict(load_file(self.best[score].weights))
        return model.eval()


def weights_file(scratch: Path, epoch: int) -> Path:
    """File of an epoch's weights; it exists while that epoch is the best by some score."""
    return scratch / f"weights-{epoch:04d}.safetensors"


def save_run(
    scratch: Path,
    fingerprint: str,
    outcome: Fitted,
    model: nn.Module,
    parts: Mapping[str, Any],
    new_weights: Mapping[Path, Mapping[str, Tensor]],
) -> None:
    """Save new weights that are the best by some score, then the state to resume from.

    The order matters: first the weights, then the state that names them, then weights that it doesn't name
    are removed. A kill at any point leaves a state whose weights all exist.

    Args:
        scratch: folder of the run.
        fingerprint: identifies everything that decides the result.
        outcome: of the run so far, including the epoch just done.
        model: after this epoch.
        parts: state dicts of optimiser, schedule, gradient scaler and weight average.
        new_weights: file -> weights of an epoch since the last state.
    """
    wanted = {best.weights for best in outcome.best.values()}
    for file in wanted & new_weights.keys():
        with whole(file) as partial:
            save_file(dict(new_weights[file]), partial)
    content = {
        "fingerprint": fingerprint,
        "model": {name: tensor.cpu() for name, tensor in model.state_dict().items()},
        "parts": dict(parts),
        "history": [asdict(record) for record in outcome.history],
        "best": {name: (best.epoch, best.score) for name, best in outcome.best.items()},
    }
    with whole(scratch / STATE_FILE) as partial:
        torch.save(content, partial)
    for stale in set(scratch.glob("weights-*.safetensors")) - wanted:
        stale.unlink()


def copy_of(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A copy in main memory, as it is saved."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in state.items()}


def load_run(scratch: Path, fingerprint: str, model: nn.Module) -> tuple[Fitted, dict[str, Any]] | None:
    """Load the saved weights into `model`; return (outcome so far, parts), or None without a matching run."""
    if not (scratch / STATE_FILE).exists():
        return None
    content = torch.load(scratch / STATE_FILE, map_location="cpu", weights_only=True)
    if content["fingerprint"] != fingerprint:
        return None
    model.load_state_dict(content["model"])
    history = [EpochRecord(**record) for record in content["history"]]
    best = {
        name: Best(epoch, score, weights_file(scratch, epoch))
        for name, (epoch, score) in content["best"].items()
    }
    return Fitted(best, history), content["parts"]
