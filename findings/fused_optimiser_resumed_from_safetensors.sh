#!/usr/bin/env bash
# PyTorch's fused optimisers on a processor: a run resumed from safetensors goes on wrongly, without a word.
#
# Guess: `AdamW(fused=True)` computes what `fused=False` does. Momentum that was written with safetensors, made
# contiguous first as its error asks for, and loaded with `load_state_dict` goes on as if nothing had been in between.
# Behaviour: the fused kernels for processors walk through parameter, gradient and momentum in the order in which each
# lies in memory, and don't compare strides. A convolution's weights in `channels_last` lie otherwise than the momentum
# that came back contiguous: every element is updated with another one's. No error, no warning; the loss just falls less
# well. Without `fused` the resumed run is the same to the bit. Adam, SGD and Adagrad have the same kernels.
# (On CUDA the fused step refuses tensors of unlike strides with a RuntimeError, by PyTorch's issues 106951 and 126585.)
# Exits 0 while it is so, 1 once it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --quiet 'torch==2.15.0' 'numpy==1.26.4' 'safetensors==0.8.0' 2> pip.txt || { cat pip.txt; exit 1; }
cat > resume.py <<'END'
import torch
from safetensors.torch import load_file, save_file


def train(steps, model, optimizer):
    for step in range(steps):
        torch.manual_seed(step)
        pictures = torch.randn(8, 3, 16, 16).to(memory_format=torch.channels_last)
        loss = (model(pictures) - pictures.mean(dim=1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def start(kind, fused):
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Tanh(), torch.nn.Conv2d(8, 1, 3, padding=1)]
    model = torch.nn.Sequential(*layers).to(memory_format=torch.channels_last)
    return model, optimiser(kind, fused, model)


def optimiser(kind, fused, model):
    momentum = {"momentum": 0.9} if kind is torch.optim.SGD else {}
    return kind(model.parameters(), lr=0.01, fused=fused, **momentum)


def written_and_read(state):
    flat = {f"{k}/{name}": value for k, own in state["state"].items() for name, value in own.items()}
    tensors = {name: value.contiguous() for name, value in flat.items() if isinstance(value, torch.Tensor)}
    save_file(tensors, "momentum.safetensors")
    back = load_file("momentum.safetensors")
    own = {k: {name: back.get(f"{k}/{name}", value) for name, value in each.items()} for k, each in state["state"].items()}
    return {"state": own, "param_groups": state["param_groups"]}


print(f"torch {torch.__version__}")
for kind in (torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD):
    for fused in (False, True):
        ends = []
        for resumed in (False, True):
            model, optimizer = start(kind, fused)
            train(5, model, optimizer)
            if resumed:
                state = written_and_read(optimizer.state_dict())
                optimizer = optimiser(kind, fused, model)
                optimizer.load_state_dict(state)
            train(5, model, optimizer)
            ends.append(torch.cat([part.detach().flatten() for part in model.parameters()]))
        difference = float((ends[0] - ends[1]).abs().max())
        print(f"{kind.__name__}, fused={fused}: resumed against run through, largest difference {difference:.1e}")
        assert (difference > 1e-3) if fused else (difference == 0), "this has changed"
END
venv/bin/python -W ignore resume.py

# Seen on 2026-11-28:
# torch 2.15.0+cu132
# AdamW, fused=False: resumed against run through, largest difference 0.0e+00
# AdamW, fused=True: resumed against run through, largest difference 7.0e-02
# Adam, fused=False: resumed against run through, largest difference 0.0e+00
# Adam, fused=True: resumed against run through, largest difference 7.0e-02
# SGD, fused=False: resumed against run through, largest difference 0.0e+00
# SGD, fused=True: resumed against run through, largest difference 4.7e-02
