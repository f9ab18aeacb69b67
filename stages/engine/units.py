"""Units of work: what they read and write, and how one is computed.

A unit's outputs appear complete or not at all, and its result is cached before anybody sees it.
"""

import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from stages.core.artefacts import remove, whole
from stages.core.errors import BadInput, ValaroError
from stages.core.notes import Note, printable
from stages.engine.launch import broadcast
from stages.engine.machine import machine_trouble
from stages.engine.memo import Memo, Record
from stages.engine.runlog import Cost, extent, peak_mb

ROLE = "role of the file: "
"""Begins the placeholder of a file name in cached notes."""


@dataclass(frozen=True)
class Unit:
    """One unit of work.

    Args:
        name: name on the console and in notes: a subject, a video, or system/subject.
        reads: role -> input file.
        writes: role -> output file or folder.
        facts: further values that affect the result, of JSON types.
        scratch: folder for unfinished state, named by the key of the result; the stage sets it, and removes
            it when the unit is done.
        unkeyed: values that don't affect the result and don't enter its key, e.g. a path where one unit
            leaves intermediate data for the next.
        when_computed: called with the unit by the process that has computed it, after the result is cached;
            not for cached results. It doesn't affect the result either.
    """

    name: str
    reads: dict[str, Path]
    writes: dict[str, Path]
    facts: dict[str, Any] = field(default_factory=dict)
    scratch: Path = Path()
    unkeyed: dict[str, Any] = field(default_factory=dict)
    when_computed: "Callable[[Unit], None] | None" = None

    def warn(self, file: Path | str, problem: str, remedy: str) -> Note:
        """A note on this unit, which is still computed."""
        return Note(self.name, str(file), problem, remedy)


Work = Callable[..., list[Note]]
"""`work(unit, settings)` reads `unit.reads`, writes `unit.writes`, returns notes; may raise BadInput."""


@dataclass(frozen=True)
class Call:
    """A unit to compute.

    Args:
        unit: the unit.
        key: key of its result.
        settings: the parameters that affect the result.
        entry: entry of the matrix that it belongs to.
        ahead: it belongs to another entry than the stage runs for: its result is cached, and nothing else.
    """

    unit: Unit
    key: str
    settings: BaseModel | None
    entry: str
    ahead: bool = False


Outcome = tuple[str, Record | str, Cost]
"""Name of the unit; its result, or the traceback of an unexpected error; its cost."""


def away_of(unit: Unit, hidden: str) -> dict[str, Path]:
    """Role -> hidden path of a unit's result, until it is moved to its place."""
    return {role: path.parent / hidden / path.name for role, path in unit.writes.items()}


def folders_of(units: Iterable[Unit]) -> set[Path]:
    """Where units write."""
    return {path.parent for unit in units for path in unit.writes.values()}


def name_and_file(call: Call) -> tuple[str, Path]:
    """The unit's name, and its first input, for messages."""
    return call.unit.name, next(iter(call.unit.reads.values()), Path(call.unit.name))


def lost(call: Call, cause: str) -> Outcome:
    """The result of a unit whose process died twice."""
    name, file = name_and_file(call)
    problem = f"its process died twice ({cause})"
    remedy = "It crashes, hangs or needs too much memory: convert the file, or leave it out"
    return name, Record({}, [Note(name, str(file), problem, remedy, quarantined=True)]), Cost(0.0, 0.0)


def do_call(work: Work, memo: Memo, scratch: Path, hidden: str, call: Call) -> Outcome:
    """Compute one unit and cache it. An unexpected error is returned as a traceback; other units go on."""
    unit, key = call.unit, call.key
    began = time.monotonic()
    away = away_of(unit, hidden)
    try:
        broadcast(None)
        notes = do_unit(work, replace(unit, writes=away, scratch=scratch / key), call.settings)
    except BadInput as error:
        note = Note(unit.name, error.file, error.problem, error.remedy, quarantined=True)
        return unit.name, Record({}, [note]), Cost(time.monotonic() - began, peak_mb())
    except ValaroError as error:
        if call.ahead:
            return unit.name, str(error), Cost(time.monotonic() - began, peak_mb())
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
    if unit.when_computed:
        unit.when_computed(replace(unit, writes=away))
    return unit.name, named(record, unit), Cost(time.monotonic() - began, peak_mb(), *extent(away))


def _nameless(note: Note, unit: Unit) -> Note:
    """The note with the role of its file instead of the path, since a corpus may be moved."""
    roles = {printable(str(path)): f"{ROLE}{role}" for role, path in unit.reads.items()}
    return replace(note, file=roles.get(note.file, note.file))


def named(record: Record, unit: Unit) -> Record:
    """The record with the current paths in its notes."""
    paths = {f"{ROLE}{role}": str(path) for role, path in unit.reads.items()}
    return replace(record, notes=[replace(n, file=paths.get(n.file, n.file)) for n in record.notes])


def put_in_place(unit: Unit, record: Record, hidden: str) -> None:
    """Move a unit's results to their places; remove earlier results that it no longer has."""
    for role, path in unit.writes.items():
        if path.is_dir() or role not in record.files:
            remove(path)
        if role in record.files:
            (path.parent / hidden / path.name).replace(path)


def _folder(unit: Unit) -> Path:
    return next(iter(unit.writes.values())).parent


def do_unit(work: Work, unit: Unit, settings: BaseModel | None) -> list[Note]:
    """Compute one unit in this process: all its outputs appear complete, or none does."""
    with ExitStack() as outputs:
        hidden = {role: outputs.enter_context(whole(path)) for role, path in unit.writes.items()}
        return work(replace(unit, writes=hidden), settings)
