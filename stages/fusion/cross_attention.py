"""Model-based fusion: audio and visual features attend to one another (paper, section 3.3).

The two visual streams (from the models best at valence and at arousal) are fused first, then the result with
the audio. Each fusion is two rounds of cross-attention in both directions, then an aggregation of the two
streams into one. The architecture follows the authors' published code; the paper only names it.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (its customary name)

from stages.training.attention import TransformerLayer

Aggregation = Literal["stp", "mean", "concat"]
Silence = Literal["speaking_mean", "as_heard"]
ROUNDS = 2


class CrossAttentionModel(nn.Module):
    """Valence and arousal at every step from both modalities (paper, section 3.3).

    Shape: features (B, T, 2 v + a + 1), valid (B, T) bool -> (B, T, 2) in (-1, 1). The columns are those of
        `Streams.scaled`: valence model's v, arousal model's v, audio's a, and 1 in steps with speech.

    Args:
        video_features: width v of each visual stream.
        audio_features: width a of the audio.
        d_model: width inside, a multiple of `heads`.
        heads: attention heads per layer.
        dropout: probability in the attention layers.
        aggregation: how two streams become one: "stp", their mean and standard deviation; "mean"; "concat".
        silence: audio features of steps without speech: "speaking_mean", the mean over the window's steps
            with speech, or over all training steps with speech (`speaking_mean`) if the window has none;
            "as_heard", unchanged.

    Raises:
        ValueError: `silence` or `aggregation` is unknown.
    """

    speaking_mean: Tensor

    def __init__(
        self,
        video_features: int = 256,
        audio_features: int = 1024,
        d_model: int = 256,
        heads: int = 8,
        dropout: float = 0.1,
        aggregation: Aggregation = "stp",
        silence: Silence = "speaking_mean",
    ) -> None:
        super().__init__()
        if silence not in ("speaking_mean", "as_heard"):
            raise ValueError(f"silence must be 'speaking_mean' or 'as_heard', got {silence!r}")
        self.inputs = 2 * video_features + audio_features + 1
        self._widths, self._silence = [video_features, video_features, audio_features, 1], silence
        self.register_buffer("speaking_mean", torch.zeros(audio_features))
        self.widen_video = nn.Identity() if video_features == d_model else nn.Linear(video_features, d_model)
        self.widen_audio = nn.Sequential(nn.Linear(audio_features, d_model), nn.ReLU())
        self.fuse_video = AttentionFusion(d_model, heads, dropout, aggregation)
        self.fuse_audio = AttentionFusion(d_model, heads, dropout, aggregation)
        self.regression = nn.Linear(d_model, 2)

    def forward(self, features: Tensor, valid: Tensor | None = None) -> Tensor:
        """Estimate every step; steps that aren't `valid` (padding) influence no other step or statistic."""
        if valid is None:
            valid = torch.ones(features.shape[:2], dtype=torch.bool, device=features.device)
        by_valence, by_arousal, audio, speaking = torch.split(features, self._widths, dim=-1)
        if self._silence == "speaking_mean":
            audio = fill_silence(audio, (speaking.squeeze(-1) > 0.5) & valid, self.speaking_mean)
        video = self.fuse_video(self.widen_video(by_valence), self.widen_video(by_arousal), valid)
        return torch.tanh(self.regression(self.fuse_audio(self.widen_audio(audio), video, valid)))


class AttentionFusion(nn.Module):
    """Cross-attention of two streams in both directions, then one stream. 2 x (B, T, d), (B, T) -> (B, T, d).

    As in the authors' code, the stream that is updated gives key and value, and the other one the query,
    which the residual connection of the layer carries.

    Args:
        features: width d.
        heads: attention heads.
        dropout: probability in the attention layers.
        aggregation: see `aggregate`.
    """

    def __init__(self, features: int, heads: int, dropout: float, aggregation: Aggregation) -> None:
        super().__init__()
        if aggregation not in WIDENED_BY:
            raise ValueError(f"aggregation must be one of {', '.join(WIDENED_BY)}, got {aggregation!r}")
        self._aggregation = aggregation
        self.to_first, self.to_second = (
            nn.ModuleList(TransformerLayer(features, heads, dropout) for _ in range(ROUNDS)) for _ in range(2)
        )
        self.compress = nn.Linear(
            WIDENED_BY[aggregation] * features, features, bias=False
        )  # the norm has one
        self.norm = nn.BatchNorm1d(features)

    def forward(self, first: Tensor, second: Tensor, valid: Tensor) -> Tensor:
        """Fuse two streams; steps that aren't `valid` get 0 and enter no statistic."""
        for update_first, update_second in zip(self.to_first, self.to_second, strict=True):
            first = update_first(second, first, valid)
            second = update_second(first, second, valid)
        mixed = self.compress(aggregate(first, second, self._aggregation))
        normed = torch.zeros_like(mixed)
        normed[valid] = self.norm(mixed[valid]).to(normed.dtype)
        return F.relu(normed)


WIDENED_BY: dict[str, int] = {"stp": 2, "mean": 1, "concat": 2}


def aggregate(first: Tensor, second: Tensor, kind: Aggregation) -> Tensor:
    """Combine two streams. Shape: (B, T, d), (B, T, d) -> (B, T, d) for "mean", else (B, T, 2 d).

    "stp", statistics pooling: the mean and the unbiased standard deviation of the two, which is
    |first - second| / sqrt(2); written so, its gradient is finite (0) where they are equal.
    """
    if kind == "concat":
        return torch.cat([first, second], dim=-1)
    mean = (first + second) / 2
    return mean if kind == "mean" else torch.cat([mean, (first - second).abs() / math.sqrt(2)], dim=-1)


def fill_silence(audio: Tensor, speaking: Tensor, speaking_mean: Tensor) -> Tensor:
    """Replace the features of steps without speech by the mean over the window's steps with speech.

    Shape: (B, T, a), (B, T) bool, (a,) -> (B, T, a).

    Args:
        audio: features of a batch of windows.
        speaking: valid steps with speech.
        speaking_mean: used for windows that have none.
    """
    heard = speaking.unsqueeze(-1)
    count = heard.sum(dim=1, keepdim=True)
    mean = torch.where(heard, audio, 0.0).sum(dim=1, keepdim=True) / count.clamp(min=1)
    return torch.where(heard, audio, torch.where(count > 0, mean, speaking_mean.to(audio.dtype)))
