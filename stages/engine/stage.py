"""The execution of a stage: its lock, its units, cached results, quarantined inputs.

A unit has input files, output files, and a function that computes them; nothing else may affect the outputs.
The stage computes the units without a cached result, writes every result atomically, lists unusable inputs in
`notes.json` beside the results, and removes files that belong to no unit.
"""

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

from pydantic import BaseModel

from stages.core.artefacts import FORMAT, PARTIAL, remove, sweep, write_json
from stages.core.errors import BadInput, ValaroError
from stages.core.notes import Note
from stages.core.params import ComputeParams
from stages.engine.crashes import Marked, map_with_crash_recovery
from stages.engine.fingerprint import FileHashes, key_of, remembered_code_of
from stages.engine.garbage import collect_rarely
from stages.engine.launch import broadcast, private_folders, processes, rank
from stages.engine.lifetime import exit_with_parents, leave, parents_of_this_stage, single_instance
from stages.engine.machine import machine_trouble
from stages.engine.mapping import cores, map_units, network_threads
from stages.engine.memo import Memo, Record, dvc_cache
from stages.engine.progress import Progress, say, say_notes
from stages.engine.runlog import Cost, Stopwatch, append
from stages.engine.units import (
    Call,
    Outcome,
    Unit,
    Work,
    away_of,
    do_call,
    do_unit,
    folders_of,
    lost,
    name_and_file,
    named,
    put_in_place,
)

NOTES = "notes.json"
ARGUMENTS: ContextVar[tuple[str, ...]] = ContextVar("arguments", default=())
"""Arguments of the stage's command: the entry of its matrix."""

Described = Callable[[str], tuple[Unit, BaseModel]]
"""Entry of a stage's matrix -> its unit, and its settings."""

HERE = ComputeParams(jobs=None, backend="local", address=None, unit_time_limit_s=None)


