"""One stage at a time, and none that outlives the dvc that started it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from stages.core.errors import ValaroError
from stages.engine.lifetime import parents_of_this_stage, single_instance

pytestmark = pytest.mark.long

PATIENCE_S = 60

SLEEPER = "import time; print('up', flush=True); time.sleep(300)"

# A stage that says who its masters are, ends with them, and would otherwise sleep for minutes.
STAGE = """
import time
from stages.engine.lifetime import exit_with_parents, parents_of_this_stage
masters = parents_of_this_stage()
exit_with_parents(masters)
print("masters", *masters, flush=True)
time.sleep(300)
"""

# A stage whose two workers sleep; and one that tries something in a worker of its own, beside an idle one.
MAPPER = (
    "import time; from stages.engine.mapping import map_units; list(map_units(time.sleep, [300, 300], 2))"
)
LONER = (
    "import time; from stages.engine.crashes import call_in_own_process; call_in_own_process(time.sleep, 300)"
)

# `dvc` starts a stage, tells its process number, and waits.
DVC = """
import os, subprocess, sys
stage = subprocess.Popen({command!r}, env=dict(os.environ, DVC_STAGE="decode"))
print("stage", stage.pid, flush=True)
stage.wait()
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(repository: Path) -> Iterator[Start]:
    """Start a Python script in a session of its own; whatever is left of it ends with the test."""
    running: list[subprocess.Popen[str]] = []

    def begin(script: str | Path, **keywords: object) -> subprocess.Popen[str]:
        command = [sys.executable, *(["-c", script] if isinstance(script, str) else [str(script)])]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            cwd=repository,
            start_new_session=True,
            env=dict(os.environ, PYTHONPATH=str(repository)),
            **keywords,  # type: ignore[call-overload]
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        for member in psutil.process_iter():
            try:
                if os.getsid(member.pid) == process.pid:
                    member.kill()
            except (OSError, psutil.Error):
                continue
        process.communicate()


def fake_dvc(folder: Path, stage: str) -> Path:
    """A program called dvc, with the stage as its child."""
    path = folder / "dvc"
    path.write_text(DVC.format(command=[sys.executable, "-c", stage]))
    return path


def numbers(process: subprocess.Popen[str], word: str) -> list[int]:
    """The process numbers on the next line that starts with `word`."""
    assert process.stdout
    for line in process.stdout:
        if line.startswith(word):
            return [int(text) for text in line.split()[1:]]
    raise AssertionError(f"it ended without saying {word!r}")


def wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, f"process {pid} lives on"
        time.sleep(0.05)


def test_without_dvc_a_stage_has_no_master(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_STAGE", raising=False)
    assert parents_of_this_stage() == []


def test_dvc_and_the_parent_are_masters(start: Start, tmp_path: Path) -> None:
    dvc = start(fake_dvc(tmp_path, STAGE))
    (stage,) = numbers(dvc, "stage")
    assert numbers(dvc, "masters") == [dvc.pid, dvc.pid]
    dvc.kill()
    wait_for_end(stage)


def test_dvc_behind_a_shell(start: Start, tmp_path: Path) -> None:
    """Some shells stay between dvc and the command."""
    (tmp_path / "stage.py").write_text(STAGE)
    dvc = tmp_path / "dvc"
    command = ["/bin/sh", "-c", f"{sys.executable} {tmp_path / 'stage.py'}; true"]
    dvc.write_text(DVC.format(command=command))
    process = start(dvc)
    (shell,) = numbers(process, "stage")
    assert numbers(process, "masters") == [shell, process.pid]
    (stage,) = psutil.Process(shell).children()
    process.kill()
    wait_for_end(stage.pid)


def test_a_program_that_calls_dvc_as_a_library_is_a_master(start: Start) -> None:
    program = start(DVC.format(command=[sys.executable, "-c", STAGE]))
    (stage,) = numbers(program, "stage")
    assert numbers(program, "masters") == [program.pid]
    program.kill()
    wait_for_end(stage)


@pytest.mark.parametrize("shell", [False, True])
def test_a_stage_whose_dvc_died_while_it_was_importing_does_nothing(
    start: Start, tmp_path: Path, shell: bool
) -> None:
    late = f"import time; print('importing', flush=True); time.sleep(2)\n{STAGE}"
    (tmp_path / "late.py").write_text(late)
    dvc = fake_dvc(tmp_path, late)
    if shell:
        command = ["/bin/sh", "-c", f"{sys.executable} {tmp_path / 'late.py'}; true"]
        dvc.write_text(DVC.format(command=command))
    process = start(dvc)
    (stage,) = numbers(process, "stage")
    numbers(process, "importing")
    process.kill()
    wait_for_end(stage)
    assert process.stdout
    assert "masters" not in process.stdout.read()


@pytest.mark.parametrize("stage_code", [MAPPER, LONER], ids=["at work", "one idle"])
@pytest.mark.parametrize("later_s", [0.0, 2.0], ids=["while they begin", "later"])
def test_workers_end_with_their_stage(start: Start, stage_code: str, later_s: float) -> None:
    stage = start(stage_code)
    deadline = time.monotonic() + PATIENCE_S
    while (
        len(children := psutil.Process(stage.pid).children(recursive=True)) < 3
    ):  # two, and their accountant
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(later_s)
    stage.kill()
    for child in children:
        wait_for_end(child.pid)


def test_a_master_that_is_gone_already_ends_us(start: Start) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    late = start(
        f"import time; from stages.engine.lifetime import exit_with_parents; exit_with_parents([{gone.pid}]); time.sleep(300)"
    )
    assert late.wait(PATIENCE_S) == 1


HOLDER = """
import sys, time
from pathlib import Path
from stages.engine.lifetime import single_instance
with single_instance(Path(sys.argv[1])):
    print("up", flush=True)
    time.sleep(300)
"""


def test_a_second_run_waits_and_then_says_so(start: Start, tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "decode"
    holder = start(HOLDER.replace("sys.argv[1]", repr(str(lock))))
    numbers(holder, "up")
    begun = time.monotonic()
    with (
        pytest.raises(ValaroError, match="decode: this stage is already running here"),
        single_instance(lock, 0.5),
    ):
        raise AssertionError("two at once")
    assert time.monotonic() - begun >= 0.5
    holder.kill()
    with single_instance(lock, PATIENCE_S):
        pass


def test_a_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), single_instance(tmp_path / "lock", 0.0):
            raise ZeroDivisionError


LEAVER = """
import atexit, tempfile, threading, time
from stages.engine.lifetime import leave
from stages.engine.mapping import map_units

class Kept:
    def __del__(self):
        print("taken apart")

kept = Kept()
folder = tempfile.TemporaryDirectory()
print(folder.name)
atexit.register(print, "registered")
print(*sorted(map_units(abs, [-1, -2], 2)))
threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
leave()
print("still here")
"""


def test_a_process_leaves_when_all_that_is_due_is_done(start: Start) -> None:
    process = start(LEAVER)
    folder, *said = process.communicate(timeout=PATIENCE_S)[0].splitlines()
    assert said == ["1 2", "thread", "registered"]
    assert process.returncode == 0
    assert not Path(folder).exists()
