"""Recordings through a trained system: one gives a trace, several give an iterator of traces."""

import sys
import tempfile
import warnings
from collections import defaultdict, deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from stages.core.errors import BadInput, ValaroError
from stages.engine.device import on_device
from stages.exports.formats import require_writers
from valaro.model import Model, load_model
from valaro.progress import Bar, Meter, Tell, ignore, nobody
from valaro.recordings.batch import RESULTS, Files, Named, Outcome, Task, predict_all, private_folder
from valaro.recordings.chain import step_names
from valaro.recordings.formats import KNOWN_FORMATS
from valaro.recordings.names import names_for
from valaro.recordings.presence import EVERYONE, require_person
from valaro.recordings.resume import made_with
from valaro.recordings.table import TracesTable
from valaro.sources import Source, is_many, recordings_in
from valaro.suggestions import unknown
from valaro.trace import Trace, table_of

if TYPE_CHECKING:
    from pandas import DataFrame


class RecordingWarning(UserWarning):
    """A recording among several could not be used; the text says why, and the others go on."""


class Predictions(Iterator[Trace]):
    """The traces of several recordings, in their order, computed as they are asked for.

    A recording that can't be used is a warning (`RecordingWarning`) and an entry of `failures`; the others go
    on. `len()` is the number of recordings.
    """

    def __init__(
        self,
        model: Model,
        names: Mapping[Path, str],
        files: Files | None = None,
        *,
        jobs: int = 1,
        progress: bool | Tell | None = None,
        person: str | None = None,
        hold: bool = False,
    ) -> None:
        if jobs < 1:
            raise ValaroError(f"jobs is {jobs}: give how many recordings to work on at a time, 1 or more.")
        self._person, self._hold = require_person(person), hold
        self._named = [Named(file, name) for file, name in names.items()]
        self.model, self.recordings, self.failures = model, list(names), list[ValaroError]()
        self.kept: list[Path] = []
        """The recordings whose results an earlier run had finished; their traces are read, not computed."""
        self.scratch: Path | None = None
        """The private folder while the work goes on."""
        self.table: TracesTable | None = None
        """The table over all recordings, where files are written."""
        self._files, self._jobs = files, jobs
        shown = sys.stderr.isatty() if progress is None else progress is True
        self.bar = Bar(len(names)) if shown else None
        tell = progress if callable(progress) else self.bar or ignore
        steps = [*step_names(model.trained), *([RESULTS] if files else [])]
        self._meter = Meter(steps, len(names), tell)
        self._outcomes = self._work()
        self._in_order = self._ordered()

    def __len__(self) -> int:
        return len(self.recordings)

    def __next__(self) -> Trace:
        for outcome in self._in_order:
            if outcome.trace is not None:
                return outcome.trace
            warnings.warn(str(outcome.error), RecordingWarning, stacklevel=2)
        raise StopIteration

    def _ordered(self) -> Iterator[Outcome]:
        """The outcomes in the order of the recordings: of several jobs, a later one may finish first."""
        waiting, finished = deque(self.recordings), defaultdict[Path, list[Outcome]](list)
        for outcome in self.outcomes():
            finished[outcome.video].append(outcome)
            while waiting and (known := finished[waiting[0]]) and not known[-1].more:
                yield from finished.pop(waiting.popleft())

    def outcomes(self) -> Iterator[Outcome]:
        """What became of each recording, the failures too, as they finish."""
        while True:
            with on_device(self.model.device), self.bar or nullcontext():
                outcome = next(self._outcomes, None)
            if outcome is None:
                return
            if outcome.error:
                self.failures.append(outcome.error)
            yield outcome

    def to_pandas(self) -> "DataFrame":
        """One table over all recordings that are left: that of `Trace.to_pandas`, with a column `recording`.

        Raises:
            ValaroError: none of them gave a trace.
        """
        traces = list(self)
        if not traces:
            raise ValaroError("none of the recordings gave a trace; `failures` says why.")
        return table_of(traces)

    def close(self) -> None:
        """Give up what is left, and remove what is unfinished."""
        self._outcomes.close()

    def __repr__(self) -> str:
        return f"<Predictions of {len(self)} recordings by {self.model.system}>"

    def _work(self) -> Generator[Outcome, None, None]:
        with ExitStack() as stack:
            if self._files:
                self.scratch = stack.enter_context(private_folder(self._files.out))
            else:
                self.scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="valaro-")))
            # Worker processes report no progress.
            tell = self._meter if self._jobs == 1 else nobody
            trained = self.model.trained
            task = Task(self.scratch, trained, self._files, tell, self._person, self._hold)
            table = self.table
            if self._files:
                table = self.table = TracesTable(self._files.out, self.scratch, self._files.formats)
                stack.callback(table.finish, self.recordings)
                made = made_with(trained, self._person, hold=self._hold, abstain=self._files.abstain)
                task = replace(task, tables=table.suffixes, made_with=made)
            for outcome in predict_all(task, self._named, self._jobs):
                if not outcome.more:
                    self._meter.finished(outcome.video)
                    self.kept += [outcome.video] if outcome.kept else []
                if table and outcome.folder and outcome.trace is not None:
                    if outcome.kept:
                        table.keep(outcome.video, outcome.folder, outcome.trace)
                    else:
                        table.add(outcome.video, outcome.folder)
                yield outcome


