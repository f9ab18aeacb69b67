"""A long night: SIGKILL of the stage, a worker or the whole group at random moments, two runs at once, many units."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import psutil
import pytest

from stages.core.artefacts import PARTIAL, files_of, read_json
from stages.engine.fingerprint import md5_of

NIGHT = Path(__file__).with_name("night.py")
CLOSING = Path(__file__).with_name("closing.py")
REPOSITORY = NIGHT.parents[2]
PATIENCE_S = 300


def start(folder: Path, units: int, jobs: int) -> subprocess.Popen[str]:
    """Begin a night in a folder, in a session of its own."""
    paths = os.pathsep.join([str(REPOSITORY), str(NIGHT.parent)])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DVC_")}
    return subprocess.Popen(
        [sys.executable, str(NIGHT), str(units), str(jobs)],
        cwd=folder,
        env=environment | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def end(process: subprocess.Popen[str]) -> str:
    """Its output, once it has ended with success."""
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, output
    return output


def digests(folder: Path) -> dict[str, str]:
    """MD5 of every artefact."""
    return {path.name: md5_of(path) for path in files_of(folder / "out") if path.suffix == ".h5"}


def computed(output: str) -> int:
    """Units computed, by the closing line."""
    (number,) = re.findall(r"night: (\d+) computed in", output)
    return int(number)


@pytest.fixture(scope="module")
def peaceful(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What 24 units give in an undisturbed run."""
    folder = tmp_path_factory.mktemp("peaceful")
    assert computed(end(start(folder, 24, 1))) == 24
    return digests(folder)


def complete(folder: Path) -> None:
    """No name of an artefact shows anything but a whole file."""
    for path in files_of(folder / "out") if (folder / "out").is_dir() else []:
        if path.suffix == ".h5" and not path.name.startswith(PARTIAL):
            with h5py.File(path, "r") as file:
                assert file["a"].shape == (20_000,), path


def remembered(folder: Path) -> list[Path]:
    """The memo's records, without those that a kill left unfinished."""
    records = files_of(folder / ".valaro" / "memo") if (folder / ".valaro" / "memo").is_dir() else []
    return [path for path in records if not path.name.startswith(PARTIAL)]


def worker(folder: Path, process: subprocess.Popen[str]) -> int | None:
    """A living worker of a night, which isn't the stage itself."""
    pids = (
        [int(path.name) for path in (folder / "workers").glob("*")] if (folder / "workers").is_dir() else []
    )
    living = [pid for pid in pids if pid != process.pid and psutil.pid_exists(pid)]
    return random.Random(len(pids)).choice(living) if living else None


def disturb(folder: Path, victim: str, after_s: float) -> None:
    """Kill a process some time after the first unit is at work; leave no process behind."""
    (folder / "log").unlink(missing_ok=True)
    process = start(folder, 24, 2)
    deadline = time.monotonic() + PATIENCE_S
    while not (folder / "log").exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(after_s)
    if victim == "worker":
        if (pid := worker(folder, process)) is not None:
            os.kill(pid, signal.SIGKILL)
        end(process)  # the others, and new workers, do its work
        return
    (os.killpg if victim == "group" else os.kill)(process.pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE_S)
    complete(folder)


def survive(folder: Path, peaceful: dict[str, str], moments: int, seed: int) -> None:
    """Kill and restart a run again and again, with part of its memo removed; it must end as an undisturbed one."""
    rng = random.Random(seed)
    for _ in range(moments):
        victim = rng.choice(["stage", "worker", "group"])
        disturb(folder, victim, rng.uniform(0, 0.6))
        finished = len(remembered(folder))
        output = end(start(folder, 24, 2))
        assert computed(output) <= 24 - finished, "what is finished isn't computed again"
        assert digests(folder) == peaceful
        assert not list((folder / "out").glob(f"{PARTIAL}*"))
        assert read_json(folder / "out" / "notes.json") == [], "nobody is blamed"
        for record in rng.sample(remembered(folder), 12):
            record.unlink()  # something to do for the next time


def test_a_few_random_kills(tmp_path: Path, peaceful: dict[str, str]) -> None:
    survive(tmp_path, peaceful, 3, seed=1)


@pytest.mark.slow
def test_fifty_random_kills(tmp_path: Path, peaceful: dict[str, str]) -> None:
    survive(tmp_path, peaceful, 50, seed=2)


def test_a_killed_worker_costs_at_most_what_was_in_flight(tmp_path: Path, peaceful: dict[str, str]) -> None:
    disturb(tmp_path, "worker", 0.1)
    assert digests(tmp_path) == peaceful
    starts = (tmp_path / "log").read_text().split()
    assert len(starts) <= 24 + 2, "two workers, two units"


@pytest.mark.parametrize("number", [0, 1])
def test_a_worker_killed_at_the_very_end_holds_nobody_up(number: int) -> None:
    """It held the lock of the workers' queue, for which the other one would wait for ever."""
    command = [sys.executable, str(CLOSING), str(number)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S / 5)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "killed\n"


def test_two_runs_at_once_take_turns(tmp_path: Path, peaceful: dict[str, str]) -> None:
    first, second = start(tmp_path, 24, 1), start(tmp_path, 24, 1)
    outputs = [end(first), end(second)]
    assert sorted(map(computed, outputs)) == [0, 24]
    assert digests(tmp_path) == peaceful


@pytest.mark.slow
def test_a_thousand_units_leave_nothing_behind(tmp_path: Path) -> None:
    """Memory and open files stay flat, no process is left over, and the log is a few lines."""
    process = start(tmp_path, 1000, 2)
    stage = psutil.Process(process.pid)
    seen: list[tuple[int, int]] = []
    while process.poll() is None:
        try:
            family = [stage, *stage.children(recursive=True)]
            assert all(member.status() != psutil.STATUS_ZOMBIE for member in family[1:])
            files = sum(member.num_fds() for member in family)
            seen.append((sum(member.memory_info().rss for member in family), files))
        except psutil.Error:
            pass
        time.sleep(0.5)
    output = end(process)
    assert computed(output) == 1000
    assert len(output.splitlines()) < 12
    settled: Any = seen[len(seen) // 4 :]
    half = len(settled) // 2
    for what, slack in ((0, 40 << 20), (1, 10)):
        early, late = (max(row[what] for row in part) for part in (settled[:half], settled[half:]))
        assert late <= early + slack, f"{early} -> {late}"
