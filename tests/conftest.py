"""What all tests share: where the optional real media and reference outputs lie, and whether a GPU must be there."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: further threads would only wait
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# Worker processes import the test modules, whose functions they are given: they get this process's path.
sys.path.insert(0, str(REPOSITORY))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout under test."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real media and oracles: VALARO_SHARED, else the folder `shared` beside the checkout."""
    folder = Path(os.environ.get("VALARO_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no real media at {folder}; VALARO_SHARED names a folder with media, golden, weights")
    return folder


@pytest.fixture(scope="session")
def audio_checkpoint(shared: Path) -> Callable[[str], dict[str, Any]]:
    """The state dict behind the golden outputs of one of the authors' audio models."""
    authors = json.loads((shared / "golden/audio_keys.json").read_text())
    return lambda version: drawn(authors["keys"][version], authors["seed"][version])


def drawn(shapes: dict[str, list[int]], seed: int) -> dict[str, Any]:
    """Tensors by their names and shapes: one stream, names in sorted order, as the golden README says."""
    import torch

    rng, state = np.random.default_rng(seed), {}
    for key, shape in sorted(shapes.items()):
        if key.endswith(".pe"):
            continue
        if key.endswith("num_batches_tracked"):
            state[key] = torch.zeros((), dtype=torch.long)
            continue
        if key.endswith("running_var"):
            values = rng.uniform(0.75, 1.25, shape)
        elif key.endswith("running_mean"):
            values = 0.05 * rng.standard_normal(shape)
        elif key.endswith("original0"):
            values = 1 + 0.1 * rng.standard_normal(shape)
        elif len(shape) >= 2:
            values = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        else:
            centre, spread = (1, 0.1) if key.endswith("weight") else (0, 0.05)
            values = centre + spread * rng.standard_normal(shape)
        state[key] = torch.from_numpy(np.asarray(values, np.float32))
    return state


@pytest.fixture(scope="session")
def cuda() -> str:
    """The CUDA device; without one the test is skipped, or fails where a GPU was promised."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if os.environ.get("VALARO_EXPECT_GPU") == "1":
        pytest.fail("VALARO_EXPECT_GPU=1, but torch sees no CUDA device")
    pytest.skip("no CUDA device; set VALARO_EXPECT_GPU=1 to make this a failure")


@pytest.fixture
def disk() -> Iterator[Callable[[Path, str], Path]]:
    """Mount a small disk of its own at an empty folder; the test is skipped where nobody may mount."""
    mounted: list[Path] = []

    def mount(folder: Path, size: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("mounting a small file system needs root")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
