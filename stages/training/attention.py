"""The post-norm Transformer layer of the audio, dynamic and fusion models (paper, section 3.1).

It differs from `torch.nn.TransformerEncoderLayer`: sinusoidal positions are added again before every
layer, to query, key and value alike, and the residual carries the query *with* its positions; the four
attention projections have no bias; the feed-forward part is d → d → d with dropout before its ReLU.
"""

import math
from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (its customary name)

LONGEST_WAVE = 10_000.0
"""Ratio between the longest and the shortest wavelength of the positions."""


def sinusoidal_positions(steps: int, features: int, device: torch.device | None = None) -> Tensor:
    """Fixed positions: columns 2i hold sin(step · ω_i), 2i + 1 cos(step · ω_i), ω_i = 10000^(−2i/features).

    Shape: -> (steps, features) float32. Source: Vaswani et al. 2017, section 3.5.

    >>> sinusoidal_positions(2, 4)[0].tolist()
    [0.0, 1.0, 0.0, 1.0]
    """
    step = torch.arange(steps, dtype=torch.float32, device=device).unsqueeze(1)
    even = torch.arange(0, features, 2, dtype=torch.float32, device=device)
    angle = step * torch.exp(even * (-math.log(LONGEST_WAVE) / features))
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :features]


@lru_cache(maxsize=16)
def _kept_positions(steps: int, features: int, device: torch.device) -> Tensor:
    """The same table from memory. Traced to a graph it is a constant, not 30 operations in every layer."""
    with torch.inference_mode(False):  # training uses it too
        return sinusoidal_positions(steps, features, device)


class Attention(nn.Module):
    """Multi-head scaled dot-product attention, four projections without bias.

    Args:
        features: width d of query, key, value and output; a multiple of `heads`.
        heads: number of heads, each d / heads wide.

    Raises:
        ValueError: `features` is not a multiple of `heads`.
    """

    def __init__(self, features: int, heads: int) -> None:
        super().__init__()
        if heads < 1 or features % heads:
            raise ValueError(f"features must be a multiple of heads, got {features} features, {heads} heads")
        self.heads = heads
        self.query = nn.Linear(features, features, bias=False)
        self.key = nn.Linear(features, features, bias=False)
        self.value = nn.Linear(features, features, bias=False)
        self.out = nn.Linear(features, features, bias=False)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, valid: Tensor | None = None) -> Tensor:
        """Attend from `query` (B, Q, d) to `key`, `value` (B, K, d); `valid` (B, K): False at padding."""
        query, key, value = self.query(query), self.key(key), self.value(value)
        mask = None if valid is None else valid[:, None, None, :]
        attended = F.scaled_dot_product_attention(
            self._split(query), self._split(key), self._split(value), attn_mask=mask
        )
        mixed: Tensor = self.out(attended.transpose(1, 2).flatten(-2))
        return mixed

    def _split(self, x: Tensor) -> Tensor:
        """(B, steps, d) -> (B, heads, steps, d / heads)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


class TransformerLayer(nn.Module):
    """One post-norm layer; self-attention, or cross-attention when a `memory` is given.

    x = query + positions; x = LN(x + attention(x, memory + positions)); x = LN(x + feed_forward(x)).

    Shape: query (B, Q, d), memory (B, K, d), valid (B, K) bool -> (B, Q, d).

    Args:
        features: width d.
        heads: number of attention heads; divides `features`.
        dropout: probability after adding the positions, on both residual branches and in the feed-forward
            part.
    """

    position_dtype = torch.float32
    """Precision of the position table. Checkpoints in float16 have a table in float16; with it, predictions
    differ from those with an exact table by up to 2e-4. See `adopt_precision`."""

    def __init__(self, features: int, heads: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.attention = Attention(features, heads)
        self.norm_attention = nn.LayerNorm(features)
        self.expand = nn.Linear(features, features)
        self.contract = nn.Linear(features, features)
        self.norm_feed_forward = nn.LayerNorm(features)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query: Tensor, memory: Tensor | None = None, valid: Tensor | None = None) -> Tensor:
        """Apply the layer; every row of `valid` (True: not padding) needs at least one True."""
        memory = query if memory is None else memory
        # Three calls, hence three dropout masks: query, key and value are dropped independently, as
        # published.
        key, value, query = self._place(memory), self._place(memory), self._place(query)
        attended = self.dropout(self.attention(query, key, value, valid))
        query = self.norm_attention(query + attended)
        fed = self.contract(F.relu(self.dropout(self.expand(query))))
        normed: Tensor = self.norm_feed_forward(query + self.dropout(fed))
        return normed

    def _place(self, x: Tensor) -> Tensor:
        """Add the positions, then apply dropout."""
        positions = _kept_positions(int(x.shape[1]), int(x.shape[2]), x.device).to(self.position_dtype)
        placed: Tensor = self.dropout(x + positions.to(x.dtype))
        return placed


AUTHORS_NAMES = {
    "self_attention.query_w": "attention.query",
    "self_attention.keys_w": "attention.key",
    "self_attention.values_w": "attention.value",
    "self_attention.ff_layer_after_concat": "attention.out",
    "add_norm_after_attention.layer_norm": "norm_attention",
    "feed_forward.layer_1": "expand",
    "feed_forward.layer_2": "contract",
    "add_norm_after_ff.layer_norm": "norm_feed_forward",
}
"""Module names inside one Transformer layer of the authors' published checkpoints -> ours.

Theirs also hold `feed_forward.layer_norm` (never used) and `positional_encoding.pe` (the fixed table).
"""


def layer_from_authors(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The state dict of one `TransformerLayer` from the authors' keys under `prefix` (such as "tl1.").

    Raises:
        KeyError: a parameter of the layer is missing from `state`.
    """
    parameters = [(theirs, "weight") for theirs in AUTHORS_NAMES]
    parameters += [(theirs, "bias") for theirs in AUTHORS_NAMES if not theirs.startswith("self_attention")]
    return {
        f"{AUTHORS_NAMES[theirs]}.{kind}": state[f"{prefix}{theirs}.{kind}"] for theirs, kind in parameters
    }


def adopt_precision(model: nn.Module, dtype: torch.dtype) -> None:
    """Use position tables of this dtype in all layers of `model`: that of the checkpoint it comes from."""
    for module in model.modules():
        if isinstance(module, TransformerLayer):
            module.position_dtype = dtype
