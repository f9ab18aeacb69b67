"""Who appears in which clip, how they look, about what mood each clip moves, and what is odd about it."""

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.random import Generator

from data.sample.looks import Looks, draw_looks
from data.sample.settings import SPLITS, Settings, Split
from stages.core.arrays import Floats

RATES_HZ = (Fraction(25), Fraction(30000, 1001), Fraction(30))
MEAN_REACH = 0.35
"""Clips move about means evenly spread over ± this, before the squash of trajectories.draw_affect."""


@dataclass(frozen=True)
class Oddity:
    """What a real corpus has and a clean one hasn't; the defaults are a clip without any."""

    people: int = 1
    sound: bool = True
    variable_rate: bool = False
    avi: bool = False
    leaves: bool = False
    """The person walks out of the picture for about two seconds."""
    surplus_rows: int = 0
    """Label rows more (or, negative, fewer) than frames."""
    unlabelled: bool = False
    """Some stretches are annotated -5."""


ODDITIES: dict[tuple[Split, int], Oddity] = {
    ("train", 0): Oddity(unlabelled=True, surplus_rows=-4),
    ("train", 1): Oddity(people=2),
    ("train", 2): Oddity(leaves=True),
    ("train", 3): Oddity(sound=False),
    ("train", 4): Oddity(avi=True),
    ("validation", 0): Oddity(variable_rate=True),
    ("validation", 1): Oddity(surplus_rows=3, unlabelled=True),
}


@dataclass(frozen=True)
class Role:
    """One annotated person of a clip."""

    subject: str
    looks: Looks
    mean: tuple[float, float]
    """Valence and arousal about which the clip moves."""


@dataclass(frozen=True)
class Clip:
    """All that is decided about a clip before it is drawn."""

    name: str
    split: Split
    folder: str
    seed: tuple[int, int]
    rate_hz: Fraction | None
    frame_px: tuple[int, int]
    duration_s: float
    snr_db: float
    wall_rgb: tuple[float, float, float]
    oddity: Oddity
    roles: tuple[Role, ...]

    @property
    def file(self) -> str:
        """Path below the corpus folder."""
        return f"videos/{self.folder}/{self.name}{'.avi' if self.oddity.avi else '.mp4'}"


def plan(settings: Settings) -> list[Clip]:
    """Decide on everything but the drawing; the same settings give the same plan."""
    rng = np.random.default_rng([settings.seed, 0])
    places = [(split, index) for split in SPLITS for index in range(getattr(settings.clips_per_split, split))]
    numbers = rng.permutation(len(places)) + 1  # names don't tell the split
    drafts = [
        _draft(rng, settings, *place, int(number)) for place, number in zip(places, numbers, strict=True)
    ]
    roles = [(clip, role) for clip in drafts for role in clip.roles]
    traits = np.array([np.concatenate([role.looks.numbers(), clip.wall_rgb]) for clip, role in roles])
    means = ((float(v), float(a)) for v, a in spread_means(rng, traits))
    return [
        replace(clip, roles=tuple(replace(role, mean=next(means)) for role in clip.roles)) for clip in drafts
    ]


def spread_means(rng: Generator, traits: Floats) -> Floats:
    """Hand out clip means so that nothing about a person or place gives them away.

    Shape: (people, traits) -> (people, 2).

    Both targets take the same evenly spaced values; who gets which is found by swapping pairs as long
    as that lowers the summed squared correlation with every trait and with each other.
    """
    count = len(traits)
    even = np.linspace(-MEAN_REACH, MEAN_REACH, count)
    means = np.stack([rng.permutation(even), rng.permutation(even)], axis=1)
    known = _unit(traits[:, traits.std(axis=0) > 0])
    best = _give_away(means, known)
    for _ in range(4000):
        one, other, column = rng.integers(count), rng.integers(count), rng.integers(2)
        trial = means.copy()
        trial[[one, other], column] = trial[[other, one], column]
        if (now := _give_away(trial, known)) < best:
            means, best = trial, now
    return np.asarray(means)


def _give_away(means: Floats, known: Floats) -> float:
    scaled = _unit(means)
    return float(((scaled.T @ known) ** 2).sum() + 4 * (scaled[:, 0] @ scaled[:, 1]) ** 2)


def _unit(columns: Floats) -> Floats:
    """Zero mean, unit length."""
    centred = columns - columns.mean(axis=0)
    return np.asarray(centred / np.linalg.norm(centred, axis=0))


def _draft(rng: Generator, settings: Settings, split: Split, index: int, number: int) -> Clip:
    """A clip with its means still to be handed out."""
    oddity = ODDITIES.get((split, index), Oddity())
    rate = None if oddity.variable_rate else RATES_HZ[0] if oddity.avi else RATES_HZ[index % len(RATES_HZ)]
    width, height = settings.frame_px
    width = round(width * 0.7) * 2 if oddity.people == 2 else width
    name = f"{number}-{30 if rate is None else round(rate)}-{width}x{height}"
    sides = ("_left", "_right") if oddity.people == 2 else ("",)
    tone = rng.uniform(70, 180)
    return Clip(
        name=name,
        split=split,
        folder=f"batch{1 + number % 2}",
        seed=(settings.seed, number),
        rate_hz=rate,
        frame_px=(width, height),
        duration_s=round(rng.uniform(*settings.clip_s), 2),
        snr_db=rng.uniform(*settings.snr_db),
        wall_rgb=tuple((tone + rng.uniform(-30, 30, size=3)).tolist()),
        oddity=oddity,
        roles=tuple(Role(name + side, draw_looks(rng, settings.face_width_px), (0.0, 0.0)) for side in sides),
    )
