"""Several recordings, one at a time: a folder each, that appears whole or not at all."""

import errno
import glob
import os
import tempfile
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_args

from filelock import FileLock, Timeout

from stages.core.artefacts import PARTIAL, own_folder, remove, whole
from stages.core.corpus import Workspace
from stages.core.errors import BadInput, ValaroError
from stages.engine.advance import watched
from stages.engine.crashes import Marked, call_in_own_process, map_with_crash_recovery
from stages.engine.mapping import map_units
from stages.exports.whose import Whose, is_unchanged, summary_in, whose
from valaro.recordings.chain import Findings, analyse
from valaro.recordings.formats import COPY, OF_TRACE, PAGE, SUFFIXES, TRACE, formats_of
from valaro.recordings.kinds import kind_of
from valaro.recordings.outputs import SureOfNoFrame, summarise, trace_of, write_outputs, write_trace
from valaro.recordings.presence import EVERYONE, PERSON
from valaro.recordings.resume import differences, kept_trace
from valaro.recordings.table import ROWS, keep_rows
from valaro.recordings.table import SUFFIXES as TABLES
from valaro.recordings.trained import Trained, for_kind
from valaro.sources import Kind
from valaro.trace import Trace

HIDDEN = ".valaro-"
LOCK = "lock"
RESULTS = "results"
"""The last step of a recording: its files are written."""


@dataclass(frozen=True)
class Files:
    """What is written of every recording, and where.

    Args:
        out: the folder that gets a folder per recording.
        formats: of the files beside the summary, see `formats.KNOWN_FORMATS`.
        force: whether to replace what an earlier run left.
        abstain: widest interval of a frame that is written; None: all are.
    """

    out: Path
    formats: tuple[str, ...]
    force: bool
    abstain: float | None = None


class Named(NamedTuple):
    """A recording.

    Args:
        file: the recording itself.
        name: of its folder and its files, see `names`.
    """

    file: Path
    name: str


