"""How much is printed, and where: results on stdout, notes, progress and errors on stderr."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from stages.core.errors import ValaroError
from stages.engine.garbage import collect_rarely

QUIET, NORMAL, VERBOSE = -1, 0, 1


class _Level:
    """How much this process prints."""

    value = NORMAL


def is_quiet() -> bool:
    """Whether only results and errors are wanted."""
    return _Level.value <= QUIET


def is_verbose() -> bool:
    """Whether every step is wanted."""
    return _Level.value >= VERBOSE


def result(line: str) -> None:
    """What the command was asked for."""
    typer.echo(readable(line))


def note(line: str) -> None:
    """What the user should know beside it."""
    if not is_quiet():
        typer.echo(readable(line), err=True)


def detail(line: str) -> None:
    """A detail, printed with --verbose only."""
    if is_verbose():
        typer.echo(readable(line), err=True)


def fail(line: str) -> None:
    """What went wrong."""
    typer.echo(readable(f"error: {line}"), err=True)


def readable(line: str) -> str:
    """One line, whatever a file name holds: line breaks and bytes that aren't text are escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


@contextmanager
def report_user_errors() -> Iterator[None]:
    """What the user can fix is one line, not a traceback."""
    try:
        yield
    except BrokenPipeError:  # `| head` has read enough
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())  # what is flushed at the end goes there
        raise typer.Exit(0) from None
    except ValaroError as error:
        fail(str(error))
        raise typer.Exit(1) from None
    except OSError as error:
        said = error.strerror and error.filename is not None
        fail(f"{error.filename}: {error.strerror}." if said else str(error))
        raise typer.Exit(1) from None


@contextmanager
def report_wrong_option(option: str) -> Iterator[None]:
    """An option that makes no sense is a fault of the command: exit status 2.

    Args:
        option: its name as the user types it.
    """
    try:
        yield
    except ValaroError as error:
        raise typer.BadParameter(readable(str(error)), param_hint=option) from None


def begin(quiet: bool, verbose: bool) -> None:
    """Set how much is printed from now on, and collect garbage less often."""
    collect_rarely()
    _Level.value = NORMAL
    _more(verbose)
    _less(quiet)


def _more(wanted: bool) -> None:
    if wanted:
        _require_one(QUIET)
        _Level.value = VERBOSE


def _less(wanted: bool) -> None:
    if wanted:
        _require_one(VERBOSE)
        _Level.value = QUIET


def _require_one(other: int) -> None:
    if _Level.value == other:
        raise typer.BadParameter("--quiet and --verbose exclude each other.")


Verbose = Annotated[bool, typer.Option("-v", "--verbose", callback=_more, help="Show each step.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", callback=_less, help="Print results and errors only.")]
"""Every command takes them, before its name and after it; they act by themselves."""
