"""Whether two systems differ: a paired bootstrap over recordings (Efron and Tibshirani, 1993, chapter 8).

Each resample draws as many recordings as there are, with replacement, the same for both systems, and takes
the difference of their mean CCC. So the comparison doesn't depend on how hard the
drawn recordings are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.core.arrays import Floats
from stages.core.measures import Moments
from stages.evaluation.intervals import resampled

Recordings = Mapping[str, tuple[Moments, Moments]]
"""Recording -> moments of [truth, prediction], of valence and of arousal."""
FEWEST = 2


@dataclass(frozen=True)
class Pair:
    """The mean CCC of one system minus that of another, over the recordings that both predict.

    Attributes:
        first, second: the systems.
        difference: of the figures as they are.
        low, high: bounds of its interval.
        recordings: that both predict.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    recordings: int

    @property
    def within_noise(self) -> bool:
        """Whether the interval holds 0."""
        return self.low <= 0 <= self.high


def compare(systems: Mapping[str, Recordings], *, resamples: int, confidence: float, seed: int) -> list[Pair]:
    """Every pair of systems, the first one the better; pairs with too few common recordings are left out.

    Args:
        systems: out-of-fold moments of each, by recording.
        resamples: bootstrap resamples.
        confidence: of the intervals.
        seed: of the resamples.
    """
    names = [*systems]
    pairs = []
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            common = [name for name, both in systems[one].items() if name in systems[other] and both[0].count]
            if len(common) >= FEWEST:
                pairs.append(_pair(systems, one, other, common, resamples, confidence, seed))
    return sorted(pairs, key=lambda pair: (names.index(pair.first), names.index(pair.second)))


def best_of(
    systems: Mapping[str, Recordings],
    figures: Mapping[str, float],
    pairs: Sequence[Pair],
    simplicity: Callable[[str], tuple[Any, ...]],
) -> tuple[str, str, list[str]]:
    """The best system, the one with the highest figure, and all that are within the noise of that one.

    Only systems that predict every labelled recording compete: one that abstains leaves gaps. The best is the
    simplest of those whose paired interval with the highest holds 0.

    Args:
        systems: out-of-fold moments of each, by recording.
        figures: out-of-fold mean CCC of each.
        pairs: from `compare`.
        simplicity: the lower, the simpler.

    Raises:
        ValueError: there is no system.
    """
    counted = {name: sum(both[0].count for both in found.values()) for name, found in systems.items()}
    most = max(counted.values(), default=0)
    complete = [name for name in figures if counted.get(name) == most]
    if not complete:
        raise ValueError("no system to choose from")
    top = max(sorted(complete), key=lambda name: figures[name])
    rivals = {
        pair.second if pair.first == top else pair.first
        for pair in pairs
        if top in (pair.first, pair.second) and pair.within_noise
    }
    within = sorted({top, *rivals} & set(complete), key=simplicity)
    return within[0], top, within


def _pair(
    systems: Mapping[str, Recordings],
    one: str,
    other: str,
    common: list[str],
    resamples: int,
    confidence: float,
    seed: int,
) -> Pair:
    def means(system: str) -> Floats:
        valence, arousal = zip(*(systems[system][name] for name in common), strict=True)
        scores = [resampled(column, resamples=resamples, seed=seed) for column in (valence, arousal)]
        return (scores[0] + scores[1]) / 2

    difference = means(one) - means(other)
    first, second = (one, other) if difference[0] >= 0 else (other, one)
    difference = difference if difference[0] >= 0 else -difference
    tail = (1 - confidence) / 2
    low, high = np.quantile(difference[1:], [tail, 1 - tail])
    return Pair(first, second, float(difference[0]), float(low), float(high), len(common))
