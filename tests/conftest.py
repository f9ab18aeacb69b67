"""What all tests share: where the optional real media lie, and the promise of a GPU."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


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
def cuda() -> str:
    """The CUDA device; without one the test is skipped, or fails where a GPU was promised."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if os.environ.get("VALARO_EXPECT_GPU") == "1":
        pytest.fail("VALARO_EXPECT_GPU=1, but torch sees no CUDA device")
    pytest.skip("no CUDA device; set VALARO_EXPECT_GPU=1 to make this a failure")
