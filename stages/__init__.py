"""The pipeline: a file here is a stage of dvc.yaml; the folders hold the code that stages share."""

import os

__version__ = "0.1.0"

# The last digits of sums depend on how many threads share them, and training magnifies them. Two threads for
# everyone give everyone the same figures; OMP_NUM_THREADS=16 before a command uses more.
os.environ.setdefault("OMP_NUM_THREADS", "2")
