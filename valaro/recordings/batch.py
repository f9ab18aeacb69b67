"""Several recordings, one at a time: a folder each, that appears whole or not at all."""

import os
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from stages.core.artefacts import remove
from stages.core.corpus import Workspace
from stages.core.errors import BadInput, ValaroError
from stages.engine.advance import watched
from stages.engine.mapping import map_units
from valaro.recordings.chain import analyse
from valaro.recordings.formats import SUFFIXES
from valaro.recordings.kinds import kind_of
from valaro.recordings.outputs import summarise, trace_of, write_outputs
from valaro.recordings.trained import Trained, for_kind
from valaro.sources import name_of
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
    """

    out: Path
    formats: tuple[str, ...]
    force: bool


@dataclass(frozen=True)
class Task:
    """How every recording is treated.

    Args:
        scratch: a private folder; where files are written, on the same disk as they.
        trained: the system.
        files: to write; None: the traces are all that is wanted.
        tell: told the recording, the step at work, and what share of that step is done.
    """

    scratch: Path
    trained: Trained
    files: Files | None
    tell: Callable[[Path, str, float], None]


@dataclass(frozen=True)
class Outcome:
    """What became of a recording: its trace, and the folder that holds its files; or what went wrong."""

    video: Path
    folder: Path | None = None
    trace: Trace | None = None
    error: ValaroError | None = None


def predict_all(task: Task, videos: Sequence[Path], jobs: int = 1) -> Iterator[Outcome]:
    """Every recording by itself, as they finish; a failure stops none of the others."""
    yield from map_units(partial(predict_one, task), videos, jobs)


def predict_one(task: Task, video: Path) -> Outcome:
    """One recording, from the file to its trace and its folder."""
    folder = task.files.out / name_of(video) if task.files else None
    try:
        trace = _predict(task, video, folder)
    except BadInput as error:
        return Outcome(video, folder, error=error)
    except ValaroError as error:
        return Outcome(video, folder, error=ValaroError(f"{video}: {error}"))
    except OSError as error:
        place = error.filename or folder or video
        return Outcome(video, folder, error=ValaroError(f"{video}: {error.strerror or error} ({place})."))
    except Exception as error:  # a defect of ours, or of a library: the other recordings go on
        return Outcome(video, folder, error=_defect(video, error))
    return Outcome(video, folder, trace)


def _predict(task: Task, video: Path, folder: Path | None) -> Trace:
    with tempfile.TemporaryDirectory(dir=task.scratch) as private:
        workspace, result = Workspace(Path(private)), Path(private) / "results"
        if task.files and folder:
            _refuse_to_replace(folder, video, task.files.force)
        kind = kind_of(video)
        trained = for_kind(task.trained, kind, video)
        found = analyse(video, workspace, trained, partial(task.tell, video), kind)
        if not (task.files and folder):
            summary = summarise(video, found, trained)
            return trace_of(name_of(video), video, found, trained.notice, summary, trained.margin)
        task.tell(video, RESULTS, 0.0)
        with watched(partial(task.tell, video, RESULTS)):
            trace = write_outputs(
                result, folder, video, workspace, found, trained, formats=task.files.formats
            )
        _put_in_place(result, folder, Path(private))
        return trace


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


def _refuse_to_replace(folder: Path, video: Path, force: bool) -> None:
    """Nothing is overwritten unasked, and nothing at all that isn't ours."""
    if not video.is_file() or not os.path.lexists(folder):
        return
    if not force:
        raise BadInput(video, f"{folder} exists already", "Use --force to replace it, or another --out")
    ours = {f"{folder.name}{suffix}" for suffix in SUFFIXES}
    foreign = [p.name for p in folder.iterdir() if p.name not in ours] if folder.is_dir() else [folder.name]
    if foreign:
        problem = f"{folder} holds what isn't of an earlier run: {sorted(foreign)[0]!r}"
        raise BadInput(video, problem, "Move it away, or use another --out")


def _put_in_place(result: Path, folder: Path, private: Path) -> None:
    """Rename the finished folder to its place; an earlier one leaves first and is removed with `private`."""
    if folder.is_dir():
        folder.replace(private / "earlier")
    result.replace(folder)
