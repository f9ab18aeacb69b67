#!/usr/bin/env bash
# FFmpeg: one channel of float samples made from several is louder than one of 16-bit samples, by 3 to 11 dB.
#
# Guess: the sample format says how a sample is written, not how loud it is. One channel made of two is their mean, as
# librosa's is, so that a voice in the middle keeps its level and nothing exceeds full scale.
# Behaviour: FFmpeg's matrix adds left and right by .707 each. Where either the output or the step between holds
# integers, it is divided by its largest sum, which gives the mean; where all is float, it isn't (the documentation of
# `rematrix_maxval` doesn't tell). So `-ac 1` writes the same recording 3 dB louder into a float file than into one of
# 16 bits (transformers' audio pipelines read files by such a command), and so does PyAV's `AudioResampler("fltp",
# "mono")`; with six channels in phase it is 10.7 dB, and what was below full scale is three times above it. Mono recordings stay
# as they are: a corpus of both, read as float, has a step between its halves that thresholds and features of loudness
# take for arousal. `rematrix_maxval=1` makes all of them alike.
# Exits 0 while it is so, 1 once it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --quiet 'av==18.1.0' 'imageio-ffmpeg==0.6.0' 'soundfile==0.14.0' 'numpy==1.26.4'
cat > mix.py <<'END'
import subprocess

import av
import imageio_ffmpeg
import numpy as np
import soundfile

RATE_HZ = 48_000
PEAK = 0.9
voice = PEAK * np.sin(2 * np.pi * 200 * np.arange(RATE_HZ) / RATE_HZ)
CHANNELS = {"mono": 1, "stereo": 2, "5.1": 6}


def by_command(layout, codec, *options):
    """Peak of the file that ffmpeg makes of a FLAC file with the voice in every channel."""
    soundfile.write("in.flac", np.repeat(voice[:, None], CHANNELS[layout], axis=1), RATE_HZ)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-i", "in.flac"]
    subprocess.run([*command, *options, "-ac", "1", "-c:a", codec, "out.wav"], check=True)
    return np.abs(soundfile.read("out.wav")[0]).max()


def by_pyav(layout, kind, **options):
    """Peak of what PyAV's resampler makes of 16-bit samples."""
    samples = np.round(voice * 32767).astype(np.int16).repeat(CHANNELS[layout])[None]
    frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
    frame.sample_rate = RATE_HZ
    resampler = av.AudioResampler(format=kind, layout="mono", rate=RATE_HZ, **options)
    mixed = np.concatenate([part.to_ndarray()[0] for part in resampler.resample(frame) + resampler.resample(None)])
    return np.abs(mixed / (32767.0 if mixed.dtype == np.int16 else 1.0)).max()


print(f"PyAV {av.__version__}, ffmpeg {imageio_ffmpeg.get_ffmpeg_version()}; the peak in every channel is {PEAK}")
print("peak of one channel made of       mono  stereo    5.1")
ways = {
    "ffmpeg, 16 bits": lambda layout: by_command(layout, "pcm_s16le"),
    "ffmpeg, float": lambda layout: by_command(layout, "pcm_f32le"),
    "PyAV, s16": lambda layout: by_pyav(layout, "s16"),
    "PyAV, fltp": lambda layout: by_pyav(layout, "fltp"),
    "PyAV, fltp, rematrix_maxval=1": lambda layout: by_pyav(layout, "fltp", options={"rematrix_maxval": "1"}),
}
for name, way in ways.items():
    peaks = [way(layout) for layout in CHANNELS]
    print(f"  {name:30}", *(f"{peak:6.3f}" for peak in peaks))
    louder = name in ("ffmpeg, float", "PyAV, fltp")
    expected = [PEAK, PEAK * 2**0.5, PEAK * 3.414] if louder else [PEAK] * 3
    assert np.allclose(peaks, expected, atol=0.01), "this has changed"
END
venv/bin/python mix.py

# Seen on 2026-11-28:
# PyAV 18.1.0, ffmpeg 7.0.2-static; the peak in every channel is 0.9
# peak of one channel made of       mono  stereo    5.1
#   ffmpeg, 16 bits                 0.900  0.900  0.900
#   ffmpeg, float                   0.900  1.273  3.073
#   PyAV, s16                       0.900  0.900  0.900
#   PyAV, fltp                      0.900  1.273  3.073
#   PyAV, fltp, rematrix_maxval=1   0.900  0.900  0.900
