"""A stage over many small units, to be killed: python tests/faults/night.py UNITS JOBS [LIMIT_S]."""

import os
import sys
import time
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from stages.core.artefacts import write_arrays
from stages.core.notes import Note
from stages.engine import stage as module
from stages.engine.stage import Stage
from stages.engine.units import Unit


class Settings(BaseModel):
    """None."""


def dream(unit: Unit, _settings: Settings) -> list[Note]:
    """Write an array that follows from the input, slowly; and this process's number, for whoever kills it."""
    Path("workers", str(os.getpid())).touch()
    with Path("log").open("a") as log:
        log.write(f"{unit.name}\n")
    time.sleep(0.02)
    rng = np.random.default_rng(list(unit.reads["seed"].read_bytes()))
    write_arrays(unit.writes["arrays"], {"a": rng.normal(size=20_000)})
    time.sleep(0.02)
    return []


def main(units: int, jobs: int) -> None:
    """Run the stage in the working folder."""
    module.remembered_code_of = lambda _name, _memory: "code"
    for folder in ("in", "workers"):
        Path(folder).mkdir(exist_ok=True)
    names = [f"u{k:04d}" for k in range(units)]
    for name in names:
        if not Path("in", name).is_file():
            Path("in", name).write_text(name)
    work = [Unit(n, {"seed": Path("in", n)}, {"arrays": Path("out", f"{n}.h5")}) for n in names]
    with Stage("night", Path("out")) as stage:
        stage.run(dream, work, Settings(), jobs=jobs)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    from night import main as run  # under a name that means the same in the workers

    run(int(sys.argv[1]), int(sys.argv[2]))
