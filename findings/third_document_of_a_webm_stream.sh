#!/usr/bin/env bash
# FFmpeg reads the first two EBML documents of a WebM stream, and drops every further one without a word.
#
# Guess: RFC 8794 calls several EBML documents in a row an EBML stream, and FFmpeg plays two WebM files that were
#   joined byte by byte from end to end; so it plays three or four as well, or says that it doesn't.
# Version: PyAV 18.1.0 (libavformat 62.12.102).
# Behaviour: with documents whose segments have a known size (any finished file), packets of the first and the
#   second come out, those of the third and all later ones are missing. No error is raised.
# Seen: 5 of 5, 12 of 12, 12 of 21, 12 of 32 packets for one, two, three and four takes.
# Consequence: a recording joined from more than two takes ends early; compare the file's size with what was read.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "av==18.1.0" "numpy==1.26.4"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import av
import numpy as np

TAKES = (5, 7, 9, 11)  # frames


def film(path, frames, level):
    with av.open(path, "w", format="webm") as container:
        stream = container.add_stream("libvpx", 10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for k in range(frames):
            picture = np.full((64, 64, 3), level + k, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))


def packets(path):
    with av.open(path) as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)


for k, frames in enumerate(TAKES):
    film(f"{k}.webm", frames, 40 * k)
found = []
for takes in range(1, len(TAKES) + 1):
    joined = b"".join(open(f"{k}.webm", "rb").read() for k in range(takes))
    open("joined.webm", "wb").write(joined)
    found.append(packets("joined.webm"))
    print(f"{takes} takes: {found[-1]} of {sum(TAKES[:takes])} packets")
sys.exit(0 if found == [5, 12, 12, 12] else "the behaviour has changed")
PYTHON