@dataclass(frozen=True)
class Task:
    """How every recording is treated.

    Args:
        scratch: a private folder; where files are written, on the same disk as they.
        trained: the system.
        files: to write; None: the traces are all that is wanted.
        tell: told the recording, the step at work, and what share of that step is done.
        person: who, see `presence.PEOPLE`; None: as in the parameters.
        hold: give values where nobody is there.
        tables: endings of the tables over all recordings that get rows, see `table`.
        made_with: what determines the values, see `resume`.
    """

    scratch: Path
    trained: Trained
    files: Files | None
    tell: Callable[[Path, str, float], None]
    person: str | None = None
    hold: bool = False
    tables: tuple[str, ...] = ()
    made_with: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What became of a recording: its trace, and the folder that holds its files; or what went wrong.

    `more` tells that further people of the same recording follow, `kept` that an earlier run had finished it.
    """

    video: Path
    folder: Path | None = None
    trace: Trace | None = None
    error: ValaroError | None = None
    more: bool = False
    kept: bool = False


def predict_all(task: Task, videos: Sequence[Named], jobs: int = 1) -> Iterator[Outcome]:
    """Every recording by itself, as they finish; a failure stops none of the others.

    With several jobs, neither does the death of a process: what it was at is tried again, in one of its own;
    those that an earlier run finished come first, so that processes start only for the others.
    """
    do = partial(predict_one, task)
    if jobs > 1:
        kept = {one for one in videos if _finished(task, one)}
        for one in videos:
            yield from do(one) if one in kept else ()
        videos = [one for one in videos if one not in kept]
    if min(jobs, len(videos)) <= 1:
        found = map_units(do, videos, jobs)
    else:
        marked = Marked(do, task.scratch / "at work", _name_and_file, limit_s=None)
        found = map_with_crash_recovery(marked, videos, partial(_in_processes, jobs), _unknown, _lost)
    for outcomes in found:
        yield from outcomes


def _name_and_file(video: Named) -> tuple[str, Path]:
    return str(video.file), video.file


def _in_processes(
    jobs: int, function: Callable[[Named], list[Outcome]], videos: list[Named]
) -> Iterator[list[Outcome]]:
    if len(videos) == 1:
        return iter([call_in_own_process(function, videos[0])])
    return map_units(function, videos, jobs)


def _unknown(_video: Named) -> None:
    """Nothing remains of what a process had found."""


def _lost(video: Named, cause: str) -> list[Outcome]:
    problem = f"its process was killed twice ({cause}), perhaps because memory ran out"
    return [Outcome(video.file, error=BadInput(video.file, problem, "Try it alone, or with fewer --jobs"))]


def predict_one(task: Task, named: Named) -> list[Outcome]:
    """One recording, from the file to its trace and its folder; of all people one each."""
    video = named.file
    folder = task.files.out / named.name if task.files else None
    try:
        outcomes = _predict(task, named, folder)
    except BadInput as error:
        return [Outcome(video, folder, error=error)]
    except ValaroError as error:
        return [Outcome(video, folder, error=ValaroError(f"{video}: {error}"))]
    except OSError as error:
        place = error.filename or folder or video
        return [Outcome(video, folder, error=ValaroError(f"{video}: {error.strerror or error} ({place})."))]
    except Exception as error:  # a defect of ours, or of a library: the other recordings go on
        return [Outcome(video, folder, error=_defect(video, error))]
    return [replace(one, more=one is not outcomes[-1]) for one in outcomes]


def _predict(task: Task, named: Named, folder: Path | None) -> list[Outcome]:
    video = named.file
    if task.files and folder:
        _refuse_a_long_name(folder, video, task.files.formats)
        if kept := _finished(task, named):
            return [_as_it_was(task, task.files, place, video) for place in kept]
        for place in _places(folder, task.person):
            _refuse_to_replace(place, video, task)
    with tempfile.TemporaryDirectory(dir=task.scratch) as private, own_folder(Path(private) / "data"):
        workspace = Workspace(Path(private))
        kind = kind_of(video)
        trained = for_kind(task.trained, kind, video)
        tell = partial(task.tell, video)
        with _unchanged(video):
            people = analyse(video, workspace, trained, tell, kind, person=task.person, hold=task.hold)
            if not task.files:
                return [_without_files(named, found, trained) for found in people]
            written, unsure = _write_people(task, task.files, named, workspace, people, trained)
        if kept := _finished(task, named):  # another run was quicker
            return [_as_it_was(task, task.files, place, video) for place in kept]
        for one in written:  # all people of a recording at once
            _refuse_to_replace(one.place, video, task)
        for one in written:
            _put_in_place(one.folder, one.place, workspace.root)
        if folder and task.person == EVERYONE:
            _remove_people_of_before(folder, {one.place for one in written}, workspace.root)
        return [*(Outcome(video, one.place, one.trace) for one in written), *unsure]


@contextmanager
def _unchanged(video: Path) -> Iterator[None]:
    """The steps read a recording several times: refuse one that isn't the same all the while.

    Raises:
        BadInput: it was removed, replaced or written to.
    """
    before = _state(video)
    try:
        yield
    except ValaroError:
        _require_state(video, before)
        raise
    _require_state(video, before)


def _require_state(video: Path, before: tuple[int, ...] | None) -> None:
    now = _state(video)
    if now != before:
        what = "changed" if now else "was removed"
        raise BadInput(video, f"it {what} while it was read", "Try again when no program writes to it")


def _state(video: Path) -> tuple[int, ...] | None:
    """Which file it is, its length and the time of its last change; None where there is none."""
    try:
        known = video.stat()
    except OSError:
        return None
    return known.st_dev, known.st_ino, known.st_size, known.st_mtime_ns


class Written(NamedTuple):
    """The files of one person of a recording.

    Args:
        folder: where they are.
        place: where they go.
        trace: what they hold.
    """

    folder: Path
    place: Path
    trace: Trace


def _write(
    task: Task, files: Files, named: Named, workspace: Workspace, found: Findings, trained: Trained
) -> Written:
    """Write one person's files, still out of sight."""
    video, place = named.file, files.out / _name(named, found)
    task.tell(video, RESULTS, 0.0)
    result = workspace.root / f"results{found.person}"
    with watched(partial(task.tell, video, RESULTS)), whole(result) as folder:
        trace = write_outputs(
            folder,
            place,
            video,
            workspace,
            found,
            trained,
            formats=files.formats,
            abstain=files.abstain,
            made_with=task.made_with,
        )
        keep_rows(folder, trace, task.tables)
    return Written(result, place, trace)


