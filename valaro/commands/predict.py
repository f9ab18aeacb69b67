"""`valaro predict`: every recording through the trained system, a folder each."""

import os
import shutil
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from stages.core.errors import ValaroError
from stages.engine.device import AUTO, require_device_name
from stages.exports.formats import names_in, require_writers
from valaro.commands.submission import require_free, write_submission
from valaro.commands.terminal import (
    detail,
    fail,
    is_quiet,
    is_verbose,
    note,
    report_wrong_option,
    result,
)
from valaro.recordings.formats import ABAW, DEFAULT_FORMATS, FILM, KNOWN_FORMATS, PAGE, SUBMISSION
from valaro.recordings.names import names_for
from valaro.recordings.presence import require_person
from valaro.sources import missing, recordings_in
from valaro.systems import require_system

if TYPE_CHECKING:
    from valaro.prediction import Predictions
    from valaro.progress import Progress
    from valaro.recordings.batch import Outcome
    from valaro.recordings.trained import Trained
    from valaro.trace import Trace


def chosen_formats(
    words: Sequence[str] | None, *, html: bool = False, overlay: bool | None = None
) -> tuple[str, ...]:
    """The formats that the options ask for, each once.

    Args:
        words: of `--format`; None or none at all for the default.
        html: also the page.
        overlay: True adds the film, False leaves it out, None leaves it as it is.

    Raises:
        typer.BadParameter: a format is unknown.
    """
    try:
        names = list(names_in(words, (*KNOWN_FORMATS, ABAW)) if words else DEFAULT_FORMATS)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--format") from None
    names += [PAGE] if html else []
    names += [FILM] if overlay else []
    return tuple(name for name in dict.fromkeys(names) if overlay is not False or name != FILM)


def predict(
    sources: Sequence[Path],
    out: Path,
    *,
    models: Path | None,
    system: str,
    detector: str | None,
    device: str | None,
    audio_track: int | None,
    formats: Sequence[str],
    jobs: int,
    force: bool,
    person: str | None = None,
    hold: bool = False,
    abstain: float | None = None,
    recursive: bool = False,
) -> int:
    """Predict, and say what was found in each recording; the number of those that failed.

    Names and files are checked first: what comes after takes seconds to import.

    Raises:
        typer.BadParameter: no such system, two recordings would have the same name, or frames are to be left
            out of the challenge's file, which holds all.
        ValaroError: the system isn't complete, or a format's library is missing.
    """
    recordings = _checked(sources, system, device, recursive=recursive)
    require_writers(formats)
    if abstain is not None and ABAW in formats:
        raise typer.BadParameter("the challenge's file needs every frame", param_hint="--abstain")
    submission = out / SUBMISSION
    if ABAW in formats:
        require_free(submission, force)
    absent = missing(recordings)
    for recording in absent:
        fail(f"{recording}: no such file. Check the name.")
    if not (present := [one for one in recordings if one not in absent]):
        return len(absent)

    with report_wrong_option("RECORDING"):
        names = names_for(present, out)

    from valaro.model import load_model
    from valaro.prediction import Predictions, files_for

    model = load_model(models, system=system, detector=detector, device=device).hearing(audio_track)
    _introduce(model.trained)
    files = files_for(out, [name for name in formats if name != ABAW], force=force)
    files = replace(files, abstain=abstain)
    found = Predictions(model, names, files, jobs=jobs, progress=_progress(), person=person, hold=hold)
    traces: dict[Path, list[Trace]] = defaultdict(list)
    with _ended_by_signals(found):
        for outcome in found.outcomes():
            if outcome.kept:
                detail(f"{outcome.folder}: finished before, kept")
            else:
                _report(outcome)
            if outcome.trace is not None and ABAW in formats:
                traces[outcome.video].append(outcome.trace)
    if found.kept:
        note(_kept(len(found.kept), len(recordings)))
    failed = len(absent) + len(found.failures)
    if len(recordings) > 1:
        note(_count(len(recordings) - failed, len(recordings), out))
    if traces:
        write_submission(submission, [trace for video in present for trace in traces[video]])
    for remark in [*model.trained.notes, *filter(None, [model.notice])]:
        note(f"note: {remark}")
    return failed


