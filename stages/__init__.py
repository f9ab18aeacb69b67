"""Valaro: valence and arousal, frame by frame, from ordinary video."""

import os

__version__ = "0.1.0"

# The last digits of sums depend on how many threads share them, and training magnifies them. Two threads for
# everyone give everyone the same figures; OMP_NUM_THREADS=16 before a command uses more.
os.environ.setdefault("OMP_NUM_THREADS", "2")
