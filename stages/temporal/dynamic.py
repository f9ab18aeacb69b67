"""The dynamic model (system 1): face embeddings at 5 Hz -> valence and arousal at every step."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from stages.core.arrays import Flags, Floats
from stages.temporal.recording import Say
from stages.training.attention import TransformerLayer, adopt_precision, layer_from_authors


class DynamicModel(nn.Module):
    """Batch norm over the embedding, a temporal block, then Linear + Tanh per step (paper, section 3.1).

    Shape: embedding (B, T, features), valid (B, T) bool -> (B, T, 2), valence and arousal in (-1, 1).

    Args:
        kind: "transformer": post-norm layers (the paper's); "gru": recurrent, forward in time only.
        features: width of an embedding.
        d_model: width inside; where it differs from `features`, a Linear leads there.
        layers: number of Transformer (the paper: 3) or GRU (2) layers.
        heads: attention heads per layer; unused by the GRU.
        dropout: probability in the temporal block.
        positions: precision of the Transformer's position table, that of the checkpoint if one was imported.
    """

    def __init__(
        self,
        kind: Literal["transformer", "gru"] = "transformer",
        features: int = 256,
        d_model: int = 256,
        layers: int = 3,
        heads: int = 8,
        dropout: float = 0.1,
        positions: str = "float32",
    ) -> None:
        super().__init__()
        self.start_norm = nn.BatchNorm1d(features)
        self.widen = nn.Identity() if features == d_model else nn.Linear(features, d_model)
        self.temporal: nn.Module
        if kind == "transformer":
            self.temporal = Transformer(d_model, layers, heads, dropout)
        elif kind == "gru":
            self.temporal = Recurrent(d_model, layers, dropout)
        else:
            raise ValueError(f"kind must be 'transformer' or 'gru', got {kind!r}")
        self.regression = nn.Linear(d_model, 2)
        adopt_precision(self, getattr(torch, positions))

    def forward(self, embedding: Tensor, valid: Tensor | None = None) -> Tensor:
        """Estimate every step; steps that aren't `valid` (padding) influence no other step or statistic."""
        return self.estimate(self.features(embedding, valid))

    def features(self, embedding: Tensor, valid: Tensor | None = None) -> Tensor:
        """Input of the last linear layer at every step. (B, T, features) -> (B, T, d_model)."""
        described: Tensor = self.temporal(self.widen(self._normalise(embedding, valid)), valid)
        return described

    def estimate(self, described: Tensor) -> Tensor:
        """The last layer. (B, T, d_model) -> (B, T, 2)."""
        return torch.tanh(self.regression(described))

    def _normalise(self, embedding: Tensor, valid: Tensor | None) -> Tensor:
        """Batch norm whose statistics come from real steps alone; padded steps become 0."""
        if valid is None:
            flat: Tensor = self.start_norm(embedding.flatten(0, 1))
            return flat.view_as(embedding)
        normed = torch.zeros_like(embedding)
        normed[valid] = self.start_norm(embedding[valid]).to(normed.dtype)
        return normed


class Transformer(nn.Module):
    """Self-attention layers in a row. Shape: (B, T, d), valid (B, T) -> (B, T, d)."""

    def __init__(self, d_model: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TransformerLayer(d_model, heads, dropout) for _ in range(layers))

    def forward(self, x: Tensor, valid: Tensor | None) -> Tensor:
        """Attend over the real steps."""
        for layer in self.layers:
            x = layer(x, valid=valid)
        return x


class Recurrent(nn.Module):
    """A GRU that starts at each row's first real step. Shape: (B, T, d), valid (B, T) -> (B, T, d)."""

    def __init__(self, d_model: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.gru = nn.GRU(d_model, d_model, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)

    def forward(self, x: Tensor, valid: Tensor | None) -> Tensor:
        """Move padding behind the real steps, where it can't affect a forward recurrence; then move back."""
        if valid is None:
            out: Tensor = self.gru(x)[0]
            return out
        order = valid.logical_not().to(torch.uint8).argsort(dim=1, stable=True).unsqueeze(-1)
        out = self.gru(x.gather(1, order.expand_as(x)))[0]
        return torch.empty_like(out).scatter(1, order.expand_as(out), out)


def saying(model: nn.Module) -> Say:
    """Wrap a model in eval mode as `recording.predict_sequence` expects it, on the model's own device.

    Args:
        model: a `DynamicModel`, or any (B, W, F), (B, W) -> (B, W, C).
    """
    return _asked(model, next(model.parameters()).device)


def describing(model: DynamicModel) -> Say:
    """`saying`, and behind the two predictions the features that they were made of: C = 2 + d_model."""

    def both(values: Tensor, valid: Tensor) -> Tensor:
        described = model.features(values, valid)
        return torch.cat([model.estimate(described), described], dim=-1)

    return _asked(both, next(model.parameters()).device)


def _asked(say: Callable[[Tensor, Tensor], Tensor], device: torch.device) -> Say:
    @torch.no_grad()
    def ask(values: Floats, valid: Flags) -> Floats:
        said = say(torch.from_numpy(values).to(device), torch.from_numpy(valid).to(device))
        answer: Floats = said.float().cpu().numpy()
        return answer

    return ask


def dynamic_from_authors(state: Mapping[str, Tensor]) -> tuple[DynamicModel, dict[str, Any]]:
    """The authors' published dynamic model ("dynamic_v3") in ours, in eval mode, and what builds it.

    Args:
        state: their state dict (see `valaro.recordings.state_dicts`).

    Raises:
        KeyError: a parameter is missing from `state`.
    """
    ours = {f"start_norm.{n}": state[f"start_batch_norm.{n}"] for n in ("weight", "bias")}
    ours |= {f"start_norm.{n}": state[f"start_batch_norm.{n}"] for n in ("running_mean", "running_var")}
    ours["start_norm.num_batches_tracked"] = torch.tensor(0)
    for index, name in enumerate(("first", "second", "third")):
        layer = layer_from_authors(state, f"{name}_transformer.")
        ours |= {f"temporal.layers.{index}.{key}": tensor for key, tensor in layer.items()}
    ours |= {f"regression.{n}": state[f"regressor.0.{n}"] for n in ("weight", "bias")}
    config: dict[str, Any] = {"positions": str(state["regressor.0.weight"].dtype).removeprefix("torch.")}
    model = DynamicModel(**config)
    model.load_state_dict(ours)
    return model.eval(), config
