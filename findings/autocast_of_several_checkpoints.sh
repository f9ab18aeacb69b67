#!/usr/bin/env bash
# PyTorch: checkpoints that are compared within one autocast block all get the score of the first.
#
# Guess: `load_state_dict` within `with torch.no_grad(), torch.autocast(...)` loads, as everywhere: the next forward
# pass is that of the new weights. And a comparison is the same under `no_grad` as under `inference_mode`.
# Behaviour: autocast keeps the rounded copy of each weight until its outermost block ends, and doesn't notice that the
# weight has changed in place, which is how `load_state_dict`, an optimiser and an average of weights change it. So an
# average looks exactly as good as the last weights, a sweep over epochs is flat, and a training loop inside the block
# trains what it doesn't use: the loss stays where it was. Only the layers that are rounded are concerned; others, norms
# for example, do follow, so that scores needn't be equal to the digit. Under `inference_mode`, with weights that need no
# gradient (`requires_grad_(False)`), or with a block per pass all is well.
# Exits 0 while it is so, 1 once it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --quiet 'torch==2.15.0' 'numpy==1.26.4' 2> pip.txt || { cat pip.txt; exit 1; }
cat > compare.py <<'END'
from contextlib import nullcontext

import torch

torch.manual_seed(0)
inputs = torch.randn(256, 8)
target = inputs @ torch.randn(8, 1)


def rounded():
    return torch.autocast("cpu", torch.bfloat16)


def loss(model):
    return (model(inputs).float() - target).square().mean()


def trained(block, each):
    """Losses of 30 steps, and the weights after every tenth."""
    torch.manual_seed(1)
    model = torch.nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    losses, kept = [], []
    with block():
        for step in range(31):
            if step % 10 == 0:
                kept.append({name: value.clone() for name, value in model.state_dict().items()})
            with each():
                now = loss(model)
            losses.append(now.item())
            optimizer.zero_grad()
            now.backward()
            optimizer.step()
    return losses[::10], kept


def scores(kept, without, block, each, frozen=False):
    model = torch.nn.Linear(8, 1).requires_grad_(not frozen)
    found = []
    with without(), block():
        for state in kept:
            model.load_state_dict(state)
            with each():
                found.append(loss(model).item())
    return found


print(f"torch {torch.__version__}")
right, kept = trained(nullcontext, rounded)
ways = {
    "scored, a block per pass": scores(kept, torch.no_grad, nullcontext, rounded),
    "scored, one block, no_grad": scores(kept, torch.no_grad, rounded, nullcontext),
    "scored, one block, inference_mode": scores(kept, torch.inference_mode, rounded, nullcontext),
    "scored, one block, frozen weights": scores(kept, torch.no_grad, rounded, nullcontext, frozen=True),
    "trained, a block per pass": right,
    "trained, one block": trained(rounded, nullcontext)[0],
}
print("loss after steps                       0      10      20      30")
for name, found in ways.items():
    print(f"  {name:34}", *(f"{each:7.3f}" for each in found))
    expected = right[:1] * 4 if name in ("scored, one block, no_grad", "trained, one block") else right
    assert max(abs(a - b) for a, b in zip(found, expected)) < 0.001 and right[3] < 0.1, "this has changed"
END
venv/bin/python -W ignore compare.py

# Seen on 2026-11-28:
# torch 2.15.0+cu132
# loss after steps                       0      10      20      30
#   scored, a block per pass             7.194   0.746   0.088   0.012
#   scored, one block, no_grad           7.194   7.194   7.194   7.194
#   scored, one block, inference_mode    7.194   0.746   0.088   0.012
#   scored, one block, frozen weights    7.194   0.746   0.088   0.012
#   trained, a block per pass            7.194   0.746   0.088   0.012
#   trained, one block                   7.194   7.194   7.194   7.194
