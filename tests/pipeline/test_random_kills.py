"""SIGKILL of anybody at random moments of the real stages, again and again: the end is that of a quiet run.

    VALARO_KILLS=4 VALARO_KILL_SEED=7 pytest -rP tests/pipeline/test_random_kills.py

kills so many a stage (default 1), at the moments that this seed draws (default: new ones every time; the seed
is printed).
"""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.core.artefacts import PARTIAL, files_of
from stages.engine.fingerprint import md5_of
from stages.engine.runlog import history
from stages.training.run_state import STATE_FILE

KILLS = int(os.environ.get("VALARO_KILLS", "1"))
SEED = int(os.environ.get("VALARO_KILL_SEED", time.time_ns() % 2**32))
CLIPS = 10
CLIP_S = tuple(k / 25 for k in range(60))
WORKER = "joblib.externals.loky.backend.popen_loky_posix"
TARGETS = (
    *("index", "decode", "faces", "mouth", "voice", "speech", "embed", "predict", "smooth"),
    *("finetune@test_resnet", "train_dynamic", "kelm", "train_audio@v3"),
    "train_cross_attention",
)
LONGER: dict[str, Any] = {
    "finetune": {"optimisation": {"epochs": 10, "patience": 10}},
    "dynamic": {"optimisation": {"epochs": 30, "patience": 30}},
    "kelm": {"c": [0.1, 1, 10, 100], "gamma_scale": [0.1, 0.3, 1, 3], "folds": 3},
    "audio": {"optimisation": {"epochs": 10, "patience": 10}},
    "cross_attention": {"optimisation": {"epochs": 30, "patience": 30}},
    "compute": {"jobs": 2},
}
"""Trainings that take a few seconds, and two workers where there are any."""

OUTSIDE = "data", "models", "metrics"


@pytest.fixture(scope="module")
def quiet(code: Any, duplicate: Any, film: Callable[..., Path], tmp_path_factory: Any) -> Any:
    """A repository in which the pipeline has run on some clips, undisturbed; for reading only."""
    repository = duplicate(code, tmp_path_factory.mktemp("quiet"))
    for k in range(CLIPS):
        clip = film(f"clip{k}.mp4", hue=17 * k, times_s=CLIP_S)
        repository.lay(clip, "Validation" if k % 3 == 2 else "Train", rows=len(CLIP_S))
    repository.set(LONGER | {"index": {"test_list": None}})
    repository.dvc("add", "--quiet", "corpus")
    repository.dvc("repro", "smooth")
    repository.commit("The results")
    return repository


