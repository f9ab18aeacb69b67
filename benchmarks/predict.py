"""`valaro predict`, as people wait for it: a short clip, several, a long one; beside another checkout.

    git worktree add /tmp/before COMMIT && python benchmarks/predict.py --against /tmp/before
    python benchmarks/predict.py --against /tmp/before --minutes 10 --rounds 1

Processes in turns, from their start to their end, with the default outputs, by the same trained system
(`--system`, of `--models`), exported once; an earlier checkout reads it with the parameters of its own sample
profile. A first call of each, which makes graphs ready and compiles Python, isn't counted. `--minutes` adds a
recording of 1080p at 30 Hz, for the peak of memory; it takes many minutes for each checkout.
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

from corpus import CHECKOUT, film
from measure import arguments, before, machine, save
from memory import repeat

MANY = 14
TURN_S = 10.0
CLI = "from {0}.cli import app; app(prog_name='valaro')"


class Took(NamedTuple):
    """What a process took."""

    wall_s: float
    cores_s: float
    peak_mb: float


def call(checkout: Path, *words: str) -> Took:
    """One call of `valaro` in a checkout.

    Raises:
        SystemExit: it failed; with its last words.
    """
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # as installed: compiled once
    package = "valaro" if (checkout / "valaro").is_dir() else "stages"  # where an earlier one has it
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", CLI.format(package), *words],
            cwd=checkout,
            env=environment,
            stdout=said,
            stderr=said,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.perf_counter() - began
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{checkout}: {said.read().decode()[-3000:]}")
    return Took(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def systems(place: Path, models: str, system: str, against: Path | None) -> dict[str, tuple[Path, Path]]:
    """Checkout and folder of the system, by name."""
    call(CHECKOUT, "export-model", "--models", models, "--system", system, "--out", str(place / "now"))
    if against is None:
        return {"now": (CHECKOUT, place / "now")}
    for part in ("models", "metrics"):
        shutil.copytree(place / "now" / part, place / "before" / part)
    shutil.copyfile(against / "profiles/sample.yaml", place / "before/params.yaml")
    return {"before": (against, place / "before"), "now": (CHECKOUT, place / "now")}


def measured(
    ways: dict[str, tuple[Path, Path]], clips: list[Path], place: Path, system: str, rounds: int, warm: int
) -> dict[str, Took]:
    """Medians of what each checkout took for these clips."""
    took: dict[str, list[Took]] = {name: [] for name in ways}
    for turn in range(rounds + warm):
        for name, (checkout, models) in ways.items():
            out = place / f"out-{name}"
            shutil.rmtree(out, ignore_errors=True)
            options = ("--models", str(models), "--system", system, "--out", str(out))
            one = call(checkout, "predict", *map(str, clips), *options)
            took[name] += [one] if turn >= warm else []
    return {
        name: Took(*(statistics.median(column) for column in zip(*runs, strict=True)))
        for name, runs in took.items()
    }


def main() -> None:
    """Measure, print, and keep."""
    chosen = arguments(
        __doc__, against="", models="models", system="dynamic", rounds=3, many=MANY, minutes=0.0
    )
    os.environ["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", "1")
    place = Path(tempfile.mkdtemp())
    against = Path(chosen.against) if chosen.against else None
    ways = systems(place, str(Path(chosen.models).resolve()), chosen.system, against)
    film(place / "clip.mp4", 3.0)
    several = [place / f"clip{number}.mp4" for number in range(chosen.many)]
    for clip in several:
        shutil.copyfile(place / "clip.mp4", clip)
    cases = {"a clip of 3 s": ([place / "clip.mp4"], 1), f"{chosen.many} clips of 3 s": (several, 0)}
    if chosen.minutes:
        film(place / "short.mp4", TURN_S, 1920, 1080)
        repeat(place / "short.mp4", place / "long.mp4", max(1, round(chosen.minutes * 60 / TURN_S)))
        cases[f"{chosen.minutes:g} min of 1080p"] = ([place / "long.mp4"], 0)
    rows, said = [], []
    for label, (clips, warm) in cases.items():
        found = measured(ways, clips, place, chosen.system, chosen.rounds, warm)
        for name, took in found.items():
            rows.append(f"| {label} | {name} | {took.cores_s:.2f} | {took.wall_s:.2f} | {took.peak_mb:.0f} |")
        if "before" in found:
            less = [was / is_now for was, is_now in zip(found["before"], found["now"], strict=True)]
            said.append(
                f"- {label}: **{less[1]:.2f} x** less processor time, {less[0]:.2f} x less wall time, "
                f"{less[2]:.2f} x less memory"
            )
    save(
        chosen,
        "predict",
        "A recording from the command line",
        [
            f"640 x 480 at 30 Hz with sound, system {chosen.system}, default outputs; medians of "
            f"{chosen.rounds} calls in turns. {before(chosen.against)}{machine()}",
            "",
            "| | | processor s | wall s | peak MB |",
            "|---|---|---|---|---|",
            *rows,
            "",
            *said,
        ],
    )
    shutil.rmtree(place)


if __name__ == "__main__":
    main()
