"""SIGKILL at any moment: run again, and the artefacts are those of a run that nobody killed."""

import io
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import h5py
import pytest
import soundfile

from stages.core.artefacts import files_of

LINGER_S = 0.15  # a kill comes up to this long after its moment

Victim = Literal["group", "dvc", "dvc, and the next run comes at once"]
Moment = tuple[str, int, Victim]
"""The stage that is killed, how many results it has added by then (0: it is starting), and who is killed."""


class Watcher(threading.Thread):
    """Reads every artefact it can see, again and again, and remembers which ones weren't whole."""

    def __init__(self, folders: list[Path]) -> None:
        super().__init__(daemon=True)
        self._folders, self._ending = folders, threading.Event()
        self.broken: list[str] = []
        self.read = 0

    def run(self) -> None:
        """Look until told to end."""
        while not self._ending.wait(0.03):
            for path in [path for folder in self._folders for path in folder.glob("[!.]*.*")]:
                try:
                    content = io.BytesIO(path.read_bytes())
                except FileNotFoundError:
                    continue  # DVC removes outputs before it runs their stage
                try:
                    if path.suffix == ".h5":
                        with h5py.File(content, "r") as file:
                            self.read += len([file[name][()] for name in file])
                    elif path.suffix in (".wav", ".flac"):
                        self.read += len(soundfile.read(content))
                except (OSError, RuntimeError) as error:
                    self.broken.append(f"{path.name}: {error}")

    def end(self) -> None:
        """Look no more."""
        self._ending.set()
        self.join()


@contextmanager
def watched(*folders: Path) -> Iterator[None]:
    """Watch folders for the length of the block; fail if a name ever showed an unfinished file."""
    watcher = Watcher(list(folders))
    watcher.start()
    try:
        yield
    finally:
        watcher.end()
    assert watcher.broken == []
    assert watcher.read


def killed(project: Any, command: tuple[str, ...], moment: Moment, rng: random.Random) -> int:
    """Start a run, and kill it at the moment; the session it ran in."""
    stage, added, victim = moment
    before = len(project.remembered(stage))
    with project.start(*command, stdout=subprocess.DEVNULL) as run:

        def come() -> bool:
            finished = len(project.remembered(stage)) - before
            there = project.named(run.pid, f"stages.{stage}") if added == 0 else finished >= added
            return bool(there) or run.poll() is not None

        project.wait_until(come, f"{moment} never came")
        time.sleep(rng.uniform(0, LINGER_S))
        assert run.poll() is None, f"it ended before {moment}"
        (os.killpg if victim == "group" else os.kill)(run.pid, signal.SIGKILL)
    if victim != "dvc, and the next run comes at once":
        project.wait_until(lambda: not project.members(run.pid), "a process outlives its dvc")
    assert len(project.remembered(stage)) >= before + added, "what was finished is kept"
    return int(run.pid)


def survive(project: Any, command: tuple[str, ...], moments: list[Moment], seed: int) -> str:
    """Kill run after run, then let one come to its end; what that printed."""
    rng = random.Random(seed)
    sessions = [killed(project, command, moment, rng) for moment in moments]
    output: str = project.run(*command)
    project.wait_until(lambda: not any(map(project.members, sessions)), "a process outlives its dvc")
    assert project.lost() == []
    return output


@pytest.fixture
def untouched(project: Any) -> Any:
    """A project in which nothing has run yet."""
    for folder in (".valaro", ".dvc/cache", ".dvc/tmp", "data", "models", "metrics"):
        shutil.rmtree(project / folder)
    project.git("checkout", "--", "data", "models", "metrics")
    project.set({"compute": {"jobs": 2}})
    return project


IN_TURN: list[Moment] = [
    ("decode", 0, "dvc"),
    ("decode", 2, "group"),
    ("faces", 1, "dvc, and the next run comes at once"),
]
ONE_BY_ONE: list[Moment] = [
    (stage, added, victim)
    for stage, added in (("decode", 0), ("decode", 3), ("faces", 0), ("faces", 3))
    for victim in ("group", "dvc", "dvc, and the next run comes at once")
]


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param(IN_TURN, id="in turn"),
        *(pytest.param([one], id=" ".join(map(str, one)), marks=pytest.mark.slow) for one in ONE_BY_ONE),
    ],
)
def test_decode_and_faces(untouched: Any, finished: Any, moments: list[Moment]) -> None:
    folders = ("data/index", "data/decode", "data/faces")
    with watched(*(untouched / folder for folder in folders)):
        survive(untouched, ("dvc", "repro", "faces"), moments, seed=len(str(moments)))
    assert untouched.digests(*folders) == finished.digests(*folders)
    assert untouched.git("status", "--porcelain", "dvc.lock") == ""


@pytest.mark.slow
def test_embed(project: Any, finished: Any) -> None:
    for path in files_of(project / ".valaro/memo/embed"):
        path.unlink()
    command = ("dvc", "repro", "--force", "--single-item", "--no-run-cache", "embed")
    moments: list[Moment] = [
        ("embed", 0, "dvc"),
        ("embed", 2, "group"),
        ("embed", 0, "dvc, and the next run comes at once"),  # what is left takes moments
    ]
    with watched(project / "data/embeddings"):
        survive(project, command, moments, seed=5)
    assert project.digests("data/embeddings") == finished.digests("data/embeddings")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "section", "changes"),
    [
        ("finetune@test_resnet", "finetune", {}),
        ("train_dynamic", "dynamic", {}),
        ("train_audio@v3", "audio", {}),
        ("train_audio@v3", "audio", {"compare": ["v1", "v3"], "versions": {"v1": {"heads": [2, 2]}}}),
        ("train_cross_attention", "cross_attention", {}),
    ],
)
def test_a_training_goes_on_where_it_was(
    project: Any, target: str, section: str, changes: dict[str, Any]
) -> None:
    """The fourth one beside another (compute.trainings_at_once is null); both go on."""
    stage = target.partition("@")[0]
    project.set({section: {"optimisation": {"epochs": 6, "patience": 6}, **changes}})
    command = ("dvc", "repro", "--single-item", "--no-run-cache", target)
    told = 6 * len(changes.get("compare", ["one"]))
    assert project.run(*command).count(": epoch ") == told
    before = project.digests("models", "metrics")
    for folder in (f".valaro/memo/{stage}", f".valaro/scratch/{stage}"):
        shutil.rmtree(project / folder, ignore_errors=True)
    with project.start(*command, "--force") as run:
        next(line for line in run.stdout if ": epoch 3" in line)
        os.killpg(run.pid, signal.SIGKILL)
        run.stdout.read()
    assert files_of(project / ".valaro/scratch" / stage), "its state waits for the next run"
    assert project.run(*command, "--force").count(": epoch ") == told, "past epochs are told again"
    assert project.digests("models", "metrics") == before
    assert not (project / ".valaro/scratch" / stage).is_dir() or not files_of(
        project / ".valaro/scratch" / stage
    )
