#!/usr/bin/env bash
# libsndfile closes a FLAC file whose last block could not be written without a word.
#
# Guess: a disk that is full raises an error while sound is written, or at the latest when the file is closed.
# Version: soundfile 0.14.0 (libsndfile 1.2.2), Linux; the file may grow to a limit, as on a disk with little left.
# Behaviour: FLAC holds up to a block of samples back and writes them while closing. Where only that write fails,
#   neither write() nor close() raises; the file lacks its last samples, and its header the number of them.
# Seen: no error; the header names 9223372036854775807 samples, of 13288 written 11264 can be read.
# Consequence: after writing a FLAC, read its number of samples, or its end, again before trusting it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "soundfile==0.14.0" "numpy==1.26.4"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import resource
import signal
import sys

import numpy as np
import soundfile

RATE_HZ = 44_100
noise = np.random.default_rng(0).integers(-20_000, 20_000, (3 * 4096 + 1000, 2), dtype=np.int16)


def write(path):
    """Whether an error was raised."""
    try:
        with soundfile.SoundFile(path, "w", RATE_HZ, 2, "PCM_16", format="FLAC") as file:
            for start in range(0, len(noise), 1024):
                file.write(noise[start : start + 1024])
    except soundfile.SoundFileError:
        return True
    return False


def kept(path):
    """Samples that the header names, and those that can be read."""
    with soundfile.SoundFile(path) as file:
        named, read = file.frames, 0
        try:
            while len(block := file.read(1024, dtype="int16")):
                read += len(block)
        except soundfile.SoundFileError:
            pass
    return named, read


write("whole.flac")
size = len(open("whole.flac", "rb").read())
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1000, size - 1000))
raised = write("cut.flac")
named, samples = kept("cut.flac")
print(f"soundfile {soundfile.__version__}, libsndfile {soundfile.__libsndfile_version__}: error raised: {raised};")
print(f"the header names {named} samples; {samples} of {len(noise)} can be read")
sys.exit(0 if not raised and samples < len(noise) < named else "the behaviour has changed")
PYTHON
