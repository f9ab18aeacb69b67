"""What the benchmarks share: fair timing of several ways to do a thing, a report with the machine in it.

The ways take turns, so that a busy machine slows them all alike. The fastest call of each shows what it can
do, the median what it did. Ratios are of the fastest calls unless a report says otherwise.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"


@dataclass(frozen=True)
class Timing:
    """Seconds of every call of one way, the first (which warms up) left out.

    Args:
        calls_s: by the clock.
        cores_s: of processor time, all threads together, in this process and in those that it started and saw
            end (not in worker processes, which live on). What else the machine does isn't in it.
    """

    calls_s: list[float]
    cores_s: list[float]

    @property
    def fastest_s(self) -> float:
        """The fastest call."""
        return min(self.calls_s)

    @property
    def median_s(self) -> float:
        """The median call."""
        return statistics.median(self.calls_s)


def take_turns(
    ways: Mapping[str, Callable[[], Any]], rounds: int, wait: Callable[[], None] | None = None
) -> dict[str, Timing]:
    """Call every way once to warm up, then in turns.

    Args:
        ways: by name.
        rounds: timed calls of each.
        wait: called within the time of each call, e.g. until a GPU has really finished.
    """
    timings = {name: Timing([], []) for name in ways}
    for round_ in range(rounds + 1):
        for name, way in ways.items():
            began, busy = time.perf_counter(), sum(os.times()[:4])
            way()
            if wait:
                wait()
            if round_:
                timings[name].calls_s.append(time.perf_counter() - began)
                timings[name].cores_s.append(sum(os.times()[:4]) - busy)
    return timings


def machine(device: str = "cpu") -> str:
    """One line about where this was measured."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = os.environ.get("OMP_NUM_THREADS", "as many as the library takes")
    if policy := os.environ.get("OMP_WAIT_POLICY"):
        threads += f" ({policy} waiting)"
    load = os.getloadavg()[0]
    return (
        f"{_processor()}, {cores} core(s), OMP_NUM_THREADS {threads}, load {load:.1f}, "
        f"Python {platform.python_version()}; {_gpu(device)}."
    )


def before(against: str) -> str:
    """The commit of another checkout in a report; "" without one."""
    if not against:
        return ""
    command = ("git", "rev-parse", "--short", "HEAD")
    commit = subprocess.run(command, cwd=against, capture_output=True, text=True, check=True)
    return f"Before: commit {commit.stdout.strip()}. "


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def _gpu(device: str) -> str:
    if not device.startswith("cuda"):
        return "no GPU: nothing here was measured on one"
    import torch

    return f"GPU {torch.cuda.get_device_name(device)}, torch {torch.__version__}"


def table(timings: Mapping[str, Timing], items: int, unit: str) -> list[str]:
    """Markdown: a row per way, with items (frames, images ...) per second of the fastest call.

    Processor time is missing where the work is done by other processes.
    """
    lines = [f"| | {unit}/s | fastest, s | median, s | least processor time, s | calls, s |"]
    lines.append("|---|---|---|---|---|---|")
    for name, timing in timings.items():
        said = " ".join(f"{call:.3g}" for call in timing.calls_s)
        cores_s = min(timing.cores_s)
        cores = f"{cores_s:.3g}" if cores_s > timing.fastest_s / 10 else "-"
        rate = items / timing.fastest_s
        lines.append(
            f"| {name} | {rate:,.1f} | {timing.fastest_s:.3g} | {timing.median_s:.3g} | {cores} | {said} |"
        )
    return lines


def save(chosen: argparse.Namespace, name: str, title: str, lines: Sequence[str]) -> None:
    """Print a report, and keep it as <results>/<name>-<date>.md; on a GPU as <name>-cuda-<date>.md."""
    text = "\n".join([f"# {title}, {date.today().isoformat()}", "", *lines]) + "\n"
    print(text)
    place = "" if chosen.device == "cpu" else "-cuda"
    results = Path(chosen.results)
    results.mkdir(parents=True, exist_ok=True)
    (results / f"{name}{place}-{date.today().isoformat()}.md").write_text(text, encoding="utf-8")


def arguments(description: str | None, **defaults: int | float | str | None) -> argparse.Namespace:
    """The options of a benchmark: `--device`, `--results`, and one per default, of its type."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 (for what torch does)")
    parser.add_argument("--results", default=RESULTS, help=f"folder for the report ({RESULTS})")
    for option, default in defaults.items():
        kind = str if default is None else type(default)
        parser.add_argument(f"--{option.replace('_', '-')}", type=kind, default=default, help=f"({default})")
    return parser.parse_args()


def synchronise(device: str) -> Callable[[], None] | None:
    """What waits for a device; None where calls return finished."""
    if not device.startswith("cuda"):
        return None
    import torch

    return lambda: torch.cuda.synchronize(device)


def report_of(command: Sequence[str], **keywords: Any) -> dict[str, Any]:
    """What a process reports in its last line (JSON), and how long all of it took: `process_s`."""
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, **keywords)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed:\n{done.stderr[-2000:]}")
    report: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return report | {"process_s": time.perf_counter() - began}
