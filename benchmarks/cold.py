"""A whole `dvc repro` of the sample corpus from nothing, beside that of another commit, in turns.

    python benchmarks/cold.py --against COMMIT [--rounds 1]

Each run is in a clean clone with a cache of its own, in the environment of this Python: what setting it up
takes isn't counted. Nothing else should run: the stages share all cores, and a run takes many minutes.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from corpus import CHECKOUT
from measure import arguments, machine, save


class Took(NamedTuple):
    """What a run took."""

    wall_s: float
    cores_s: float


def run(*command: str, folder: Path) -> None:
    """A command there, with this Python and that folder's code first.

    Raises:
        SystemExit: it failed; with its last words.
    """
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder),
        "DVC_NO_ANALYTICS": "1",
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # as the Makefile: else each stage compiles its code
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")


def cold(commit: str) -> Took:
    """Clone a commit, forget what its pipeline once gave, and run it."""
    place = Path(tempfile.mkdtemp())
    clone = place / "clone"
    run("git", "clone", "--quiet", "--shared", str(CHECKOUT), str(clone), folder=place)
    run("git", "checkout", "--quiet", "--detach", commit, folder=clone)
    for lock in ("dvc.lock", "data/sample/dvc.lock"):
        (clone / lock).unlink(missing_ok=True)
    wall, cores = time.perf_counter(), sum(os.times()[2:4])
    run("dvc", "repro", folder=clone)
    took = Took(time.perf_counter() - wall, sum(os.times()[2:4]) - cores)
    shutil.rmtree(place)
    return took


def main() -> None:
    """Compare, print, and keep."""
    chosen = arguments(__doc__, against="HEAD", rounds=1)
    commits = {"before": chosen.against, "now": "HEAD"}
    took: dict[str, list[Took]] = {name: [] for name in commits}
    for _ in range(chosen.rounds):
        for name, commit in commits.items():
            took[name].append(cold(commit))
            print(name, took[name][-1], flush=True)
    medians = {
        name: [statistics.median(each) for each in zip(*runs, strict=True)] for name, runs in took.items()
    }
    shares = [now / before for before, now in zip(medians["before"], medians["now"], strict=True)]
    save(
        chosen,
        "cold",
        "The sample's pipeline from nothing",
        [
            f"`dvc repro` in a clean clone, set-up excluded; medians of {chosen.rounds} run(s) of each in "
            f"turns. Before: commit {chosen.against}. {machine()}",
            "",
            "| | wall, s | processor time, s |",
            "|---|---|---|",
            *(f"| {name} | {wall:.0f} | {cores:.0f} |" for name, (wall, cores) in medians.items()),
            "",
            f"- now takes **{shares[0]:.0%}** of the time, and {shares[1]:.0%} of the processor time",
        ],
    )


if __name__ == "__main__":
    main()
