#!/usr/bin/env bash
# OpenVINO drops arguments of PyTorch's softplus and round, if the model is converted from the module itself.
#
# Guess: `convert_model` translates an operation with all its arguments, or refuses it, as it does `nn.Softshrink`. It
# gives the same network from the module and an example as from `torch.export`.
# Behaviour: from the module, `Softplus(beta, threshold)` becomes softplus with a beta of 1 and a threshold of 20, and
# `torch.round(x, decimals=k)` rounds to whole numbers; there is neither an error nor a warning. From `torch.export`
# softplus is right and such a round refused. Softplus is what turns a network's output into a width or a rate: with a
# beta of 5, the width at 0 comes out five times as large, .69 instead of .14, while far above 0 all seems well.
# Exits 0 while it is so, 1 once it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --quiet --no-deps 'openvino==2026.4.1' 'packaging==26.3' 'numpy==1.26.4'
venv/bin/pip install --quiet --quiet 'torch==2.15.0' 2> pip.txt || { cat pip.txt; exit 1; }
cat > compare.py <<'END'
import numpy as np
import openvino
import torch


class Rounded(torch.nn.Module):
    def forward(self, values):
        return torch.round(values, decimals=2)


values = torch.tensor([-1.234, 0.0, 0.456, 8.0])


def run(graph):
    return openvino.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(values.numpy())[0]


def said(module):
    """PyTorch's values; the graph's from the module; the graph's from torch.export, None if refused."""
    traced = run(openvino.convert_model(module.eval(), example_input=values))
    try:
        exported = run(openvino.convert_model(torch.export.export(module, (values,))))
    except openvino.frontend.OpConversionFailure:
        exported = None
    return module(values).numpy(), traced, exported


def line(name, numbers):
    print(f"  {name:12}", "refused" if numbers is None else " ".join(f"{number:7.3f}" for number in numbers))


plain = torch.nn.functional.softplus(values).numpy()
print(f"OpenVINO {openvino.__version__.split('-')[0]}, torch {torch.__version__}")
line("input", values)
for module in (torch.nn.Softplus(), torch.nn.Softplus(beta=5), torch.nn.Softplus(beta=0.2), torch.nn.Softplus(threshold=0.4), Rounded()):
    right, traced, exported = said(module)
    print(module)
    for name, numbers in (("PyTorch", right), ("module", traced), ("torch.export", exported)):
        line(name, numbers)
    if isinstance(module, Rounded):
        assert np.allclose(right, np.round(values, 2)) and exported is None, "this has changed"
        assert np.allclose(traced, np.round(values)), "this has changed"
    else:
        assert np.allclose(traced, plain, atol=1e-5) and np.allclose(exported, right, atol=1e-5), "this has changed"
        assert np.allclose(traced, right, atol=1e-5) == (repr(module) == repr(torch.nn.Softplus())), "this has changed"
END
venv/bin/python -W ignore compare.py

# Seen on 2026-11-28:
# OpenVINO 2026.4.1, torch 2.15.0+cu132
#   input         -1.234   0.000   0.456   8.000
# Softplus(beta=1.0, threshold=20.0)
#   PyTorch        0.256   0.693   0.947   8.000
#   module         0.256   0.693   0.947   8.000
#   torch.export   0.256   0.693   0.947   8.000
# Softplus(beta=5, threshold=20.0)
#   PyTorch        0.000   0.139   0.475   8.000
#   module         0.256   0.693   0.947   8.000
#   torch.export   0.000   0.139   0.475   8.000
# Softplus(beta=0.2, threshold=20.0)
#   PyTorch        2.887   3.466   3.699   8.920
#   module         0.256   0.693   0.947   8.000
#   torch.export   2.887   3.466   3.699   8.920
# Softplus(beta=1.0, threshold=0.4)
#   PyTorch        0.256   0.693   0.456   8.000
#   module         0.256   0.693   0.947   8.000
#   torch.export   0.256   0.693   0.456   8.000
# Rounded()
#   PyTorch       -1.230   0.000   0.460   8.000
#   module        -1.000   0.000   0.000   8.000
#   torch.export refused