class Stage:
    """A run of a stage of the pipeline; a context manager.

    Args:
        name: name in dvc.yaml.
        out: folder of all its outputs and its `notes.json`; None for stages that write single files.
        strict: stop at the first unusable input instead of setting it aside.

    Raises:
        ValaroError: the stage is already running, or the `dvc` that started it has ended.
    """

    def __init__(self, name: str, out: Path | None = None, *, strict: bool = False) -> None:
        self.name, self.out, self._strict = name, out, strict
        repository = Path(os.environ.get("DVC_ROOT", "."))  # also in experiments that run in a copy
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
        threads: int | None = None,
        compute: ComputeParams | None = None,
        ahead: Callable[[], list[Call]] = list,
    ) -> list[Note]:
        """Compute every unit without a cached result; return the notes of all units.

        Args:
            work: a module-level function, since it is sent to worker processes.
            units: all units, cached or not, with unique names.
            settings: the parameters that affect the results.
            jobs: number of worker processes on this machine; 1: compute in this process; None: as `compute`.
            threads: of each of several processes; None: cores / jobs.
            compute: where units are computed; None: on this machine, with one worker per core.
            ahead: further calls, to cache their results, if any unit is computed at all; see `run_entry`.

        Raises:
            ValaroError: a unit failed, or an unusable input in a strict stage.
            ValueError: two units have the same name.
        """
        if rank():
            return self._help(work, units, settings)
        for folder in folders_of(units):
            sweep(folder)
        keys = self._keys(work, units, settings)
        remembered = {unit.name: self._memo.recall(keys[unit.name], unit.writes) for unit in units}
        records = {
            unit.name: named(record, unit) for unit in units if (record := remembered[unit.name]) is not None
        }
        do = partial(do_call, work, self._memo, self._home / "scratch" / self.name)
        entry = "-".join(ARGUMENTS.get())
        calls = [Call(unit, keys[unit.name], settings, entry) for unit in units if unit.name not in records]
        engine = compute or HERE
        place = _Place(engine, 1 if processes() > 1 else jobs or engine.jobs or cores(), threads)
        broadcast([(call.unit.name, call.key) for call in calls])
        records |= self._compute(do, [*calls, *(ahead() if calls else [])], place, len(records))
        notes = [note for unit in units for note in records[unit.name].notes]
        self._notes += notes
        self._written |= {
            path for unit in units for role, path in unit.writes.items() if role in records[unit.name].files
        }
        return notes

    def run_entry(
        self,
        work: Work,
        entry: str,
        entries: Sequence[str],
        described: Described,
        at_once: int,
        jobs: int | None = None,
    ) -> list[Note]:
        """Compute the one unit of an entry of the matrix, and at the same time those of other entries.

        DVC runs one entry after the other, and one training of a small network fills no machine. So with
        `at_once` above 1, units of other entries are computed beside it in processes of their own. Their
        results are only cached: they appear when their own entry runs, and their errors do so too. Each has
        the threads that it has alone, so `at_once` affects no result.

        Args:
            work: as in `run`.
            entry: the entry.
            entries: all entries.
            described: describes them; raises ValaroError or OSError for one whose inputs aren't there yet.
            at_once: number of units that are computed at the same time; 1: the entry's own alone.
            jobs: number of processes; 1: one unit after the other in this one; None: `at_once`.

        Raises:
            ValaroError: as `run`.
        """

        def others() -> list[Call]:
            found = (self._ahead(work, other, described) for other in entries if other != entry)
            return [call for call in found if call is not None]

        unit, settings = described(entry)
        ahead = others if at_once > 1 else list
        threads = network_threads()
        return self.run(work, [unit], settings, jobs=jobs or at_once, threads=threads, ahead=ahead)

    def _ahead(self, work: Work, entry: str, described: Described) -> Call | None:
        """The call of another entry; None if its result is cached, or its inputs aren't there yet."""
        try:
            unit, settings = described(entry)
        except (ValaroError, OSError):  # its own run meets the error again
            return None
        if not all(path.exists() for path in unit.reads.values()):
            return None
        key = self._keys(work, [unit], settings)[unit.name]
        return None if self._memo.knows(key) else Call(unit, key, settings, entry, ahead=True)

    def _help(self, work: Work, units: Sequence[Unit], settings: BaseModel | None) -> list[Note]:
        """Compute the same as the first of several processes; see `launch`."""
        by_name = {unit.name: unit for unit in units}
        for name, key in broadcast(None):
            unit = by_name[name]
            with private_folders(self._home / "scratch" / self.name / key, unit.writes) as (
                scratch,
                writes,
            ):
                broadcast(None)  # the copy is complete: the first process may begin
                with suppress(BadInput):  # the first process sets it aside
                    do_unit(work, replace(unit, scratch=scratch, writes=writes), settings)
        return []

    def _compute(
        self, do: "partial[Any]", calls: list[Call], place: "_Place", remembered: int
    ) -> dict[str, Record]:
        """Compute the units, move their results to their places, and log the costs.

        Units write to hidden folders of this run: a cluster worker that still runs after its stage was killed
        can't overwrite the results of the next run.
        """
        hidden = f"{PARTIAL}{uuid4().hex}"
        records: dict[str, Record] = {}
        failures: list[str] = []
        by_name = {call.unit.name: call for call in calls}
        watch = Stopwatch(self.name, do.args[0].__name__, place.words(len(calls)))
        if others := [call.entry for call in calls if call.ahead]:
            say(f"{self.name}: computes {', '.join(others)} at the same time (compute.trainings_at_once)")
        try:
            with Progress(self.name, len(calls) + remembered, remembered) as progress:
                for name, outcome, cost in self._map(partial(do, hidden), calls, place, hidden):
                    call = by_name[name]
                    watch.add(cost, call.entry, failed=not isinstance(outcome, Record))
                    if call.ahead:
                        pass  # its own entry puts its result in place, or meets its error again
                    elif isinstance(outcome, Record):
                        put_in_place(call.unit, outcome, hidden)
                        records[name] = outcome
                        self._refuse(outcome.notes)
                    else:
                        failures.append(f"{name}: {outcome}")
                    progress.step(name, cost.frames)
                if failures:
                    rest = f" ({len(failures)} units failed; the others are kept)" if failures[1:] else ""
                    raise ValaroError(f"{self.name} failed at {failures[0]}{rest}")
        finally:
            for folder in folders_of(call.unit for call in calls):
                remove(folder / hidden)
            for run in watch.stop(remembered):
                append(self._home, run)
        return records

    def _map(
        self, do: Callable[[Call], Outcome], calls: list[Call], place: "_Place", hidden: str
    ) -> Iterator[Outcome]:
        """Compute the units. In stages with one result per video, a unit whose process dies is set aside."""
        if any(call.ahead for call in calls):
            return self._beside_others(do, calls, place)
        if self.out is None or place.engine.backend != "local" or processes() > 1:
            return place.apply(do, calls)
        limit_s = place.engine.unit_time_limit_s
        marked = Marked(do, self._home / "at work" / self.name, name_and_file, limit_s)

        def finished(call: Call) -> Outcome | None:
            record = self._memo.recall(call.key, away_of(call.unit, hidden))
            return (call.unit.name, named(record, call.unit), Cost(0.0, 0.0)) if record else None

        return map_with_crash_recovery(marked, calls, place.apply, finished, lost)

    def _beside_others(
        self, do: Callable[[Call], Outcome], calls: list[Call], place: "_Place"
    ) -> Iterator[Outcome]:
        """Compute the units in processes; if one dies (lack of memory?), only the stage's own."""
        left = {call.unit.name: call for call in calls if not call.ahead}
        try:
            for outcome in place.apply(do, calls):
                left.pop(outcome[0], None)
                yield outcome
        except BrokenProcessPool:
            say(f"{self.name}: a process died; set compute.trainings_at_once to 1 if memory is short")
            yield from map(do, left.values())

    def note(self, *notes: Note) -> None:
        """Add notes that belong to no unit."""
        self._refuse(notes)
        self._notes += notes

    def claim(self, *paths: Path) -> None:
        """Declare files of the stage that no unit wrote, so that they aren't removed."""
        self._written |= set(paths)

    def _keys(self, work: Work, units: Sequence[Unit], settings: BaseModel | None) -> dict[str, str]:
        names = [unit.name for unit in units]
        if len(set(names)) != len(names):
            raise ValueError(f"{self.name}: two units have the same name: {sorted(names)}")
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
            raise ValaroError(f"{aside} (index.on_bad_input is fail; with warn, such inputs are set aside)")

    def _claimed(self, path: Path) -> bool:
        return path in self._written or any(parent in self._written for parent in path.parents)


@dataclass(frozen=True)
class _Place:
    """Where units are computed: in `jobs` processes of some threads (None: cores / jobs), or on a cluster."""

    engine: ComputeParams
    jobs: int
    threads: int | None

    def apply(self, do: Callable[[Any], Any], calls: list[Any]) -> Iterator[Any]:
        """Map a function over calls, see `map_units`."""
        backend, address = self.engine.backend, self.engine.address
        return map_units(do, calls, jobs=self.jobs, backend=backend, address=address, threads=self.threads)

    def words(self, units: int) -> str:
        """For the run log, e.g. `2 here`."""
        if self.engine.backend == "local":
            return f"{min(self.jobs, units)} here"
        return f"{self.engine.backend} {self.engine.address or 'here'}"


def main(name: str) -> None:
    """Run the stage `stages/<name>.py` with the command's arguments (e.g. `finetune efficientnet_b1`).

    Errors that the user can fix are printed as one line, without a traceback.

    The stage is imported by its own name, because `__main__` is another module in worker processes. A process
    that does nothing else (`python -m stages.<name>`) ends here.
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
    program = sys.modules["__main__"].__spec__
    if program is not None and program.name == f"stages.{name}":
        leave()
