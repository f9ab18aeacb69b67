"""Several recordings, one at a time: a folder each, that appears whole or not at all."""

import os
import tempfile
import traceback
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from stages.core.artefacts import remove
from stages.core.corpus import Workspace
from stages.core.errors import BadInput, ValaroError
from stages.engine.mapping import map_units
from stages.exports.trace import Trace
from valaro.recordings.chain import analyse
from valaro.recordings.outputs import SUFFIXES, write_outputs
from valaro.recordings.trained import Trained

HIDDEN = ".valaro-"
LOCK = "lock"


@dataclass(frozen=True)
class Task:
    """How every recording is treated.

    Args:
        out: the folder that gets a folder per recording.
        scratch: a private folder on the same disk.
        trained: the system.
        formats: of the files beside the summary, see `outputs.KNOWN_FORMATS`.
        force: whether to replace what an earlier run left.
        before_step: told the recording and the step that begins.
    """

    out: Path
    scratch: Path
    trained: Trained
    formats: tuple[str, ...]
    force: bool
    before_step: Callable[[Path, str], None]


@dataclass(frozen=True)
class Outcome:
    """What became of a recording: the folder and the trace, or the line that says what went wrong."""

    video: Path
    folder: Path
    trace: Trace | None = None
    failure: str = ""


def predict_all(task: Task, videos: Sequence[Path], jobs: int = 1) -> Iterator[Outcome]:
    """Every recording by itself, as they finish; a failure stops none of the others."""
    yield from map_units(partial(predict_one, task), videos, jobs)


def predict_one(task: Task, video: Path) -> Outcome:
    """One recording, from the file to its folder."""
    folder = task.out / name_of(video)
    try:
        with tempfile.TemporaryDirectory(dir=task.scratch) as private:
            _refuse_to_replace(folder, video, task.force)
            workspace, result = Workspace(Path(private)), Path(private) / "results"
            found = analyse(video, workspace, task.trained, partial(task.before_step, video))
            task.before_step(video, "results")
            trace = write_outputs(result, folder, video, workspace, found, task.trained, formats=task.formats)
            _put_in_place(result, folder, Path(private))
    except BadInput as error:
        return Outcome(video, folder, failure=str(error))
    except ValaroError as error:
        return Outcome(video, folder, failure=f"{video}: {error}")
    except OSError as error:
        return Outcome(
            video, folder, failure=f"{video}: {error.strerror or error} ({error.filename or folder})."
        )
    except Exception as error:  # a defect of ours, or of a library: the other recordings go on
        place = traceback.extract_tb(error.__traceback__)[-1]
        problem = f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}: {error}"
        remedy = "This is a fault of the program, not of the file: please report it"
        return Outcome(video, folder, failure=f"{video}: {' '.join(problem.split())}. {remedy}.")
    return Outcome(video, folder, trace)


def name_of(video: Path) -> str:
    """Name of a recording's folder and files: the file's, without its ending where that leaves a name."""
    return video.stem if video.stem.strip(".") else video.name


def require_distinct(videos: Sequence[Path], out: Path) -> None:
    """Two recordings can't share a folder (nor names that some file systems take for the same).

    Raises:
        ValaroError: two videos have one stem.
    """
    by_name: dict[str, list[Path]] = defaultdict(list)
    for video in videos:
        by_name[unicodedata.normalize("NFC", name_of(video)).casefold()].append(video)
    for same in by_name.values():
        if len(same) > 1:
            named = " and ".join(str(video) for video in same)
            raise ValaroError(
                f"{named} would share the folder {out / name_of(same[0])}. Run them with different --out."
            )


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
