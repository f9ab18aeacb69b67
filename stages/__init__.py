"""The pipeline: a file here is a stage of dvc.yaml; the folders hold the code that stages share."""

import os

__version__ = "0.1.0"

# The last digits of sums depend on how many threads share them, and training magnifies them. Two threads for
# everyone give everyone the same figures; OMP_NUM_THREADS=16 before a command uses more.
os.environ.setdefault("OMP_NUM_THREADS", "2")
# OpenMP's threads wait for each other in a loop; GNU's take milliseconds before they give the core up. On a
# machine that is busy with other work, training then gets slower by a multiple. This is half a millisecond.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