def _write_people(
    task: Task,
    files: Files,
    named: Named,
    workspace: Workspace,
    people: Sequence[Findings],
    trained: Trained,
) -> tuple[list[Written], list[Outcome]]:
    """The files of everyone, and what is said of those of whom the system is sure in no frame.

    Raises:
        SureOfNoFrame: of the only one, or of nobody.
    """
    written, unsure = list[Written](), dict[str, SureOfNoFrame]()
    for found in people:
        try:
            written.append(_write(task, files, named, workspace, found, trained))
        except SureOfNoFrame as error:
            unsure[found.person] = error
    if not written:
        raise next(iter(unsure.values()))
    said = [ValaroError(f"{named.file}: person {person}: {error}") for person, error in unsure.items()]
    return written, [Outcome(named.file, error=error) for error in said]


def _without_files(named: Named, found: Findings, trained: Trained) -> Outcome:
    summary = summarise(named.file, found, trained)
    name = _name(named, found)
    trace = trace_of(name, named.file, found, trained.notice, summary, trained.margin)
    return Outcome(named.file, None, trace)


def _name(named: Named, found: Findings) -> str:
    return f"{named.name}{PERSON}{found.person}" if found.person else named.name


def _places(folder: Path, person: str | None) -> list[Path]:
    """The folders that an earlier run may have left, as far as their names are known before the work."""
    if person != EVERYONE:
        return [folder]
    prefix = f"{folder.name}{PERSON}"
    beside = sorted(folder.parent.glob(f"{glob.escape(prefix)}*"))
    return [place for place in beside if _person_in(place) == place.name.removeprefix(prefix)]


def _person_in(place: Path) -> str | None:
    """The number of the person whose results a folder holds, if it is of a run for everyone."""
    person: str | None = (summary_in(place) or {}).get("person")
    return person


def _finished(task: Task, named: Named) -> list[Path]:
    """The folders of a recording that an earlier run finished, with what this run would write, or most of it.

    One, or with `--person all` one per person; none if it is to be computed.
    """
    if task.files is None or task.files.force:
        return []
    folder = task.files.out / named.name
    places = _places(folder, task.person) or [folder]
    if any(_unlike(place, named.file, task) for place in places):
        return []
    summary = summary_in(places[0]) or {}
    if task.person == EVERYONE and summary["kind"] != "sound":
        if len(places) != max(1, len(summary["people"])):
            return []  # a run was killed between two of them
        places.sort(key=lambda place: int(place.name.rpartition(PERSON)[2]))
    return places


def _unlike(place: Path, video: Path, task: Task) -> str:
    """What tells what is in a folder from the results that this run would write there; "" if nothing does.

    Formats that need nothing but the trace may be missing, see `_as_it_was`.
    """
    if (summary := summary_in(place)) is None:
        return "with something else in it"
    then, of = summary.get("made_with"), whose(place, video)
    if of is Whose.CHANGED or (then and of is Whose.THIS and not is_unchanged(video, summary)):
        return "with results of this file before it changed"
    if of is not Whose.THIS or not isinstance(then, dict) or summary.get("kind") not in get_args(Kind):
        return "with results of an earlier version"
    if found := differences(then, task.made_with):
        return f"made with {'; '.join(found)}"
    absent = [name for name in _absent(place, summary, task.files) if name not in OF_TRACE]
    absent += [] if (place / TRACE).is_file() else [TRACE]
    return f"without {', '.join(absent)}" if absent else ""


def _absent(place: Path, summary: dict[str, Any], files: Files | None) -> list[str]:
    """The formats that a folder of results lacks."""
    formats = formats_of(summary["kind"], files.formats) if files else []
    absent = [name for name in formats if not (place / f"{place.name}.{name}").is_file()]
    with_frames = isinstance(summary.get("frames"), dict)
    return absent + (["json"] if "json" in formats and not with_frames else [])