class Ordeal:
    """A stage in a copy of the quiet repository, and what must hold whatever happens to it.

    Args:
        project: the copy.
        target: as dvc knows the stage.
    """

    def __init__(self, project: Any, target: str) -> None:
        self.project, self.target = project, target
        self.stage = target.partition("@")[0]
        self.command = ("dvc", "repro", "--force", "--single-item", "--no-run-cache", target)
        self.rng = random.Random(f"{SEED} {target}")
        self.wanted = self.visible()
        runs = history(project / ".valaro")
        self.work_s = sum(of_kind[-1].wall_s for (stage, _), of_kind in runs.items() if stage == self.stage)
        self.units = len(project.remembered(self.stage))
        self._finished: dict[Path, tuple[int, int]] = {}
        self._epochs: dict[Path, int] = {}

    def forget(self) -> None:
        """Let half of what is finished be done again."""
        records = self.project.remembered(self.stage)
        for record in self.rng.sample(records, -(-len(records) // 2)):
            record.unlink()
            self._finished.pop(record, None)
        self._epochs.clear()

    def moment(self) -> tuple[str, float]:
        """While the stage starts, works, or after it (dvc commits its outputs); and how much later."""
        phase = self.rng.choices(["start", "work", "end"], [1, 6, 1])[0]
        span_s = {"start": 2.0, "work": self.work_s, "end": 0.3}[phase]
        return phase, self.rng.uniform(0, span_s)

    def victim(self, phase: str) -> str:
        """Who dies.

        A worker only where no unit is under suspicion since an earlier kill: it would be tried alone, and
        set aside if it took a second process with it, as it should.
        """
        suspects = self.project / ".valaro/at work" / self.stage
        if phase == "end":
            return self.rng.choice(["dvc", "group"])
        if phase == "work" and not (suspects.is_dir() and files_of(suspects)):
            return self.rng.choice(["stage", "worker", "group", "dvc"])
        return self.rng.choice(["stage", "group", "dvc"])

    def watch(self) -> None:
        """No epoch is computed twice: the state that a run resumes from only grows."""
        with suppress(FileNotFoundError):  # none yet, or the training has ended
            for state in (self.project / ".valaro/scratch" / self.stage).rglob(STATE_FILE):
                epochs = len(torch.load(state, weights_only=True)["history"])
                assert epochs >= self._epochs.get(state, 0), "a past epoch was computed again"
                self._epochs[state] = epochs

    def kill(self) -> str | None:
        """Start a run and kill somebody; who and when, or None if it was over before."""
        phase, later_s = self.moment()
        who = self.victim(phase)
        past = set(self.hidden())
        with self.project.start(*self.command, stdout=subprocess.DEVNULL) as run:
            self._wait_for(phase, run, past)
            until = time.monotonic() + later_s
            while time.monotonic() < until and run.poll() is None:
                self.watch()
                time.sleep(0.02)
            struck = run.poll() is None and self._strike(who, run.pid)
            status = run.wait()
        self.project.wait_until(lambda: not self.project.members(run.pid), "a process outlives its dvc")
        self.inspect()
        if status == 0:
            self.end_well()
            if struck != "worker":
                return None
        assert struck and (status == 0) == (struck == "worker"), (
            f"{struck} killed, but dvc ended with {status}"
        )
        return f"{struck} {later_s:.2f} s into its {phase}, {len(self._finished)} of {self.units} finished"

    def visible(self) -> dict[str, str]:
        """Digest of every file that a reader would take for an artefact."""
        return {path: d for path, d in self.project.digests(*OUTSIDE).items() if f"/{PARTIAL}" not in path}

    def hidden(self) -> list[Path]:
        """Folders in which a run of the stage keeps what isn't whole yet."""
        with suppress(FileNotFoundError):  # dvc is removing them
            return [path for path in self.project.lost() if path.is_dir()]
        return []

    def _wait_for(self, phase: str, run: Any, past: set[Path]) -> None:
        def begun() -> bool:
            return bool(self.project.named(run.pid, f"stages.{self.stage}"))

        def come() -> bool:
            return run.poll() is not None or (bool(set(self.hidden()) - past) if phase == "work" else begun())

        self.project.wait_until(come, f"{self.target} never begins")
        if phase == "end":
            self.project.wait_until(lambda: run.poll() is not None or not begun(), "it never ends")

    def _strike(self, who: str, session: int) -> str | None:
        """Kill; who was struck, as a stage without workers dies itself; None: all were gone."""
        with suppress(ProcessLookupError):
            if who in ("group", "dvc"):
                (os.killpg if who == "group" else os.kill)(session, signal.SIGKILL)
                return who
            workers = self.project.named(session, WORKER) if who == "worker" else []
            struck = workers or self.project.named(session, f"stages.{self.stage}")
            if struck:
                os.kill(self.rng.choice(struck).pid, signal.SIGKILL)
                return "worker" if workers else "stage"
        return None

    def inspect(self) -> None:
        """What bears its name is whole, in DVC's cache too; what was finished is kept, and not done again."""
        assert self.visible().items() <= self.wanted.items(), "a file that isn't whole or right"
        for path in (self.project / ".dvc/cache/files/md5").glob("??/*"):
            assert path.parent.name + path.name.removesuffix(".dir") == md5_of(path), "DVC's cache"
        marks = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in self._records()}
        assert marks.items() >= self._finished.items(), "a finished unit was computed again"
        self._finished = marks

    def _records(self) -> list[Path]:
        found: list[Path] = self.project.remembered(self.stage)
        return found

    def end_well(self) -> None:
        """A run has come to its end: all is there, the notes too, which blame nobody."""
        assert self.visible() == self.wanted
        assert len(self._records()) == self.units


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_a_killed_stage(quiet: Any, duplicate: Any, computed: Any, tmp_path: Path, target: str) -> None:
    print(f"VALARO_KILL_SEED={SEED}")
    ordeal = Ordeal(duplicate(quiet, tmp_path), target)
    ordeal.forget()
    kills = 0
    for _ in range(5 * KILLS):
        if len(ordeal.project.remembered(ordeal.stage)) > ordeal.units // 2:
            ordeal.forget()
        if told := ordeal.kill():
            kills += 1
            print(f"{target}: {told}")
        if kills == KILLS:
            break
    assert kills == KILLS, "too many runs were over before their moment"
    output = ordeal.project.run(*ordeal.command)
    before = len(ordeal._finished)
    ordeal.inspect()
    ordeal.end_well()
    fresh, _ = computed(output).get(ordeal.stage, (0, 0))
    assert fresh == ordeal.units - before, output
    assert ordeal.project.lost() == []
    assert ordeal.project.git("status", "--porcelain", "dvc.lock") == ""
