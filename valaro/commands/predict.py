"""`valaro predict`: every recording through the trained system, a folder each."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import typer

from stages.core.errors import ValaroError
from stages.engine.progress import Bar, frames_per_second
from stages.exports.formats import names_in, require_writers
from stages.exports.trace import Trace
from valaro.commands.submission import ABAW, SUBMISSION, require_free, write_submission
from valaro.commands.terminal import detail, fail, is_quiet, note, readable, result
from valaro.recordings.batch import Outcome, Task, predict_all, private_folder, require_distinct
from valaro.recordings.outputs import DEFAULT_FORMATS, FILM, KNOWN_FORMATS, PAGE
from valaro.recordings.trained import Trained, default_models, find_trained, system_names


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
    videos: Sequence[Path],
    out: Path,
    *,
    models: Path | None,
    system: str,
    detector: str | None,
    formats: Sequence[str],
    jobs: int,
    force: bool,
) -> int:
    """Predict, and say what was found in each recording; the number of those that failed.

    Raises:
        typer.BadParameter: no such system, or two videos would share a folder.
        ValaroError: the system isn't complete, or a format's library is missing.
    """
    if system not in (names := system_names()):
        raise typer.BadParameter(f"{system!r} is none of {', '.join(names)}", param_hint="--system")
    try:
        require_distinct(videos, out)
    except ValaroError as error:
        raise typer.BadParameter(readable(str(error)), param_hint="VIDEO") from None
    require_writers(formats)
    submission = out / SUBMISSION
    if ABAW in formats:
        require_free(submission, force)
    failed, traces = 0, dict[Path, Trace]()
    trained = find_trained(models or default_models(), system, detector)
    _introduce(trained)
    with (
        private_folder(out) as scratch,
        _Console(len(videos), jobs) as console,
        _ended_by_signals(scratch, console),
    ):
        single = tuple(name for name in formats if name != ABAW)
        task = Task(out, scratch, trained, single, force, console.before_step)
        for outcome in predict_all(task, videos, jobs):
            console.report(outcome)
            if outcome.trace is None:
                failed += 1
            elif ABAW in formats:
                traces[outcome.video] = outcome.trace
    if len(videos) > 1:
        note(f"{len(videos) - failed} of {len(videos)} videos done; the results are in {out}")
    if traces:
        write_submission(submission, [traces[video] for video in videos if video in traces])
    for remark in [*trained.notes, *filter(None, [trained.notice])]:
        note(f"note: {remark}")
    return failed


def _introduce(trained: Trained) -> None:
    detail(f"system {trained.system}, trained on {trained.corpus}; models in {trained.models.model('')}")
    for name, md5 in trained.models_md5.items():
        detail(f"  {name} (md5 {md5})")


def _report(outcome: Outcome) -> None:
    if outcome.trace is None:
        fail(outcome.failure)
        return
    result(f"{outcome.folder}: {_in_brief(outcome.trace.summary)}")
    for remark in outcome.trace.summary["notes"]:
        detail(f"  {remark}")


def _in_brief(summary: dict[str, Any]) -> str:
    means = ", ".join(f"{name} {summary[name]['mean'] or 0:+.2f}" for name in ("valence", "arousal"))
    shares = f"face {summary['detected_share']:.0%}, voice {summary['speaking_share']:.0%}"
    return (
        f"{summary['duration_s']:.1f} s, {summary['frames']} frames, {shares}; {means} ({summary['system']})"
    )


@contextmanager
def _ended_by_signals(scratch: Path, console: "_Console") -> Iterator[None]:
    """Let SIGTERM and Ctrl-C end the program at once, workers included, and leave nothing in `scratch`.

    Not by an exception: it may strike while C++ has called Python (MediaPipe does at its import), and is then
    taken for a failed import, or ends the program without any `finally`.
    """
    import psutil

    def end(number: int, _frame: object) -> NoReturn:
        console.hide()
        workers = psutil.Process().children(recursive=True)
        for worker in workers:
            with suppress(psutil.NoSuchProcess):
                worker.kill()
        psutil.wait_procs(workers, timeout=5)
        shutil.rmtree(scratch, ignore_errors=True)
        sys.stdout.flush()
        os._exit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Console:
    """What the terminal shows meanwhile: a bar of the videos, and which step is at work.

    Elsewhere `-v` gets a line per step. Several videos at a time, in processes of their own, tell none.
    """

    def __init__(self, videos: int, jobs: int) -> None:
        self._bar = Bar("predict", videos) if sys.stderr.isatty() and not is_quiet() else None
        self._begin, self._frames = time.monotonic(), 0
        self.before_step: Callable[[Path, str], None] = self._step if jobs == 1 else _nothing

    def __enter__(self) -> "_Console":
        if self._bar:
            self._bar.show()
        return self

    def __exit__(self, *_: object) -> None:
        self.hide()

    def hide(self) -> None:
        """Give the terminal back."""
        if self._bar:
            self._bar.hide()

    def report(self, outcome: Outcome) -> None:
        """What became of a recording, in a line that stays."""
        self._frames += len(outcome.trace) if outcome.trace else 0
        self.hide()
        _report(outcome)
        if self._bar:
            self._bar.advance(frames_per_second(self._frames, time.monotonic() - self._begin))
            self._bar.show()

    def _step(self, video: Path, step: str) -> None:
        words = readable(f"{video.name}: {step}")
        if self._bar:
            self._bar.at_work(words)
        else:
            detail(words)


def _nothing(_video: Path, _step: str) -> None:
    """A display that displays nothing; worker processes can be given it."""
