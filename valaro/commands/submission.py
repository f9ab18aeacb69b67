"""The challenge's submission: one file for all traces, which `predict` and `export` both write."""

from collections.abc import Sequence
from pathlib import Path

from stages.core.artefacts import whole
from stages.core.errors import ValaroError
from stages.exports.tables import write_abaw
from stages.exports.trace import Trace
from valaro.commands.terminal import result


def require_free(file: Path, force: bool) -> None:
    """Find out before the work that a file can't be written.

    Raises:
        ValaroError: it is there and `force` isn't set, or a folder has its name.
    """
    if file.is_dir() or (file.exists() and not force):
        remedy = "Move the folder away" if file.is_dir() else "Use --force to replace it"
        raise ValaroError(f"{file} exists already. {remedy}, or choose another --out.")


def write_submission(file: Path, traces: Sequence[Trace]) -> None:
    """Write the challenge's rows of every trace, and say where."""
    with whole(file) as partial:
        write_abaw(partial, traces)
    result(f"{file}: {sum(map(len, traces))} rows of {len(traces)} traces")
