"""A talking voice by source and filter, driven by the same syllables as the mouth.

The glottal source is a sum of harmonics of a pitch contour; each harmonic is weighted, moment by
moment, by the source's slope and by the resonances of the vocal tract (Klatt-style formants:
G. Fant, *Acoustic Theory of Speech Production*, 1960). Consonants are bursts of noise between syllables.

Arousal: higher and wider pitch, faster syllables, flatter source slope, deeper energy modulation, all
of which survive scaling a window to unit variance. Valence: formants up, less breath, phrases ending higher.
"""

import numpy as np
from numpy.random import Generator

from data.sample.looks import Looks
from data.sample.trajectories import RATE_HZ, Performance
from stages.core.arrays import Flags, Floats
from stages.engine.lazy_imports import slim_signal

with slim_signal():
    from scipy.signal import butter, sosfilt

VOICE_RATE_HZ = 16_000
HARMONICS = 36

# First three formants in Hz, adult mean (Peterson and Barney 1952, table II, men): a, i, u, e, o.
VOWELS_HZ = np.array(
    [[730, 1090, 2440], [270, 2290, 3010], [300, 870, 2240], [530, 1840, 2480], [570, 840, 2410]], dtype=float
)
BANDWIDTH_HZ = np.array([80.0, 110.0, 160.0, 220.0])
AROUSAL_OCTAVES, AROUSAL_SLOPE_DB = 0.4, 6.0
VALENCE_FORMANTS = 0.12
HISS_BAND = butter(2, [2500, 6500], "bandpass", fs=VOICE_RATE_HZ, output="sos")


def speak(rng: Generator, performance: Performance, looks: Looks) -> Floats:
    """What this performance sounds like.

    Shape: (N,) at RATE_HZ -> (N * VOICE_RATE_HZ / RATE_HZ,), float32, RMS about 0.1 while talking.
    """
    arousal = performance.valence_arousal[:, 1]
    formants_hz = _formants(rng, performance, looks)
    pitch_hz = _pitch(rng, performance, looks)
    level = _envelope(performance)
    voiced = _harmonic_sum(pitch_hz, _gains(pitch_hz, formants_hz, arousal))
    hiss = _hiss_level(rng, performance) * sosfilt(HISS_BAND, rng.normal(size=len(voiced)))
    sound = _upsample(level, len(voiced)) * voiced / _rms(voiced) + hiss
    return np.asarray(0.1 * sound / _rms(sound[_upsample(level, len(sound)) > 0.2]), dtype=np.float32)


def _pitch(rng: Generator, performance: Performance, looks: Looks) -> Floats:
    """Hz at RATE_HZ: level and range from arousal, slope within phrases from valence, some jitter."""
    valence, arousal = performance.valence_arousal.T
    count = len(arousal)
    accents = (
        np.sin(np.pi * performance.syllable) ** 2
        * rng.choice([0.0, 0.4, 1.0], size=count)[performance.syllable.astype(int)]
    )
    into_phrase_s = _seconds_since(performance.talking)
    slope = (0.05 * valence - 0.03) * np.minimum(into_phrase_s, 4.0)
    octaves = AROUSAL_OCTAVES * arousal + (0.16 + 0.12 * arousal) * accents + slope
    jitter = np.convolve(rng.normal(0, 0.012, size=count), np.ones(5) / 5, mode="same")
    return np.asarray(looks.pitch_hz * 2 ** (octaves + jitter))


def _formants(rng: Generator, performance: Performance, looks: Looks) -> Floats:
    """Four formants in Hz at RATE_HZ, gliding from vowel to vowel. Shape: (N, 4)."""
    valence = performance.valence_arousal[:, :1]
    vowels = VOWELS_HZ[rng.integers(len(VOWELS_HZ), size=len(valence))][performance.syllable.astype(int)]
    glide = np.ones(9) / 9
    smooth = np.stack(
        [np.convolve(np.pad(column, 4, mode="edge"), glide, mode="valid") for column in vowels.T], axis=1
    )
    smooth[:, 0] += 120 * performance.jaw  # a lower jaw raises the first formant
    formants_hz = np.hstack([smooth, np.full_like(valence, 3400)])
    return np.asarray(formants_hz * (1 + VALENCE_FORMANTS * valence) / looks.tract_length)


