"""What a person feels and does during a clip: valence and arousal, talking, syllables, head motion.

Everything is drawn at RATE_HZ; frames and the voice are read off the same curves, which is why the
mouth and the sound agree.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from stages.core.arrays import Flags, Floats

RATE_HZ = 100.0
AFFECT_BAND_HZ = (0.05, 0.3)
"""Annotators move a joystick slowly: nothing in Aff-Wild2's labels is much faster than 0.3 Hz."""

AFFECT_SPREAD = 0.75
"""Standard deviation of the curves before the squash; most of [-1, 1] is then visited in each clip."""

TALKING_SHARE = (0.4, 0.85)
"""Least and most of a clip that is spent talking."""

RATE_SPREAD = 0.3
"""Deviation of the syllable rate from its mean, as a share of the mean. At a constant rate, frames taken once
per syllable would show a mouth that stands still."""

STRESS = (0.2, 1.0)
"""Opening of the least and of the most stressed syllables, as a share of the widest."""

BETWEEN_SYLLABLES = 0.08
"""How far the lips stay open between two syllables, as a share of the widest.

With these three values a talking mouth moves as people's mouths do. The motion that
`stages.audio.mouth.moving` measures has a median of 0.26, and 80 % of it lies between 0.14 and 0.38. In six
real tracks, at the same 5 frames a second and while the mouth is open, the medians are 0.11 to 0.48, and 0.2
in the middle.
"""


@dataclass(frozen=True)
class Performance:
    """One person's clip, sampled at RATE_HZ.

    Shape: every array (N,), `pose` (N, 5), `valence_arousal` (N, 2).
    """

    valence_arousal: Floats
    talking: Flags
    syllable: Floats
    """Position in the syllable train: the integer part counts syllables, the fraction is the phase."""
    stress: Floats
    """How far each syllable opens the mouth, and how loud it is: a share of the most stressed."""
    jaw: Floats
    """0 = lips closed, 1 = wide open."""
    blink: Floats
    """0 = eyes as arousal has them, 1 = shut."""
    pose: Floats
    """Head shift x, y (fractions of the face width), roll, yaw, pitch (about -1 to 1)."""


def smooth_noise(rng: Generator, count: int, rate_hz: float, band_hz: tuple[float, float]) -> Floats:
    """Gaussian noise limited to a band, zero mean and unit variance over the stretch returned.

    Shape: (count,).

    Drawn in the frequency domain over twice the length, so that the two ends don't join up.
    """
    spectrum = np.zeros(count + 1, dtype=complex)
    frequency = np.fft.rfftfreq(2 * count, 1 / rate_hz)
    inside = (frequency >= band_hz[0]) & (frequency <= band_hz[1])
    spectrum[inside] = rng.normal(size=inside.sum()) + 1j * rng.normal(size=inside.sum())
    return _standardise(np.fft.irfft(spectrum, 2 * count)[:count])


def draw_affect(rng: Generator, count: int, mean: tuple[float, float]) -> Floats:
    """Valence and arousal curves of one clip, uncorrelated with each other within it.

    Shape: (count, 2), in (-1, 1).

    Args:
        rng: source of randomness.
        count: samples at RATE_HZ.
        mean: valence and arousal around which this clip moves, before the squash.
    """
    valence = smooth_noise(rng, count, RATE_HZ, AFFECT_BAND_HZ)
    arousal = smooth_noise(rng, count, RATE_HZ, AFFECT_BAND_HZ)
    arousal = _standardise(arousal - np.mean(arousal * valence) * valence)
    curves = np.asarray(mean) + AFFECT_SPREAD * np.stack([valence, arousal], axis=1)
    return np.asarray(np.tanh(curves))


