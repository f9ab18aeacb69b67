"""`valaro import-checkpoint`: the authors' published weights as a system that predicts without training."""

from pathlib import Path

import typer

from stages.engine.fingerprint import ROOT
from valaro.commands.terminal import result
from valaro.recordings.published import KINDS
from valaro.recordings.published import import_checkpoint as take


def import_checkpoint(kind: str, file: Path, out: Path) -> None:
    """Take one state dict into the system at `out`, and say what was written.

    Raises:
        typer.BadParameter: no such kind of model.
        BadInput: the file is no checkpoint of this kind.
    """
    if kind not in KINDS:
        raise typer.BadParameter(f"{kind!r} is none of {', '.join(KINDS)}", param_hint="KIND")
    for path in take(kind, file, out, ROOT / "profiles" / "affwild2.yaml"):
        result(str(path))
