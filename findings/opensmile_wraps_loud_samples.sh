#!/usr/bin/env bash
# openSMILE for Python turns samples beyond full scale over: as MP3, a loud voice has nearly thrice the spectral flux.
#
# Guess: `process_file` and `process_signal` work with float samples, so that a peak above 1 is kept, or else clipped.
# Behaviour: samples are multiplied by 32768 and cast to 16 bits without a bound (seen on x86-64), so that 1.0 becomes
# -1.0 and 1.1 becomes -.9: two jumps through the whole range at each peak. That takes no faulty file: what an MP3 or
# Ogg Vorbis decodes to may exceed the peaks of what was encoded, and does so in every period of the voice where a
# limiter has raised the loudness, as is usual for podcasts. The recording below never exceeds .98 itself. As MP3 its
# loudness rises by a quarter and its spectral flux from .74 to 2.03, and the harmonics-to-noise ratio falls by 3 dB; the
# same samples, clipped first, give about what the lossless file gives. It is the loud passages that are concerned, so
# the error goes with arousal. Nothing is said. FLAC and 16-bit files can't hold such samples; float files can, and so
# can a mixture of channels. (The example in opensmile's issue 46 has such samples: clipped, file and signal agree.)
# Exits 0 while it is so, 1 once it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --quiet 'opensmile==2.6.0' 'audinterface==1.4.0' 'audiofile==1.6.1' 'soundfile==0.14.0' 'pandas==3.0.6' 'numpy==2.4.6' 2> pip.txt || { cat pip.txt; exit 1; }
cat > features.py <<'END'
import numpy as np
import opensmile
import soundfile

RATE_HZ = 16_000
BELOW_FULL = 32767 / 32768
FEATURES = ("loudness_sma3_amean", "spectralFlux_sma3_amean", "HNRdBACF_sma3nz_amean", "alphaRatioV_sma3nz_amean")
smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)


def voice():
    """Four seconds of a tone of 130 to 170 Hz with 19 harmonics and little noise, its loudness rising and falling."""
    random = np.random.default_rng(0)
    time_s = np.arange(4 * RATE_HZ) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(150 + 20 * np.sin(np.pi * time_s)) / RATE_HZ
    harmonics = sum(np.sin(k * phase + random.uniform(0, 6)) / k for k in range(1, 20))
    samples = harmonics * (0.55 + 0.45 * np.sin(4 * np.pi * time_s)) + 0.01 * random.standard_normal(len(time_s))
    return samples / np.abs(samples).max()


def figures(features):
    return [float(features.iloc[0][name]) for name in FEATURES]


limited = 0.98 * np.tanh(4 * voice())  # a limiter's work
soundfile.write("limited.wav", limited, RATE_HZ, subtype="FLOAT")
soundfile.write("limited.mp3", limited, RATE_HZ)
soundfile.write("limited.ogg", limited, RATE_HZ)
soundfile.write("too loud.wav", 1.25 * voice(), RATE_HZ, subtype="FLOAT")
print(f"opensmile {opensmile.__version__}, libsndfile {soundfile.__libsndfile_version__}")
print("as it is, clipped:  loudness        spectral flux   HNR (dB)        alpha ratio (dB)")
found = {}
for file in ("limited.wav", "limited.mp3", "limited.ogg", "too loud.wav"):
    samples, _ = soundfile.read(file, dtype="float32")
    given, clipped = smile.process_file(file), smile.process_signal(np.clip(samples, -1, BELOW_FULL), RATE_HZ)
    found[file] = [np.array(figures(each)) for each in (given, clipped)]
    pairs = [f"{a:8.2f} {b:6.2f}" for a, b in zip(*found[file])]
    print(f"{file:12}", *pairs, f"  peak {np.abs(samples).max():.2f}")
assert np.allclose(*found["limited.wav"], rtol=1e-4), "what isn't too loud isn't read right, either"
for file, times in (("limited.mp3", 2.5), ("limited.ogg", 2), ("too loud.wav", 1.7)):
    given, clipped = found[file]
    assert given[1] > times * clipped[1] and given[0] > 1.15 * clipped[0], "this has changed"
    assert given[2] < clipped[2] - 1, "this has changed"
END
venv/bin/python features.py

# Seen on 2026-11-28:
# opensmile 2.6.0, libsndfile 1.2.2
# as it is, clipped:  loudness        spectral flux   HNR (dB)        alpha ratio (dB)
# limited.wav      3.56   3.56     0.66   0.66    10.49  10.49   -10.27 -10.27   peak 0.98
# limited.mp3      4.53   3.56     2.03   0.74     7.62  10.42    -7.66 -10.25   peak 1.14
# limited.ogg      4.25   3.59     1.79   0.72     8.20  10.41    -8.56 -10.21   peak 1.07
# too loud.wav     2.82   2.18     0.76   0.39     9.35  10.53    -8.79 -11.57   peak 1.25
