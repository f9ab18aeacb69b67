"""A tiny corpus, generated once for all tests of this folder."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from data.sample.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session", autouse=True)
def importable() -> Iterator[None]:
    """The generator belongs to the repository, not to the installed package."""
    sys.path.insert(0, str(REPOSITORY))
    yield
    sys.path.remove(str(REPOSITORY))


@pytest.fixture(scope="session")
def full_settings(importable: None) -> "Settings":
    """The committed settings."""
    from data.sample.settings import load_settings

    return load_settings(REPOSITORY / "data" / "sample" / "params.yaml")


@pytest.fixture(scope="session")
def settings(full_settings: "Settings") -> "Settings":
    """The committed settings, but few and short clips."""
    counts = {"train": 2, "validation": 2, "test": 2}
    small = {"clips_per_split": counts, "clip_s": (4, 4.3), "frame_px": (320, 272), "workers": 1}
    small["face_width_px"] = (100, 120)
    return type(full_settings).model_validate(full_settings.model_dump() | small)


@pytest.fixture(scope="session")
def sample(settings: "Settings", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with corpus/ and truth/."""
    from data.sample.generate import generate

    out = tmp_path_factory.mktemp("sample")
    generate(settings, out)
    return out
