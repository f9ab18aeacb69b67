"""On a processor no trained system needs PyTorch, nor what architectures are built from."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stages.core.systems import FUSIONS, SYSTEMS

from .conftest import record

pytestmark = pytest.mark.timeout(3600)  # every graph of every system is made first
HEAVY = {"torch", "torchvision", "timm", "transformers", "accelerate"}
SCRIPT = f"""
import json, sys
from valaro.cli import app
models, clip, out, *systems = sys.argv[1:]
found = {{}}
for system in systems:
    try:
        app(["predict", clip, "--models", models, "--system", system, "--out", f"{{out}}/{{system}}"])
    except SystemExit as end:
        found[system] = [end.code or 0, sorted({HEAVY} & set(sys.modules))]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[object]]:
    """Exit code, and what is imported by then, of every system in turn; their graphs are made before."""
    out = tmp_path_factory.mktemp("out")
    clip, place = record(out / "clip.mp4"), {"XDG_CACHE_HOME": str(out / "cache"), "VALARO_DEVICE": "cpu"}
    for turn in ("exports", "finds"):
        arguments = [str(trained / "models"), str(clip), str(out / turn), *SYSTEMS, *FUSIONS]
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *arguments],
            cwd=trained,
            env=os.environ | place,
            capture_output=True,
            text=True,
            check=True,
        )
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("system", [*SYSTEMS, *FUSIONS])
def test_a_system_runs_without_pytorch(found: dict[str, list[object]], system: str) -> None:
    assert found[system] == [0, []]