@overload
def predict(  # type: ignore[overload-overlap]
    source: Source,
    *,
    recursive: bool = ...,
    model: Model | Source | None = ...,
    system: str = ...,
    detector: str | None = ...,
    device: str | None = ...,
    audio_track: int | None = ...,
    progress: bool | Tell | None = ...,
    out: Source | None = ...,
    formats: Sequence[str] = ...,
    force: bool = ...,
    jobs: int = ...,
    person: str | int | None = ...,
    hold: bool = ...,
) -> Trace | Any: ...  # an iterator where it is a folder or a pattern


@overload
def predict(
    source: Iterable[Source],
    *,
    recursive: bool = ...,
    model: Model | Source | None = ...,
    system: str = ...,
    detector: str | None = ...,
    device: str | None = ...,
    audio_track: int | None = ...,
    progress: bool | Tell | None = ...,
    out: Source | None = ...,
    formats: Sequence[str] = ...,
    force: bool = ...,
    jobs: int = ...,
    person: str | int | None = ...,
    hold: bool = ...,
) -> Predictions: ...


def predict(
    source: Source | Iterable[Source],
    *,
    recursive: bool = False,
    model: Model | Source | None = None,
    system: str = "best",
    detector: str | None = None,
    device: str | None = None,
    audio_track: int | None = None,
    progress: bool | Tell | None = None,
    out: Source | None = None,
    formats: Sequence[str] = ("csv",),
    force: bool = False,
    jobs: int = 1,
    person: str | int | None = None,
    hold: bool = False,
) -> Trace | Predictions:
    """Estimate valence and arousal in every frame of a recording, or of several.

    >>> import valaro
    >>> trace = valaro.predict("interview.mp4")                     # doctest: +SKIP
    >>> trace.to_pandas().head()                                    # doctest: +SKIP
    >>> for trace in valaro.predict("clips/", progress=True):       # doctest: +SKIP
    ...     print(trace)

    Args:
        source: a file; or a folder (the recordings in it), a pattern (`clips/**/*.mp4`) or a list of these.
            Files that an earlier run wrote are left out.
        recursive: search the folders below a folder, too; hidden ones are left out.
        model: from `load_model`, or what it takes; None: the models of this repository if they learnt from a
            real corpus, else the starter.
        system: a system or a fusion of systems (`dynamic`, `dwf_dynamic_audio`); `best`: by the evaluation.
        detector: a face detector other than the one used in training.
        device: `cpu`, `cuda` or `cuda:1`; None: a GPU if there is one.
        audio_track: which of several audio tracks, from 1, as `valaro info` lists them; None: the one that
            players prefer of those with sound.
        progress: True shows a bar, False doesn't, None does on a terminal; or a function that is told a
            `Progress` at every step.
        out: a folder for files, as `valaro predict` writes them: OUT/<name>/<name>.csv ..., and
            OUT/traces.csv (.parquet) with all recordings; None writes none. The name is that of the file;
            recordings of equal name get folders in front that tell them apart (`P01_cam`).
        formats: of these files, in a list or with commas: csv, parquet, json, vtt, eaf, png, mp4, html. The
            summary (JSON) is always there.
        force: replace files of earlier runs. Without it, results that this run would write again are kept and
            their traces read (see `Predictions.kept`); results that differ are an error.
        jobs: recordings at a time, in processes of their own; the traces come in the order of the recordings.
        person: whose face: left, right, largest, first, prominent, a number (1: the most prominent), or all;
            None: as in training.
        hold: give values where nobody is there as well: the model's estimate of the last face.

    Returns:
        A `Trace` for a file; for several, and for all people of a file, an iterator of traces (`Predictions`)
        that computes each when it is asked for.

    Raises:
        BadInput: the file can't be used: what is wrong with it, and what to do. Of several recordings, such a
            one is a warning, and the others go on.
        ValaroError: the model, the system, the device or a format isn't there, or `jobs` is below 1.
    """
    single = isinstance(source, str | Path) or hasattr(source, "__fspath__")
    named: list[Source] = [source] if single else list(source)  # type: ignore[arg-type, list-item]
    recordings = recordings_in(named, recursive=recursive)
    alone = single and not is_many(named[0])
    if alone and not recordings[0].exists():
        raise BadInput(recordings[0], "no such file", "Check the name")
    chosen = _model_of(model, system, detector, device).hearing(audio_track)
    files = files_for(Path(out), formats, force=force) if out is not None else None
    names = names_for(recordings, files.out if files else None)
    who = require_person(None if person is None else str(person))
    found = Predictions(chosen, names, files, jobs=jobs, progress=progress, person=who, hold=hold)
    if not alone or who == EVERYONE:
        return found
    outcome = next(found.outcomes())
    found.close()
    if outcome.trace is None:
        raise outcome.error or ValaroError(f"{recordings[0]}: no trace.")
    return outcome.trace


def files_for(out: Path, formats: Sequence[str], *, force: bool) -> Files:
    """What to write of every recording, once it is sure that it can be.

    Raises:
        ValaroError: a format is unknown or its library is missing.
    """
    formats = formats.split(",") if isinstance(formats, str) else formats
    for name in formats:
        if name not in KNOWN_FORMATS:
            raise ValaroError(unknown("format", name, KNOWN_FORMATS))
    require_writers(formats)
    return Files(out, tuple(formats), force)


def _model_of(model: Model | Source | None, system: str, detector: str | None, device: str | None) -> Model:
    """The model as it is, or loaded.

    Raises:
        ValaroError: it is loaded already, and another system, detector or device is wanted.
    """
    if not isinstance(model, Model):
        return load_model(model, system=system, detector=detector, device=device)
    if (system, detector, device) != ("best", None, None):
        raise ValaroError("the model is loaded already: give system, detector and device to load_model.")
    return model
