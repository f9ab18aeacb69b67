#!/usr/bin/env bash
# PyAV tells the new shape of pixels too early: with frames of the old shape that the decoder has yet to give out.
#
# Guess: frames have no sample aspect ratio of their own in PyAV; so `codec_context.sample_aspect_ratio`, asked when a
#   frame comes out, is that frame's.
# Version: PyAV 18.1.0 (libavformat 62.12.102, libavcodec 62.28.102).
# Behaviour: it changes as soon as the decoder reads of the change, while frames that it holds back for their order are
#   still to come. An MPEG transport stream, in which 10 pictures of square pixels are followed by 10 of pixels twice as
#   wide, as broadcasts go from 4:3 to 16:9; H.264 with B-frames.
# Seen: 1 with the first 8 frames, 2 from then on; the first frame of the new shape is number 10, a key frame.
# Consequence: whoever scales frames to square pixels draws the last ones before a change twice as wide. The first key
#   frame after the context's change is where the change belongs.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "av==18.1.0" "numpy==1.26.4"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from fractions import Fraction

import av
import numpy as np

print("PyAV", av.__version__, {k: av.library_versions[k] for k in ("libavformat", "libavcodec")})
joined = b""
for part, aspect in enumerate((Fraction(1), Fraction(2))):
    with av.open("part.ts", "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"preset": "medium"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        for k in range(10):
            picture = np.random.default_rng(k).integers(0, 255, (48, 64, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = 10 * part + k, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    joined += open("part.ts", "rb").read()
open("joined.ts", "wb").write(joined)
with av.open("joined.ts") as container:
    stream = container.streams.video[0]
    frames = [(stream.codec_context.sample_aspect_ratio, frame.key_frame) for frame in container.decode(stream)]
said, keys = [aspect for aspect, _ in frames], [k for k, (_, key) in enumerate(frames) if key]
print("said, frame by frame:", *said)
print("key frames:", *keys)
same = said == [Fraction(1)] * 8 + [Fraction(2)] * 12 and keys == [0, 10]
sys.exit(0 if same else "the behaviour has changed")
PYTHON
