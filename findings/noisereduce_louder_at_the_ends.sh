#!/usr/bin/env bash
# noisereduce: an even voice comes out louder at the begin and at the end, and at 48 kHz jumps every 12.5 s in between.
#
# Guess: the default method follows noise over two seconds ("continuously updates the estimated noise threshold"); a
# voice that doesn't change comes out at one level, after such a time at the latest, and `chunk_size` is a matter of
# memory.
# Behaviour: the floor of each frequency is a mean over time, forward and backward, that begins at both ends of a chunk
# with the one value that stands there (scipy's `filtfilt` without padding): that of a pause, say, or nothing where the
# recording ends, as `padding` zeros stand behind it. Where it is too low, much counts as voice, and less is taken away.
# At 48 kHz a voice of equal syllables, as below, keeps 8 dB more in the first and last two seconds than in the middle,
# and settles after some ten. Chunks are of 600,000 samples and overlap by 30,000 at each side, whatever the rate: 37.5
# s and 1.9 s at 16 kHz, but 12.5 s and .6 s at 48 kHz, where a joint is a jump of 6 dB within a sentence. And the same
# two seconds cut out first, as in corpora of single utterances, come out 11 dB louder than within the recording. At 16
# kHz the differences are 2 and 4 dB. The documentation says that larger pads are needed for larger time constants, not
# that the default pad is too small for the default constant; and at the ends no pad helps, as it is zeros. A feature of
# loudness, and what reads arousal from it, then follows the place in the file. `stationary=True` keeps one level; so
# does the default, within 3 dB, if the signal is continued by its mirror image for 20 s and `padding` is as long.
# Exits 0 while it is so, 1 once it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --quiet 'noisereduce==3.0.3' 'scipy==1.17.1' 'numpy==2.4.6' 2> pip.txt || { cat pip.txt; exit 1; }
cat > level.py <<'END'
from importlib.metadata import version

import noisereduce
import numpy as np
import scipy

PART_S, PARTS = 2, 30
SHOWN_S = (0, 2, 10, 12, 14, 22, 24, 36, 56, 58)
SYLLABLES_HZ = (110, 150, 130, 170)  # half a second each, voiced for a quarter


def noisy_voice(rate_hz):
    time_s = np.arange(PART_S * rate_hz) / rate_hz
    phase = 2 * np.pi * np.cumsum(np.repeat(SYLLABLES_HZ, rate_hz // 2)) / rate_hz
    random = np.random.default_rng(0)
    harmonics = sum(np.sin(k * phase + random.uniform(0, 6)) / k for k in range(1, 20))
    bend = np.hanning(rate_hz // 20)
    part = 0.1 * harmonics * np.convolve(time_s % 0.5 < 0.25, bend / bend.sum(), "same")
    voice = np.tile(part, PARTS)
    return voice + 0.1 * np.sqrt((part**2).mean()) * random.standard_normal(len(voice))


def level_db(signal, rate_hz):
    return 10 * np.log10((signal.reshape(-1, PART_S * rate_hz) ** 2).mean(axis=1))


def mirrored(signal, rate_hz):
    length = 20 * rate_hz
    longer = np.concatenate([signal[:length][::-1], signal, signal[-length:][::-1]])
    return noisereduce.reduce_noise(y=longer, sr=rate_hz, padding=length)[length:-length]


print(f"noisereduce {version('noisereduce')}, scipy {scipy.__version__}, numpy {np.__version__}")
print(f"level of {PART_S} s against the level before, in decibels")
print("begin of the part (s)           ", *(f"{begin_s:5}" for begin_s in SHOWN_S))
WAYS = {
    "as it is": lambda signal, rate_hz: noisereduce.reduce_noise(y=signal, sr=rate_hz),
    "stationary": lambda signal, rate_hz: noisereduce.reduce_noise(y=signal, sr=rate_hz, stationary=True),
    "mirrored": mirrored,
}
for rate_hz in (16_000, 48_000):
    signal = noisy_voice(rate_hz)
    for name, way in WAYS.items():
        change = level_db(way(signal, rate_hz), rate_hz) - level_db(signal, rate_hz)
        print(f"{rate_hz} Hz, {name:20}", *(f"{change[begin_s // PART_S]:5.1f}" for begin_s in SHOWN_S))
        if name == "stationary":
            assert np.ptp(change) < 1, "the voice isn't even"
        elif name == "mirrored":
            assert np.ptp(change) < 3, "this has changed"
        elif rate_hz == 16_000:
            assert abs(change[6] - change[12]) < 0.5, "this has changed"
            assert min(change[0], change[-1]) > change[12] + 1.5, "this has changed"
        else:
            assert min(change[0], change[-1]) > change[5] + 6, "this has changed"
            assert min(change[6], change[12]) > max(change[5], change[11]) + 4, "this has changed"
    part = signal[10 * rate_hz : 12 * rate_hz]
    alone = level_db(noisereduce.reduce_noise(y=part, sr=rate_hz), rate_hz) - level_db(part, rate_hz)
    print(f"{rate_hz} Hz, the part at 10 s alone         {alone[0]:11.1f}")
    assert alone[0] > -10, "this has changed"
END
OMP_NUM_THREADS=1 venv/bin/python -W ignore level.py

# Seen on 2026-11-28:
# noisereduce 3.0.3, scipy 1.17.1, numpy 2.4.6
# level of 2 s against the level before, in decibels
# begin of the part (s)                0     2    10    12    14    22    24    36    56    58
# 16000 Hz, as it is             -11.4 -12.8 -13.5 -13.5 -13.5 -13.5 -13.5 -14.1 -12.8 -11.7
# 16000 Hz, stationary           -15.0 -14.9 -14.9 -15.0 -14.9 -15.0 -14.9 -15.0 -14.9 -15.0
# 16000 Hz, mirrored             -13.5 -13.6 -13.5 -13.5 -13.5 -13.5 -13.5 -13.5 -13.4 -13.4
# 16000 Hz, the part at 10 s alone                -9.2
# 48000 Hz, as it is              -6.6 -12.4 -15.0  -8.5 -12.5 -15.2  -9.6 -12.8 -11.7  -7.5
# 48000 Hz, stationary           -22.4 -22.3 -22.6 -22.7 -22.3 -22.5 -22.2 -22.4 -22.5 -22.5
# 48000 Hz, mirrored             -17.3 -15.8 -15.4 -15.4 -15.3 -15.4 -15.3 -15.3 -15.1 -14.7
# 48000 Hz, the part at 10 s alone                -4.2