def _as_it_was(task: Task, files: Files, place: Path, video: Path) -> Outcome:
    """The outcome of a folder of results that is kept; it gets the formats that it lacks."""
    trace = kept_trace(place, video)
    for name in _absent(place, summary_in(place) or {}, files):
        new = task.scratch / f"{place.name}.{name}"
        with whole(new) as partial_file:
            write_trace(partial_file, name, trace)
        new.replace(place / new.name)
    return Outcome(video, place, trace, kept=True)


def _remove_people_of_before(folder: Path, now: Collection[Path], private: Path) -> None:
    """Remove the folders of people that this run, which replaces an earlier one, doesn't find."""
    for place in _places(folder, EVERYONE):
        if place not in now:
            place.replace(private / f"earlier-{place.name}")


def _refuse_a_long_name(folder: Path, video: Path, formats: Sequence[str]) -> None:
    """Say before the work that the file system doesn't take the names of the files."""
    longest = max((*formats, "json", COPY if PAGE in formats else ""), key=len)
    try:
        (folder.parent / f"{PARTIAL}{os.getpid()}-{folder.name}.{longest}").lstat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise BadInput(video, "its name is too long for the names of the results", "Shorten it") from None


def _defect(video: Path, error: Exception) -> ValaroError:
    """A fault of the program in one line; the error itself is its cause."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    problem = f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}: {error}"
    remedy = "This is a fault of the program, not of the file: please report it"
    said = ValaroError(f"{video}: {' '.join(problem.split())}. {remedy}.")
    said.__cause__ = error
    return said


@contextmanager
def private_folder(out: Path) -> Iterator[Path]:
    """A hidden folder in `out`, removed at the end; those of runs that were killed are removed now.

    Each is locked by its run for life, so that a run that is still going keeps its own.
    """
    out.mkdir(parents=True, exist_ok=True)
    for leftover in out.glob(f"{HIDDEN}*"):
        if _abandoned(leftover / LOCK):
            remove(leftover)
    folder = Path(tempfile.mkdtemp(prefix=HIDDEN, dir=out))
    with FileLock(folder / LOCK, fallback_to_soft=False):
        try:
            yield folder
        finally:
            remove(folder)


def _abandoned(lock: Path) -> bool:
    if not lock.is_file():  # its run has just begun
        return False
    try:
        with FileLock(lock, timeout=0, fallback_to_soft=False):
            return True
    except (OSError, Timeout):
        return False


def _refuse_to_replace(folder: Path, video: Path, task: Task) -> None:
    """Nothing else is overwritten without `force`; another recording's results and strange files never are.

    Without `force`, only what this run would write again: some of the people of a run that was killed.
    """
    if not video.is_file() or not os.path.lexists(folder):
        return
    of = whose(folder, video)
    if of is Whose.OTHER:
        problem = f"{folder} holds the results of another recording"
        raise BadInput(video, problem, f"{folder.name}.json in it says of which; use another --out")
    force = task.files is not None and task.files.force
    if not force and (how := _unlike(folder, video, task)):
        problem = f"{folder} exists already, {how}"
        raise BadInput(video, problem, "Use --force to replace it, or another --out")
    if others := _not_ours(folder, video):
        problem = f"{folder} holds a file that no earlier run wrote: {others[0]!r}"
        raise BadInput(video, problem, "Move it away, or use another --out")


def _not_ours(folder: Path, video: Path) -> list[str]:
    """Names in a folder of results that no earlier run wrote; a recording may have the name of its film."""
    if not folder.is_dir():
        return [folder.name]
    names = {TRACE, *(f"{ROWS}{ending}" for ending in TABLES)}
    names |= {f"{folder.name}{suffix}" for suffix in SUFFIXES}
    ours = names if summary_in(folder) is not None else set[str]()
    return sorted(p.name for p in folder.iterdir() if p.name not in ours or video.samefile(p))


def _put_in_place(result: Path, folder: Path, private: Path) -> None:
    """Rename the finished folder to its place; an earlier one leaves first and is removed with `private`."""
    if folder.is_dir():
        folder.replace(private / f"earlier-{folder.name}")
    result.replace(folder)
