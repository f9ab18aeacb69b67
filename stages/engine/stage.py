"""A stage at work: its lock, its units, what it remembers, what it sets aside.

A unit reads files, writes files, and has a function that does so; nothing else may decide its bytes. The
stage computes the units whose key it doesn't remember, puts every result in place whole, lists inputs that
can't be used in `notes.json` beside the results, and removes files that belong to no unit any more.
"""

import importlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

from pydantic import BaseModel

from stages.core.artefacts import FORMAT, PARTIAL, remove, sweep, whole, write_json
from stages.core.errors import BadInput, ValaroError
from stages.core.notes import Note, printable
from stages.core.params import ComputeParams
from stages.engine.crashes import Marked, map_with_crash_recovery
from stages.engine.fingerprint import FileHashes, key_of, remembered_code_of
from stages.engine.garbage import collect_rarely
from stages.engine.launch import beside, broadcast, processes, rank
from stages.engine.lifetime import exit_with_parents, parents_of_this_stage, single_instance
from stages.engine.machine import machine_trouble
from stages.engine.mapping import cores, map_units
from stages.engine.memo import Memo, Record, dvc_cache
from stages.engine.progress import Progress, say, say_notes
from stages.engine.runlog import Cost, Stopwatch, append, extent, peak_mb

NOTES = "notes.json"
ROLE = "role of the file: "
"""Begins what stands for a file's name in remembered notes."""
ARGUMENTS: ContextVar[tuple[str, ...]] = ContextVar("arguments", default=())
"""Of the stage's command: which entry of a matrix this is."""


@dataclass(frozen=True)
class Unit:
    """One unit of work.

    Args:
        name: subject, video, or system/subject: what the console and the notes call it.
        reads: input files by role.
        writes: output files (or folders) by role.
        facts: further values that decide the result (JSON).
        scratch: a folder for unfinished state, named by what decides the result; the stage sets it, and
            removes it once the unit is done.
        aside: what decides nothing and isn't remembered, such as the place where one unit leaves what spares
            the next some work.
    """

    name: str
    reads: dict[str, Path]
    writes: dict[str, Path]
    facts: dict[str, Any] = field(default_factory=dict)
    scratch: Path = Path()
    aside: dict[str, Any] = field(default_factory=dict)

    def warn(self, file: Path | str, problem: str, remedy: str) -> Note:
        """A note about this unit that doesn't stop it."""
        return Note(self.name, str(file), problem, remedy)


Work = Callable[..., list[Note]]
"""`work(unit, settings)`: reads `unit.reads`, writes `unit.writes`, returns notes; raises BadInput."""

Call = tuple[Unit, str]
"""A unit and its key."""
Outcome = tuple[str, Record | str, Cost]
"""The unit's name, what it left or the traceback of our defect, and what it took."""

HERE = ComputeParams(jobs=None, backend="local", address=None, unit_time_limit_s=None)


