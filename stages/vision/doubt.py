"""How far to trust a static model's estimate of a face: the half width of a 90 % interval, face by face.

A linear quantile regression of the absolute error on what can be known of a face without its label:

    small     how many times the face was halved against FULL_PX; 0 for larger ones
    spread    deviation of the coordinates of the emotions under the model's own shares of votes
    gap       between the model's valence (arousal) and the mean of those coordinates

times a factor that brings the share of held-out pictures within the interval to COVERAGE (conformalised
quantile regression, Romano et al., 2019). The coefficients are in the header of the model's file. Four
things that still pictures can't teach widen it by rule: a score of the face detector below what it gives to a
face that is plain to see; a face that is turned away (profiles are hardly among the pictures learnt from); a
face that isn't seen; and a small one, which in a film is blurred and compressed too, so that a sure "neutral"
may only mean that nothing is to be seen (SMALL_LEAST).

It holds for pictures like those it was calibrated on. On other people's photographs and films, whose labels
are ratings and not votes, nobody has shown that it covers 90 %.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.arrays import Floats
from stages.core.artefacts import read_config
from stages.corpora.votes import COORDINATES, PLACED

COVERAGE = 0.9
FULL_PX = 60.0
"""Side of a square of the area of a face's box, from which on a face isn't small: a picture of FER+ stands
for such a face."""
WORST_SCORE_FACTOR = 3.0
"""Down from a score that is sure the interval widens, up to so many times at one that is unsure."""
TOWARDS, AWAY, AWAY_FACTOR = 0.4, 1.2, 3.0
"""From the first measure on, how far a face is turned widens the interval, up to so many times at the other
(see `Detections.turned`; a smiling crowd's faces are at 0 to 0.36, a profile at 2)."""
SMALL_LEAST = 0.25
"""Least half width of a face half as large as FULL_PX; twice that at a quarter, and so on."""
UNSEEN_SMALL = 2.0
"""A face that isn't seen counts as one of a quarter of FULL_PX."""
NARROWEST = 0.05
FEATURES = ("small", "spread", "gap")


@dataclass(frozen=True)
class Seen:
    """What is known of a face at each step; NaN where it isn't seen.

    Args:
        box_xyxy: (T, 4) pixels.
        score: (T,) of the detector.
        turned: (T,) away from the camera, see `Detections.turned`; NaN also where the detector can't tell.
        doubtful: between which scores of that detector a face is doubtful, see `core.detectors`.
    """

    box_xyxy: Floats
    score: Floats
    turned: Floats
    doubtful: tuple[float, float]


@dataclass(frozen=True)
class Doubt:
    """The interval of one model.

    Args:
        coefficients: (2, 4) of valence and of arousal: constant, small, spread, gap.
        factor: (2,) that calibration found.
        emotion_weight: (8, 256) of the model's layer for the emotions.
        emotion_bias: (8,).
    """

    coefficients: Floats
    factor: Floats
    emotion_weight: Floats
    emotion_bias: Floats

    def half_width(self, embedding: Floats, valence_arousal: Floats, seen: Seen) -> Floats:
        """Half of the interval's width, of every face.

        Shape: (T, 256), (T, 2) -> (T, 2) float32, between NARROWEST and 1.
        """
        left, top, right, bottom = seen.box_xyxy.T
        small = np.nan_to_num(halvings(np.sqrt((right - left) * (bottom - top))), nan=UNSEEN_SMALL)
        logits = embedding @ self.emotion_weight.T + self.emotion_bias
        width = self.from_features(features_of(logits, valence_arousal, small))
        width = np.maximum(width, SMALL_LEAST * small[:, None])
        return np.asarray(np.clip(width * widening(seen)[:, None], NARROWEST, 1), np.float32)

    def from_features(self, features: Floats) -> Floats:
        """Shape: (T, 2, 3) -> (T, 2)."""
        raw = self.coefficients[:, 0] + (features * self.coefficients[:, 1:]).sum(axis=2)
        return np.asarray(self.factor * np.maximum(raw, NARROWEST))


def widening(seen: Seen) -> Floats:
    """By how much the interval widens for what still pictures can't teach. -> (T,), from 1 on.

    >>> seen = np.array([0.9, 0.6, 0.9]), np.array([0.1, np.nan, 0.8])
    >>> widening(Seen(np.zeros((3, 4)), *seen, doubtful=(0.4, 0.8))).round(2).tolist()
    [1.0, 2.0, 2.0]
    """
    worst, sure = seen.doubtful
    unsure = np.clip((sure - np.nan_to_num(seen.score, nan=0.0)) / (sure - worst), 0, 1)
    turned = np.clip((np.nan_to_num(seen.turned, nan=0.0) - TOWARDS) / (AWAY - TOWARDS), 0, 1)
    return np.asarray(np.maximum(1 + (WORST_SCORE_FACTOR - 1) * unsure, 1 + (AWAY_FACTOR - 1) * turned))


def halvings(side_px: Floats) -> Floats:
    """How small faces are: 0 from FULL_PX on, 1 at half of it.

    >>> halvings(np.array([15.0, 30.0, 200.0])).tolist()
    [2.0, 1.0, 0.0]
    """
    return np.asarray(np.maximum(np.log2(FULL_PX / np.maximum(side_px, 1.0)), 0.0))


def features_of(logits: Floats, valence_arousal: Floats, small: Floats) -> Floats:
    """What the width follows from. Shape: (T, 8), (T, 2), (T,) -> (T, 2, 3), see FEATURES."""
    mean, spread = vote_moments(logits)
    gap = np.abs(mean - valence_arousal)
    return np.stack([np.broadcast_to(small[:, None], gap.shape), spread, gap], axis=2)


def vote_moments(logits: Floats) -> tuple[Floats, Floats]:
    """Mean and deviation of the emotions' coordinates under the shares of votes that the logits stand for.

    Shape: (T, 8) -> (T, 2), (T, 2).
    """
    placed = logits[:, PLACED] - logits[:, PLACED].max(axis=1, keepdims=True)
    shares = np.exp(placed) / np.exp(placed).sum(axis=1, keepdims=True)
    coordinates = np.array(list(COORDINATES.values()))
    mean = shares @ coordinates
    return mean, np.sqrt(np.maximum(shares @ coordinates**2 - mean**2, 0))


def fit_doubt(features: Floats, error: Floats, held_out: Any) -> tuple[Floats, Floats]:
    """Coefficients and factor of a `Doubt`, from pictures with labels.

    Shape: features (N, 2, 3), absolute error (N, 2), held_out (N,) bool -> (2, 4), (2,).

    The regression sees the pictures that aren't held out, the factor follows from those that are.
    """
    from sklearn.linear_model import QuantileRegressor

    coefficients, factor = np.zeros((2, 1 + len(FEATURES))), np.ones(2)
    for target in range(2):
        fitted = QuantileRegressor(quantile=COVERAGE, alpha=0.0)
        fitted.fit(features[~held_out, target], error[~held_out, target])
        coefficients[target] = [fitted.intercept_, *fitted.coef_]
        raw = fitted.predict(features[held_out, target])
        ratio = np.sort(error[held_out, target] / np.maximum(raw, NARROWEST))
        rank = min(int(np.ceil((len(ratio) + 1) * COVERAGE)), len(ratio))
        factor[target] = ratio[rank - 1]
    return coefficients, factor


def read_doubt(model: Path) -> Doubt | None:
    """The interval of a static model; None where it brings none.

    Raises:
        BadInput: the file is missing or damaged.
    """
    from safetensors import safe_open

    found = read_config(model).get("doubt")
    if found is None:
        return None
    with safe_open(model, "numpy") as file:
        weight, bias = (file.get_tensor(f"head.emotion.{name}") for name in ("weight", "bias"))
    return Doubt(
        np.array(found["coefficients"]),
        np.array(found["factor"]),
        weight.astype(np.float32),
        bias.astype(np.float32),
    )
