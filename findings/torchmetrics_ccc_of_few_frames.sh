#!/usr/bin/env bash
# torchmetrics: the concordance (CCC) of few frames is higher than Lin's, and rises where the frames are fewer.
#
# Guess: `ConcordanceCorrCoef` is the CCC of the affect challenges (Lin, 1989): moments over all frames, divided by
# their number. Then it is the same whether a trace is given 5 times a second or held 25 times a second, and the same
# as audEERING's `audmetric.concordance_cc`.
# Behaviour: variances and covariance are divided by the number less one, the squared difference of the means isn't.
# So an offset counts for less, the fewer frames there are: .236 instead of .171 for three frames, .604 instead of
# .591 for a window of 20 steps (4 s at 5 a second), and every frame held five times lowers it. The documentation's
# formula speaks of variances and doesn't say which. With all of a corpus at once the difference vanishes; as loss or
# score of windows, or of short recordings, it isn't comparable with published figures.
# Exits 0 while it is so, 1 once it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --quiet 'torchmetrics==1.9.0' 'torch==2.15.0' 'numpy==1.26.4' 'audmetric==1.4.2' 2> pip.txt || { cat pip.txt; exit 1; }
cat > compare.py <<'END'
import audmetric
import numpy as np
import torch
import torchmetrics
from torchmetrics.functional.regression import concordance_corrcoef


def lin(said, truth):
    covariance = ((said - said.mean()) * (truth - truth.mean())).mean()
    return 2 * covariance / (said.var() + truth.var() + (said.mean() - truth.mean()) ** 2)


def theirs(said, truth):
    return float(concordance_corrcoef(torch.from_numpy(said), torch.from_numpy(truth)))


print(f"torchmetrics {torchmetrics.__version__}, audmetric {audmetric.__version__}, torch {torch.__version__}")
print("frames    Lin  audmetric  torchmetrics  each frame held 5 times: Lin  torchmetrics")
found = {}
for frames in (3, 20, 1000):
    truth = np.random.default_rng(0).standard_normal(frames)
    said = truth + 1
    held = np.repeat(said, 5), np.repeat(truth, 5)
    figures = (lin(said, truth), audmetric.concordance_cc(truth, said), theirs(said, truth), lin(*held), theirs(*held))
    print(f"{frames:6}  {figures[0]:.3f}      {figures[1]:.3f}         {figures[2]:.3f}", end="")
    print(f"                         {figures[3]:.3f}         {figures[4]:.3f}")
    found[frames] = figures
    assert np.allclose(figures[0], [figures[1], figures[3]], atol=1e-6), "Lin's formula is none of these"
assert found[3][2] - found[3][0] > 0.06 and found[3][2] - found[3][4] > 0.04, "this has changed"
assert found[20][2] - found[20][0] > 0.01 and abs(found[1000][2] - found[1000][0]) < 1e-3, "this has changed"
END
venv/bin/python compare.py

# Seen on 2026-11-28:
# torchmetrics 1.9.0, audmetric 1.4.2, torch 2.15.0+cu132
# frames    Lin  audmetric  torchmetrics  each frame held 5 times: Lin  torchmetrics
#      3  0.171      0.171         0.236                         0.171         0.181
#     20  0.591      0.591         0.604                         0.591         0.594
#   1000  0.656      0.656         0.656                         0.656         0.656
