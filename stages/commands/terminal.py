"""How much is said, and where: results on stdout, notes, progress and errors on stderr."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
import typer
from typer.core import TyperCommand

from stages.core.errors import ValaroError

QUIET, NORMAL, VERBOSE = -1, 0, 1


class _Level:
    """How much this process says."""

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
    """What only the curious want to know."""
    if is_verbose():
        typer.echo(readable(line), err=True)


def fail(line: str) -> None:
    """What went wrong."""
    typer.echo(readable(f"error: {line}"), err=True)


def readable(line: str) -> str:
    """One line, whatever a file name holds: line breaks and bytes that aren't text are escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


@contextmanager
def mendable() -> Iterator[None]:
    """What the user can mend is one line, not a traceback."""
    try:
        yield
    except (ValaroError, OSError) as error:
        fail(str(error))
        raise typer.Exit(1) from None


def set_level(quiet: bool, verbose: bool) -> None:
    """Say how much is said from now on; both at once make no sense."""
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose exclude each other.")
    _Level.value = QUIET if quiet else VERBOSE if verbose else NORMAL


class Command(TyperCommand):
    """A command that takes -q and -v after its name too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += [
            click.Option(["-v", "--verbose"], is_flag=True, help="Say every step.", expose_value=False, callback=_more),
            click.Option(
                ["-q", "--quiet"], is_flag=True, help="Say results and errors only.", expose_value=False, callback=_less
            ),
        ]


def _more(_context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        set_level(is_quiet(), True)


def _less(_context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        set_level(True, is_verbose())
