"""Targets from votes for emotions: a distribution over the emotions, and derived valence and arousal.

Russell and Mehrabian (*Evidence for a three-factor theory of emotions*, 1977) publish ratings of emotion
words on pleasure and arousal, from -1 to 1. The mean of these, weighted by the votes for a picture, is its
**derived** valence and arousal; nobody rated the picture itself.
"""

import numpy as np

from stages.core.arrays import Floats, Integers
from stages.corpora.table import EMOTIONS

COORDINATES = {
    "neutral": (0.0, 0.0),
    "anger": (-0.51, 0.59),
    "disgust": (-0.60, 0.35),
    "fear": (-0.64, 0.60),
    "happiness": (0.81, 0.51),
    "sadness": (-0.63, -0.27),
    "surprise": (0.40, 0.67),
}
"""Emotion -> valence (pleasure) and arousal; "other" has none."""
PLACED = [EMOTIONS.index(name) for name in COORDINATES]
LEAST_VOTES = 5
"""Least number of votes for emotions with coordinates; a mean of fewer is unreliable."""


def vote_shares(votes: Integers) -> Floats:
    """The votes as a distribution; NaN without votes.

    Shape: (N, 8) counts in the order of EMOTIONS -> (N, 8) float32 of sum 1.

    >>> vote_shares(np.array([[3, 0, 0, 0, 1, 0, 0, 0]]))[0, [0, 4]].tolist()
    [0.75, 0.25]
    """
    total = votes.sum(axis=1, keepdims=True).astype(np.float32)
    return np.asarray(np.divide(votes, total, out=np.full(votes.shape, np.nan, np.float32), where=total > 0))


def derived_valence_arousal(votes: Integers) -> Floats:
    """Vote-weighted mean of the emotions' coordinates; NaN with fewer than LEAST_VOTES votes for them.

    Shape: (N, 8) counts in the order of EMOTIONS -> (N, 2) float32, valence and arousal.

    >>> votes = np.array([[5, 0, 0, 0, 5, 0, 0, 0]])
    >>> [round(float(value), 3) for value in derived_valence_arousal(votes)[0]]
    [0.405, 0.255]
    """
    placed = votes[:, PLACED]
    total = placed.sum(axis=1, keepdims=True)
    mean = placed @ np.array(list(COORDINATES.values())) / np.maximum(total, 1)
    return np.asarray(np.where(total >= LEAST_VOTES, mean, np.nan), np.float32)
