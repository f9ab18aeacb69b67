"""`import valaro`: what it takes, and what is found in it."""

import subprocess
import sys
from pathlib import Path

import pytest

import valaro

HEAVY = {
    "torch",
    "numpy",
    "pandas",
    "matplotlib",
    "cv2",
    "av",
    "mediapipe",
    "typer",
    "pydantic",
    "stages.core",
}


def test_importing_it_imports_nothing_heavy(repository: Path) -> None:
    code = f"import sys, valaro; print(*(set({HEAVY}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_every_public_name_is_there_and_documented() -> None:
    for name in valaro.__all__:
        assert getattr(valaro, name) is not None
        assert name in dir(valaro)
    assert all(getattr(valaro, name).__doc__ for name in valaro.__all__ if name != "__version__")


def test_names_for_people_and_for_type_checkers_are_the_same(repository: Path) -> None:
    """What `if TYPE_CHECKING` imports is what the names are found by."""
    text = (repository / "valaro/__init__.py").read_text(encoding="utf-8")
    block = text.split("if TYPE_CHECKING:\n")[1].split("\n\n")[0]
    stated = {
        (name.strip(), line.split()[1])
        for line in block.splitlines()
        for name in line.split(" import ")[1].split(",")
    }
    assert stated == set(valaro._HOMES.items())
    assert {*valaro._HOMES, "__version__"} == {*valaro.__all__}


def test_another_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="pridict"):
        _ = valaro.pridict


def test_the_errors_are_one_family() -> None:
    assert issubclass(valaro.BadInput, valaro.ValaroError)