class Stage:
    """A stage of the pipeline, from its lock to its closing summary.

    Args:
        name: as in dvc.yaml.
        out: the folder that holds all it writes (its `notes.json` too); None for stages with single files.
        strict: an input that can't be used stops the stage at once instead of being set aside.
    """

    def __init__(self, name: str, out: Path | None = None, *, strict: bool = False) -> None:
        self.name, self.out, self._strict = name, out, strict
        repository = Path(os.environ.get("DVC_ROOT", "."))  # also for experiments that run in a copy
        self._home = repository / ".valaro"
        self._memo = Memo(self._home, dvc_cache(repository), name)
        self._hashes = FileHashes(self._home / "hashes.db")
        self._notes: list[Note] = []
        self._written: set[Path] = set()
        self._exits = ExitStack()

    def __enter__(self) -> "Stage":
        if rank():
            return self
        exit_with_parents(parents_of_this_stage())
        self._exits.enter_context(single_instance(Path(".valaro") / "locks" / self.name))
        self._exits.callback(self._hashes.close)
        self._memo.release()
        if self.out:
            self.out.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._exits:
            if kind is None and not rank():
                self._close()

    def run(
        self,
        work: Work,
        units: Sequence[Unit],
        settings: BaseModel | None = None,
        *,
        jobs: int | None = None,
        compute: ComputeParams | None = None,
    ) -> list[Note]:
        """Do every unit whose result isn't remembered; return the notes of all.

        Args:
            work: a module-level function (it travels to worker processes).
            units: all of them, remembered or not; names are unique.
            settings: the parameters that decide the results.
            jobs: worker processes on this machine; default those of `compute`; 1 stays in this process.
            compute: where the units may be done; None: here, by one worker per core.
        """
        if rank():
            return self._help(work, units, settings)
        for folder in _folders(units):
            sweep(folder)
        keys = self._keys(work, units, settings)
        remembered = {unit.name: self._memo.recall(keys[unit.name], unit.writes) for unit in units}
        records = {
            unit.name: _named(record, unit) for unit in units if (record := remembered[unit.name]) is not None
        }
        do = partial(_do, work, settings, self._memo, self._home / "scratch" / self.name)
        calls = [(unit, keys[unit.name]) for unit in units if unit.name not in records]
        engine = compute or HERE
        jobs = 1 if processes() > 1 else jobs or engine.jobs or cores()
        broadcast([(unit.name, key) for unit, key in calls])
        records |= self._compute(do, calls, engine, jobs, len(records))
        notes = [note for unit in units for note in records[unit.name].notes]
        self._notes += notes
        self._written |= {
            path for unit in units for role, path in unit.writes.items() if role in records[unit.name].files
        }
        return notes

    def _help(self, work: Work, units: Sequence[Unit], settings: BaseModel | None) -> list[Note]:
        """Do what the first of several processes does, beside it; see `launch`."""
        by_name = {unit.name: unit for unit in units}
        for name, key in broadcast(None):
            unit = by_name[name]
            with beside(self._home / "scratch" / self.name / key, unit.writes) as (scratch, writes):
                broadcast(None)  # the copy is made: the first one may begin
                with suppress(BadInput):  # which the first one sets aside
                    do_unit(work, replace(unit, scratch=scratch, writes=writes), settings)
        return []

    def _compute(
        self, do: "partial[Any]", calls: list[Call], engine: ComputeParams, jobs: int, remembered: int
    ) -> dict[str, Record]:
        """Do the units, put what they leave in place, and log what they took.

        They write into hidden folders, which are this run's alone: a worker of a cluster that doesn't know
        yet that its stage was killed can't overwrite the results of the next run.
        """
        hidden = f"{PARTIAL}{uuid4().hex}"
        records: dict[str, Record] = {}
        failures: list[str] = []
        units = {unit.name: unit for unit, _ in calls}
        workers = _workers(engine, jobs, len(calls))
        watch = Stopwatch(self.name, do.args[0].__name__, workers, entry="-".join(ARGUMENTS.get()))
        try:
            with Progress(self.name, len(calls) + remembered, remembered) as progress:
                for name, outcome, cost in self._survive(partial(do, hidden), calls, engine, jobs, hidden):
                    watch.add(cost)
                    if isinstance(outcome, Record):
                        _put_in_place(units[name], outcome, hidden)
                        records[name] = outcome
                        self._refuse(outcome.notes)
                    else:
                        failures.append(f"{name}: {outcome}")
                    progress.step(name, cost.frames)
                if failures:
                    rest = f" ({len(failures)} units failed; the others are kept)" if failures[1:] else ""
                    raise ValaroError(f"{self.name} failed at {failures[0]}{rest}")
        finally:
            for folder in _folders(units.values()):
                remove(folder / hidden)
            if calls:
                append(self._home, watch.stop(remembered, len(failures)))
        return records

    def _survive(
        self, do: Callable[[Call], Outcome], calls: list[Call], engine: ComputeParams, jobs: int, hidden: str
    ) -> Iterator[Outcome]:
        """Do the units. Where results are per video, one that ends its process is set aside."""
        apply = partial(map_units, jobs=jobs, backend=engine.backend, address=engine.address)
        if self.out is None or engine.backend != "local" or processes() > 1:
            return apply(do, calls)
        marked = Marked(do, self._home / "at work" / self.name, _name_and_file, engine.unit_time_limit_s)

        def finished(call: Call) -> Outcome | None:
            unit, key = call
            record = self._memo.recall(key, _away(unit, hidden))
            return (unit.name, _named(record, unit), Cost(0.0, 0.0)) if record else None

        return map_with_crash_recovery(marked, calls, apply, finished, _lost)

    def note(self, *notes: Note) -> None:
        """Add notes found outside any unit."""
        self._refuse(notes)
        self._notes += notes

    def claim(self, *paths: Path) -> None:
        """Say that these files, written outside any unit, belong to the stage."""
        self._written |= set(paths)

    def _keys(self, work: Work, units: Sequence[Unit], settings: BaseModel | None) -> dict[str, str]:
        names = [unit.name for unit in units]
        if len(set(names)) != len(names):
            raise ValueError(f"{self.name}: two units share a name: {sorted(names)}")
        hashes = self._hashes(path for unit in units for path in unit.reads.values())
        code = remembered_code_of(work.__module__, self._home / "codes.json")
        values = settings.model_dump(mode="json") if settings else None
        return {
            unit.name: key_of(
                format=FORMAT,
                stage=self.name,
                work=work.__name__,
                unit=unit.name,
                code=code,
                settings=values,
                reads={role: hashes[path] for role, path in unit.reads.items()},
                writes=sorted(unit.writes),
                facts=unit.facts,
            )
            for unit in units
        }

    def _close(self) -> None:
        self._notes.sort(key=lambda note: (note.subject, note.file, note.problem))
        say_notes(self.name, self._notes)
        if self.out:
            for path in [p for p in self.out.rglob("*") if p.is_file() and not self._claimed(p)]:
                remove(path)
            write_json(self.out / NOTES, [asdict(note) for note in self._notes])

    def _refuse(self, notes: Sequence[Note]) -> None:
        aside = next((note for note in notes if note.quarantined), None)
        if self._strict and aside:
            raise ValaroError(f"{aside} (index.on_bad_input is fail; warn sets such inputs aside)")

    def _claimed(self, path: Path) -> bool:
        return path in self._written or any(parent in self._written for parent in path.parents)