def chosen_person(word: str | None) -> str | None:
    """The person that `--person` asks for.

    Raises:
        typer.BadParameter: nobody can be asked for by that word.
    """
    with report_wrong_option("--person"):
        return require_person(word)


def _checked(sources: Sequence[Path], system: str, device: str | None, *, recursive: bool) -> list[Path]:
    """The recordings, once it is sure that names make sense.

    Raises:
        typer.BadParameter: one of them doesn't.
    """
    with report_wrong_option("--system"):
        require_system(system)
    with report_wrong_option("--device"):
        require_device_name(device or AUTO)
    results: list[Path] = []
    with report_wrong_option("RECORDING"):
        recordings = recordings_in(sources, results, recursive=recursive)
    if results:
        more = f" and {len(results) - 1} more" if len(results) > 1 else ""
        note(f"note: left out, since earlier runs wrote them: {results[0]}{more}")
    return recordings


def _kept(kept: int, total: int) -> str:
    said = f"{kept} of {total} were finished before: kept" if total > 1 else "finished before: kept"
    return f"{said} (--force computes again)"


def _count(done: int, total: int, out: Path) -> str:
    results = f"; the results are in {out}" if done else ""
    return f"{done} of {total} recordings done{results}"


def _progress() -> bool | Callable[["Progress"], None]:
    """A bar on a terminal; elsewhere `-v` gets a line per step."""
    if sys.stderr.isatty() and not is_quiet():
        return True
    return _Steps() if is_verbose() else False


class _Steps:
    """A line per step."""

    def __init__(self) -> None:
        self._latest: tuple[Path, str] | None = None

    def __call__(self, progress: "Progress") -> None:
        now = progress.recording, progress.step
        if now != self._latest and progress.share < 1:
            self._latest = now
            detail(f"{progress.label}: {progress.step}")


def _introduce(trained: "Trained") -> None:
    detail(f"system {trained.system}, trained on {trained.corpus}; models in {trained.models.model('')}")
    for name, md5 in trained.models_md5.items():
        detail(f"  {name} (md5 {md5})")


def _report(outcome: "Outcome") -> None:
    if outcome.trace is None:
        fail(str(outcome.error))
        return
    result(f"{outcome.folder}: {_in_brief(outcome.trace.summary)}")
    for remark in outcome.trace.summary["notes"]:
        note(f"  note: {remark}")


def _in_brief(summary: dict[str, Any]) -> str:
    known = {name: summary[name]["mean"] for name in ("valence", "arousal")}
    means = ", ".join(f"{name} {'none' if mean is None else f'{mean:+.2f}'}" for name, mean in known.items())
    shares = f"face {summary['detected_share']:.0%}, speaking {summary['speaking_share']:.0%}"
    if summary["no_value_share"]:
        shares += f", no value {summary['no_value_share']:.0%}"
    length = {
        "video": f"{summary['duration_s']:.1f} s, {summary['frames']} frames, {shares}",
        "sound": f"{summary['duration_s']:.1f} s of sound",
        "picture": "picture",
    }[summary["kind"]]
    return f"{length}; {means} ({summary['system']})"


@contextmanager
def _ended_by_signals(found: "Predictions") -> Iterator[None]:
    """Let SIGTERM and Ctrl-C end the program at once, workers included, and leave no unfinished files.

    What is finished goes into the table. It isn't done by an exception: that may strike while C++ has called
    Python (MediaPipe does at its import), and is then taken for a failed import, or ends the program without
    any `finally`.
    """
    import psutil

    def end(number: int, _frame: object) -> NoReturn:
        if found.bar:
            found.bar.hide()
        workers = psutil.Process().children(recursive=True)
        for worker in workers:
            with suppress(psutil.NoSuchProcess):
                worker.kill()
        psutil.wait_procs(workers, timeout=5)
        if found.table:
            with suppress(OSError, ValaroError):
                found.table.finish(found.recordings)
        if found.scratch:
            shutil.rmtree(found.scratch, ignore_errors=True)
        sys.stdout.flush()
        os._exit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
