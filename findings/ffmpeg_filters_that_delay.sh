#!/usr/bin/env bash
# FFmpeg: filters that clean or shape speech give it back late, by 25 to 256 ms, under the timestamps of the original.
#
# Guess: a filter that has to look ahead takes its delay off again, or lets the timestamps tell: sound stays with the
# picture. So `afwtdn` and `dynaudnorm` do it.
# Behaviour: `afftdn` (noise), `dialoguenhance` (voices), `superequalizer` and `afftfilt` give out as many samples as
# they were given, beginning at timestamp 0: silence for the time of their delay, the sound after it, and the sound's end
# not at all. The denoiser is late by the same time at any rate; the others by the same number of samples, so that sound
# at 16 kHz, as models of speech want it, is late by three times what it is at 48 kHz. The documentation of none of them
# speaks of a delay (that of `firequalizer` and `alimiter` does). A voice cleaned this way runs up to 6 frames of 25 a
# second behind the face, and behind labels that were made with the original. Silence added to the end by `apad`, and as
# much taken from the begin by `atrim`, repairs it.
# Exits 0 while it is so, 1 once it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --quiet 'av==18.1.0' 'imageio-ffmpeg==0.8.1' 'soundfile==0.14.0' 'numpy==1.26.4'
cat > late.py <<'END'
import subprocess

import av
import imageio_ffmpeg
import numpy as np
import soundfile

LENGTH_S = 6
RATES_HZ = (48_000, 16_000)
FILTERS = {  # how late, in milliseconds at each rate
    "afwtdn": (0, 0),
    "dynaudnorm": (0, 0),
    "afftdn": (25, 25),
    "dialoguenhance": (32, 96),
    "afftfilt": (64, 192),
    "superequalizer": (85.3, 255.9),
}
REPAIRED = "apad=pad_dur=0.025,afftdn,atrim=start=0.025,asetpts=PTS-STARTPTS"


def rising_and_falling(rate_hz):
    """Noise without its highest tones, louder and softer ten times a second."""
    random = np.random.default_rng(0)
    loudness = np.repeat(np.abs(random.standard_normal(LENGTH_S * 10)), rate_hz // 10)
    return (0.05 * np.convolve(random.standard_normal(LENGTH_S * rate_hz) * loudness, np.ones(6) / 6, "same")).astype(np.float32)


def late_ms(heard, given, rate_hz):
    size = 2 * len(given)
    likeness = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(given, size)), size)
    return 1000 * np.argmax(likeness[: len(given)]) / rate_hz


def by_command(given, chain, rate_hz):
    soundfile.write("in.wav", given, rate_hz, subtype="FLOAT")
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-i", "in.wav", "-af", chain]
    subprocess.run([*command, "-ac", "1", "-c:a", "pcm_f32le", "out.wav"], check=True)
    return soundfile.read("out.wav")[0]


def by_pyav(given, name, rate_hz):
    graph = av.filter.Graph()
    steps = [
        graph.add_abuffer(sample_rate=rate_hz, format="flt", layout="mono"),
        graph.add(name),
        graph.add("aformat", "sample_fmts=flt:channel_layouts=mono"),
        graph.add("abuffersink"),
    ]
    graph.link_nodes(*steps).configure()
    whole = av.AudioFrame.from_ndarray(given[None], "flt", "mono")
    whole.sample_rate, whole.pts = rate_hz, 0
    steps[0].push(whole)
    steps[0].push(None)
    heard = []
    while True:
        try:
            frame = steps[-1].pull()
        except av.EOFError:
            return np.concatenate(heard)
        assert frame.pts == sum(map(len, heard)), "timestamps that count from 0 are no more"
        heard.append(frame.to_ndarray()[0])


print(f"ffmpeg {imageio_ffmpeg.get_ffmpeg_version()}; PyAV {av.__version__} with FFmpeg {av.ffmpeg_version_info}")
print("how late, in milliseconds     ffmpeg, 48 kHz  16 kHz     PyAV, 48 kHz  16 kHz")
for name, expected in FILTERS.items():
    found = []
    for way in (by_command, by_pyav):
        for rate_hz in RATES_HZ:
            given = rising_and_falling(rate_hz)
            heard = way(given, name, rate_hz)
            assert len(heard) == len(given), "this has changed"
            found.append(late_ms(heard, given, rate_hz))
    print(f"  {name:33} {found[0]:8.1f} {found[1]:7.1f}       {found[2]:10.1f} {found[3]:7.1f}")
    assert np.allclose(found, expected * 2, atol=0.1), "this has changed"
given = rising_and_falling(48_000)
heard = by_command(given, REPAIRED, 48_000)
print(f"  afftdn with apad and atrim        {late_ms(heard, given, 48_000):8.1f}")
assert len(heard) == len(given) and late_ms(heard, given, 48_000) == 0
END
venv/bin/python late.py

# Seen on 2026-11-28:
# ffmpeg n9.0.2-17-g2a571b6068-20260930; PyAV 18.1.0 with FFmpeg 8.1.2
# how late, in milliseconds     ffmpeg, 48 kHz  16 kHz     PyAV, 48 kHz  16 kHz
#   afwtdn                                 0.0     0.0              0.0     0.0
#   dynaudnorm                             0.0     0.0              0.0     0.0
#   afftdn                                25.0    25.0             25.0    25.0
#   dialoguenhance                        32.0    96.0             32.0    96.0
#   afftfilt                              64.0   192.0             64.0   192.0
#   superequalizer                        85.3   255.9             85.3   255.9
#   afftdn with apad and atrim             0.0