def draw_talking(rng: Generator, affect: Floats, trials: int = 32) -> Flags:
    """Talk for 4 to 5.5 s, rest for 1.8 to 3 s, and so on; starts anywhere in that rhythm.

    Shape: (N, 2) -> (N,). Of several draws the one least correlated with valence and arousal: when
    somebody talks should say nothing about how they feel.
    """
    draws: list[Flags] = []
    while len(draws) < trials:
        talking = _talk_and_rest(rng, len(affect))
        if TALKING_SHARE[0] <= talking.mean() <= TALKING_SHARE[1]:
            draws.append(talking)
    feelings = np.stack([_standardise(column) for column in affect.T])
    return min(draws, key=lambda talking: float(np.abs(feelings @ (talking - talking.mean())).max()))


def _talk_and_rest(rng: Generator, count: int) -> Flags:
    talking = np.zeros(count, dtype=bool)
    now, talks = -rng.uniform(0.0, 3.0) * RATE_HZ, bool(rng.random() < 0.65)
    while now < count:
        then = now + RATE_HZ * (rng.uniform(4.0, 5.5) if talks else rng.uniform(1.8, 3.0))
        talking[max(round(now), 0) : max(round(then), 0)] = talks
        now, talks = then, not talks
    return talking


def perform(rng: Generator, affect: Floats, talking: Flags) -> Performance:
    """Turn feelings into movement: arousal speeds up and widens speech and head motion."""
    arousal, count = affect[:, 1], len(affect)
    tempo = 1 + RATE_SPREAD * np.clip(smooth_noise(rng, count, RATE_HZ, (0.5, 3.0)), -2, 2)
    syllable = np.cumsum((4.0 + 1.6 * arousal) * tempo) / RATE_HZ  # 2.4 to 5.6 syllables/s on average
    stress = rng.uniform(*STRESS, size=int(syllable[-1]) + 2)[syllable.astype(int)]
    wave = BETWEEN_SYLLABLES + (1 - BETWEEN_SYLLABLES) * np.sin(np.pi * syllable) ** 2 * stress
    jaw = wave * (0.7 + 0.2 * arousal) * _ramp(talking, 0.12)
    blink, pose = _blinks(rng, count), _head_motion(rng, arousal)
    return Performance(affect, talking, syllable, stress, jaw, blink, pose)


def _head_motion(rng: Generator, arousal: Floats) -> Floats:
    """Shape: (N,) -> (N, 5). Wider and faster with arousal, always about the same resting place."""
    count = len(arousal)
    clock = np.cumsum(0.75 + 0.45 * arousal)  # own time: runs 0.3 to 1.2 times as fast
    width = 0.55 + 0.4 * arousal
    scale = np.array([0.035, 0.02, 1.0, 1.0, 0.8])
    noise = np.stack([smooth_noise(rng, 2 * count, RATE_HZ, (0.15, 0.9)) for _ in scale], axis=1)
    moved = np.stack([np.interp(clock, np.arange(2 * count), column) for column in noise.T], axis=1)
    return np.asarray(np.clip(moved, -2, 2) * width[:, None] * scale * 0.7)


def _blinks(rng: Generator, count: int) -> Floats:
    """A blink of 0.2 s every 2 to 5 s. Shape: (count,)."""
    time_s = np.arange(count) / RATE_HZ
    starts_s = np.cumsum(rng.uniform(2.0, 5.0, size=int(time_s[-1] / 2) + 1))
    return np.asarray(np.exp(-(((time_s[:, None] - starts_s) / 0.06) ** 2)).sum(axis=1).clip(0, 1))


def _ramp(flags: Flags, rise_s: float) -> Floats:
    """A gate without clicks: moving average over rise_s. Shape: (N,) -> (N,)."""
    taps = round(rise_s * RATE_HZ) | 1
    padded = np.pad(flags.astype(float), taps // 2, mode="edge")
    return np.convolve(padded, np.ones(taps) / taps, mode="valid")


def _standardise(values: Floats) -> Floats:
    return np.asarray((values - values.mean()) / values.std())