def _folders(units: Iterable[Unit]) -> set[Path]:
    return {path.parent for unit in units for path in unit.writes.values()}


def _workers(engine: ComputeParams, jobs: int, units: int) -> str:
    return (
        f"{min(jobs, units)} here"
        if engine.backend == "local"
        else f"{engine.backend} {engine.address or 'here'}"
    )


def _away(unit: Unit, hidden: str) -> dict[str, Path]:
    """Where a unit's results lie until they are put in place."""
    return {role: path.parent / hidden / path.name for role, path in unit.writes.items()}


def _name_and_file(call: Call) -> tuple[str, Path]:
    unit, _ = call
    return unit.name, next(iter(unit.reads.values()), Path(unit.name))


def _lost(call: Call, cause: str) -> Outcome:
    """The result of a unit that ended every process it was tried in."""
    name, file = _name_and_file(call)
    problem = f"its process died twice ({cause})"
    remedy = "It crashes, hangs or takes too much memory: convert the file, or leave it out"
    return name, Record({}, [Note(name, str(file), problem, remedy, quarantined=True)]), Cost(0.0, 0.0)


def _do(
    work: Work, settings: BaseModel | None, memo: Memo, scratch: Path, hidden: str, call: Call
) -> Outcome:
    """Do one unit and remember it. A defect of ours comes back as its traceback: the other units go on."""
    unit, key = call
    began = time.monotonic()
    away = _away(unit, hidden)
    try:
        broadcast(None)
        notes = do_unit(work, replace(unit, writes=away, scratch=scratch / key), settings)
    except BadInput as error:
        note = Note(unit.name, error.file, error.problem, error.remedy, quarantined=True)
        return unit.name, Record({}, [note]), Cost(time.monotonic() - began, peak_mb())
    except ValaroError:
        raise
    except Exception as error:
        if trouble := machine_trouble(error, _folder(unit)):
            raise trouble from None
        return unit.name, traceback.format_exc(), Cost(time.monotonic() - began, peak_mb())
    try:
        record = memo.remember(key, away, [_nameless(note, unit) for note in notes])
    except OSError as error:
        raise machine_trouble(error, _folder(unit)) or error from None
    remove(scratch / key)
    return unit.name, _named(record, unit), Cost(time.monotonic() - began, peak_mb(), *extent(away))


def _nameless(note: Note, unit: Unit) -> Note:
    """The note with the role of its file in place of the name: a corpus may lie elsewhere next time."""
    roles = {printable(str(path)): f"{ROLE}{role}" for role, path in unit.reads.items()}
    return replace(note, file=roles.get(note.file, note.file))


def _named(record: Record, unit: Unit) -> Record:
    """The record with the names that its files have now."""
    paths = {f"{ROLE}{role}": str(path) for role, path in unit.reads.items()}
    return replace(record, notes=[replace(n, file=paths.get(n.file, n.file)) for n in record.notes])


def _put_in_place(unit: Unit, record: Record, hidden: str) -> None:
    """Let a unit's results appear, and remove what an earlier, better version of a bad input left."""
    for role, path in unit.writes.items():
        if path.is_dir() or role not in record.files:
            remove(path)
        if role in record.files:
            (path.parent / hidden / path.name).replace(path)


def _folder(unit: Unit) -> Path:
    return next(iter(unit.writes.values())).parent


def do_unit(work: Work, unit: Unit, settings: BaseModel | None) -> list[Note]:
    """Do one unit here and now: all its outputs appear whole, or none does."""
    with ExitStack() as outputs:
        hidden = {role: outputs.enter_context(whole(path)) for role, path in unit.writes.items()}
        return work(replace(unit, writes=hidden), settings)


def main(name: str) -> None:
    """Run the stage `stages/<name>.py` with the command's arguments (`finetune efficientnet_b1`).

    What the user can fix is printed as one line, not as a traceback.

    The stage is imported under its own name (it runs as `__main__`, a name that means something else in
    every worker process).
    """
    collect_rarely()
    try:
        ARGUMENTS.set(tuple(sys.argv[1:]))
        getattr(importlib.import_module(f"stages.{name}"), name)(*ARGUMENTS.get())
    except ValaroError as error:
        say(f"error: {error}")
        raise SystemExit(1) from None
    except OSError as error:
        if trouble := machine_trouble(error, Path()):
            say(f"error: {trouble}")
            raise SystemExit(1) from None
        raise