def _envelope(performance: Performance) -> Floats:
    """Loudness at RATE_HZ: swings with each syllable, more so when aroused; silent while resting.

    Stressed syllables are louder, by up to 5 dB.
    """
    arousal = performance.valence_arousal[:, 1]
    swing = 0.55 + 0.35 * arousal
    beat = (1 - swing * np.cos(np.pi * performance.syllable) ** 2) * (0.5 + 0.5 * performance.stress)
    gate = np.convolve(performance.talking.astype(float), np.ones(9) / 9, mode="same")
    return np.asarray(beat * gate * 10 ** (0.2 * arousal))


def _gains(pitch_hz: Floats, formants_hz: Floats, arousal: Floats) -> Floats:
    """Amplitude of every harmonic at RATE_HZ; 0 at and above the half rate. Shape: (N, HARMONICS)."""
    frequency = pitch_hz[:, None] * np.arange(1, HARMONICS + 1)
    octaves_up = np.log2(np.arange(1, HARMONICS + 1))
    slope_db = -(12 - AROUSAL_SLOPE_DB * arousal)[:, None] * octaves_up
    gain = 10 ** ((slope_db + 6 * octaves_up) / 20)  # + 6 dB per octave: radiation from the lips
    for centre, bandwidth in zip(formants_hz.T, BANDWIDTH_HZ, strict=True):
        square = centre[:, None] ** 2
        gain *= square / np.hypot(square - frequency**2, bandwidth * frequency)
    return np.where(frequency < 0.46 * VOICE_RATE_HZ, gain, 0.0)


def _harmonic_sum(pitch_hz: Floats, gains: Floats) -> Floats:
    """Sum of sines with these gains. Shape: (N,), (N, HARMONICS) -> (N * 160,)."""
    count = len(pitch_hz) * round(VOICE_RATE_HZ / RATE_HZ)
    phase = 2 * np.pi * np.cumsum(_upsample(pitch_hz, count)) / VOICE_RATE_HZ
    # sin(h p) from the two before it (Chebyshev): one multiplication instead of one sine.
    before, now, twice = np.zeros(count), np.sin(phase), 2 * np.cos(phase)
    total = np.zeros(count)
    for gain in gains.T:
        total += _upsample(gain, count) * now
        before, now = now, twice * now - before
    return total


def _hiss_level(rng: Generator, performance: Performance) -> Floats:
    """Consonants at about half of the syllable boundaries; breath within. Shape: (N * 160,)."""
    valence, count = performance.valence_arousal[:, 0], len(performance.jaw)
    loud = rng.choice([0.0, 0.0, 0.25, 0.5], size=count)[performance.syllable.astype(int)]
    edge = np.clip(np.cos(np.pi * performance.syllable) ** 2 - 0.75, 0, None) * 4
    breath = 0.12 * (1 - valence) * _envelope(performance)
    return _upsample(edge * loud * performance.talking + breath, count * round(VOICE_RATE_HZ / RATE_HZ))


def _seconds_since(flags: Flags) -> Floats:
    """Time since the current run of True began, 0 where False. Shape: (N,) -> (N,)."""
    index = np.arange(len(flags))
    return np.where(flags, index - np.maximum.accumulate(np.where(flags, 0, index)), 0) / RATE_HZ


def _upsample(values: Floats, count: int) -> Floats:
    """Linear between the values, which begin equal blocks; the last one stays. Shape: (N,) -> (count,)."""
    share = np.linspace(0, 1, count // len(values), endpoint=False)
    rise = np.diff(values, append=values[-1])
    return np.asarray((values[:, None] + rise[:, None] * share).ravel())


def _rms(sound: Floats) -> float:
    return float(np.sqrt(np.mean(sound**2)) + 1e-9)
