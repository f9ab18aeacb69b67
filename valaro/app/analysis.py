"""One recording analysed in a process of its own: a file that crashes the process affects nothing else."""

from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from stages.core.errors import ValaroError
from valaro.recordings.formats import KNOWN_FORMATS

Message = tuple[str, Any]
"""("progress", (step, share)), ("done", the summary), or ("failed", why)."""


@dataclass(frozen=True)
class Choice:
    """The trained system that analyses, as `valaro.load_model` takes it."""

    model: str | None
    system: str
    detector: str | None
    device: str | None


def start(recording: Path, out: Path, choice: Choice) -> tuple[Any, Connection]:
    """Begin to analyse a recording into the folder `out`: the process, and where its messages come from."""
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_analyse, args=(recording, out, choice, sender), daemon=True)
    process.start()
    sender.close()
    return process, receiver


def _analyse(recording: Path, out: Path, choice: Choice, sender: Connection) -> None:
    """Runs in the new process."""
    from valaro.model import load_model
    from valaro.prediction import Predictions
    from valaro.progress import Progress
    from valaro.recordings.batch import Files
    from valaro.recordings.names import names_for

    def tell(progress: Progress) -> None:
        sender.send(("progress", (progress.step, progress.share)))

    try:
        model = load_model(choice.model, system=choice.system, detector=choice.detector, device=choice.device)
        (outcome,) = Predictions(
            model, names_for([recording], out), Files(out, KNOWN_FORMATS, force=True), progress=tell
        ).outcomes()
    except ValaroError as error:
        sender.send(("failed", str(error)))
        return
    if outcome.trace is None:
        sender.send(("failed", str(outcome.error)))
    else:
        sender.send(("done", outcome.trace.summary))
