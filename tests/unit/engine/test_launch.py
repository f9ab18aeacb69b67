"""A stage that is launched in several processes is one stage: the first decides, the others help and leave nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stages.engine.launch import broadcast, private_folders, processes, rank

REPOSITORY = Path(__file__).resolve().parents[3]

# A stage whose units need every process: the sum of all ranks, which only a common call can give.
STAGE = """
import sys
from pathlib import Path
import torch
from torch import distributed
from stages.engine import stage as module
from stages.engine.launch import rank
from stages.engine.stage import Stage
from stages.engine.units import Unit

module.remembered_code_of = lambda name, memory: "code"  # this file is no part of the package

def add(unit, settings):
    total = torch.tensor(1.0 + rank())
    distributed.all_reduce(total)
    unit.scratch.mkdir(parents=True, exist_ok=True)
    state = unit.scratch / "state"
    state.write_text(str(rank()))
    unit.writes["sum"].write_text(f"{unit.name} {total:g}, by {state.read_text()}")
    return []

with Stage("add", Path("out")) as stage:
    stage.run(add, [Unit(name, {}, {"sum": Path("out", f"{name}.txt")}) for name in sys.argv[1:]])
"""


def launch(folder: Path, *units: str) -> str:
    (folder / "stage.py").write_text(STAGE)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "stage.py",
    ]
    done = subprocess.run(
        [*command, *units],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "VALARO_DEVICE": "cpu"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.slow
def test_two_processes_are_one_stage(tmp_path: Path) -> None:
    assert "add: 2 computed" in launch(tmp_path, "a", "b")
    assert (tmp_path / "out" / "a.txt").read_text() == "a 3, by 0"
    assert (tmp_path / "out" / "b.txt").read_text() == "b 3, by 0"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.txt", "b.txt", "notes.json"]
    said = launch(tmp_path, "a", "b", "c")
    assert said.count("add: 1 computed") == 1, "what is remembered isn't done again, and only one tells"
    assert (tmp_path / "out" / "c.txt").read_text() == "c 3, by 0"


def test_alone_there_is_nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert (rank(), processes()) == (0, 1)
    assert broadcast("as it is") == "as it is"


def test_a_helper_works_on_a_copy(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch" / "key"
    scratch.mkdir(parents=True)
    (scratch / "state").write_text("epoch 3")
    with private_folders(scratch, {"model": Path("models/m.safetensors")}) as (own, writes):
        assert (own / "state").read_text() == "epoch 3"
        assert own.name == "key"
        (own / "state").write_text("epoch 4")
        assert writes["model"].name == "m.safetensors"
    assert (scratch / "state").read_text() == "epoch 3"
    assert not own.exists()
