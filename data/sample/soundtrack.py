"""The sound of a clip: the voice in the middle, a quiet room and wide music beneath it.

A stereo mix in which the voice is equal on both sides and the music mostly opposite gives a separator
something to hold on to.
"""

import numpy as np
from numpy.random import Generator

from stages.core.arrays import Flags, Floats
from stages.engine.lazy_imports import slim_signal

with slim_signal():
    from scipy.signal import butter, resample_poly, sosfilt

MIX_RATE_HZ = 44_100
PEAK = 0.85


def mix(rng: Generator, voice: Floats, talking: Flags, snr_db: float) -> tuple[Floats, Floats, Floats]:
    """Voice over background.

    Args:
        rng: source of randomness for the background.
        voice: (N,) at VOICE_RATE_HZ.
        talking: (N,), where the voice counts for the ratio.
        snr_db: power of the talking voice over the power of the background, in each channel.

    Returns:
        stereo (2, N * 44100 / 16000) at MIX_RATE_HZ, and the stems inside it as one channel at
        VOICE_RATE_HZ: voice (N,), background (N,). float32, peak below 1.
    """
    centre = resample_poly(voice, 441, 160)
    background = _music(rng, len(centre)) + _room(rng, len(centre))
    wanted = np.sqrt(np.mean(voice[talking] ** 2)) * 10 ** (-snr_db / 20)
    background *= wanted / np.sqrt(np.mean(background**2))
    stereo = centre + background
    scale = PEAK / np.abs(stereo).max()
    mono = resample_poly(background.mean(axis=0), 160, 441)[: len(voice)]
    return _float32(scale * stereo), _float32(scale * voice), _float32(scale * mono)


def _float32(sound: Floats) -> Floats:
    return sound.astype(np.float32)


def _music(rng: Generator, count: int) -> Floats:
    """Slow chords of three soft notes, each note on its own side. Shape: (2, count)."""
    time_s = np.arange(count) / MIX_RATE_HZ
    sound = np.zeros((2, count))
    root_hz, change_s = rng.uniform(180, 260), rng.uniform(1.6, 2.6)
    for start_s in np.arange(0, time_s[-1], change_s):
        middle_s = start_s + change_s / 2
        span = slice(*np.searchsorted(time_s, [middle_s - change_s, middle_s + change_s]))
        heard_s = time_s[span]
        swell = np.clip(1 - np.abs(heard_s - middle_s) / change_s, 0, 1) ** 2
        for semitones, side in zip(
            rng.choice([0, 3, 4, 7, 9, 12], size=3, replace=False), (-1.0, 1.0, -0.7), strict=True
        ):
            note_hz = root_hz * 2 ** (semitones / 12)
            note = swell * np.sin(2 * np.pi * note_hz * heard_s + rng.uniform(0, 6.28))
            sound[0, span] += note * (0.5 + 0.5 * side)
            sound[1, span] += note * (-0.5 + 0.5 * side)
    return sound


def _room(rng: Generator, count: int) -> Floats:
    """Low, dull noise, different on each side. Shape: (2, count)."""
    dull = butter(1, 700, fs=MIX_RATE_HZ, output="sos")
    return np.asarray(sosfilt(dull, rng.normal(0, 1.2, size=(2, count)), axis=1))
