#!/usr/bin/env bash
# imageio: the frame of an index isn't that of the loop, if the picture starts late or its rate varies.
#
# Guess: `imread(film, index=k, plugin="pyav")` gives the k-th frame that `imiter` gives: "reads the index-th frame from
# the file". It may be slow, but labels by frame number fit.
# Behaviour: the index is turned into a time by the rate that FFmpeg guesses, the reader seeks there, and reckons the
# frame's number back from the time of the key frame that it has found. It takes off no start time: in a file whose
# picture begins .4 s late, as in many that begin with sound, frame 100 is really 90 (and 0 to 10 are all 0). Where
# frames were left out, as phones and conference recorders do, all indices after the gap are wrong. In an MPEG transport
# stream, which camcorders write, every frame between two key frames is the later of them, and the last ones don't
# exist. `constant_framerate` is said to be "read from the container format" if it isn't given, but the flag that is
# asked for is none that FFmpeg's readers of MP4, Matroska or transport streams bear: it always comes out as constant.
# Nothing is said. `imiter`, `index=...` and `constant_framerate=False` are right; a file that is kept open and read
# index by index gives right frames in order and wrong ones after a jump. So faces cut out by index get the labels of
# other frames. (Issue 938, on random access, is closed.)
# Exits 0 while it is so, 1 once it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --quiet 'imageio==2.38.1' 'av==18.1.0' 'numpy==1.26.4' 'pillow==12.0.0' 2> pip.txt || { cat pip.txt; exit 1; }
cat > index.py <<'END'
from fractions import Fraction

import av
import imageio
import imageio.v3 as iio
import numpy as np

FRAMES = 200
ASKED = (0, 10, 40, 75, 100, 155, 170)
FILMS = {  # name: time of each frame, in milliseconds
    "even.mp4": [40 * k for k in range(FRAMES)],
    "late.mp4": [400 + 40 * k for k in range(FRAMES)],
    "late.mkv": [400 + 40 * k for k in range(FRAMES)],
    "even.ts": [40 * k for k in range(FRAMES)],
    "gap.mp4": [40 * k + 1000 * (k >= 100) for k in range(FRAMES)],
    "slower.mkv": [40 * k + 40 * max(k - 100, 0) for k in range(FRAMES)],
}


def picture(number):
    """Eight stripes: the number's bits."""
    stripes = 20 + 200 * (number >> np.arange(8) & 1).astype(np.uint8)
    return np.broadcast_to(stripes.repeat(8)[None, :, None], (64, 64, 3)).copy()


def number(shown):
    return int(sum((shown[:, 8 * bit : 8 * bit + 8].mean() > 120) << bit for bit in range(8)))


def film(path, times_ms):
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "25", "sc_threshold": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for k, time_ms in enumerate(times_ms):
            frame = av.VideoFrame.from_ndarray(picture(k), "rgb24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def by_index(path, **options):
    return [number(iio.imread(path, index=k, plugin="pyav", **options)) for k in ASKED]


print(f"imageio {imageio.__version__}, PyAV {av.__version__}")
print(f"{'frame number asked for':25}", *(f"{k:4}" for k in ASKED))
for path, times_ms in FILMS.items():
    film(path, times_ms)
    assert [number(shown) for shown in iio.imiter(path, plugin="pyav")] == list(range(FRAMES)), "the loop isn't right"
    assert by_index(path, constant_framerate=False) == list(ASKED), "counting isn't right, either"
    found = by_index(path)
    print(f"{path:25}", *(f"{k:4}" for k in found))
    if path == "even.mp4":
        assert found == list(ASKED), "this has changed"
    elif path.startswith("late"):
        assert found == [max(k - 10, 0) for k in ASKED], "this has changed"
    elif path == "even.ts":
        assert found == [-(-k // 25) * 25 for k in ASKED], "this has changed"
    else:
        assert found[:5] == list(ASKED[:5]) and found[5] == 130 and found[6] == 145, "this has changed"
END
venv/bin/python index.py

# Seen on 2026-11-28:
# imageio 2.38.1, PyAV 18.1.0
# frame number asked for       0   10   40   75  100  155  170
# even.mp4                     0   10   40   75  100  155  170
# late.mp4                     0    0   30   65   90  145  160
# late.mkv                     0    0   30   65   90  145  160
# even.ts                      0   25   50   75  100  175  175
# gap.mp4                      0   10   40   75  100  130  145
# slower.mkv                   0   10   40   75  100  130  145
