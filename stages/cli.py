"""The command line.

    valaro predict VIDEO ... --out DIR       valence and arousal of any recording
    valaro import-checkpoint KIND FILE       take the authors' published weights
    valaro profile [NAME]                    list the profiles, or make one the active parameters
    valaro params                            check and print the active parameters

Everything heavy is imported inside the commands, so that `--help` answers at once.
Exit status: 0 all is well, 1 something failed, 2 the command itself makes no sense.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from stages import __version__
from stages.core.errors import ValaroError

CHECKOUT = Path(__file__).resolve().parents[1]

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)


class Detector(StrEnum):
    """Face detectors, as in params.yaml."""

    RETINAFACE = "retinaface"
    BLAZEFACE_SHORT = "blazeface_short"
    BLAZEFACE_FULL = "blazeface_full"


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"valaro {__version__}")
        raise typer.Exit


@app.callback()
def valaro(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Valence and arousal, frame by frame, from ordinary video."""


Videos = Annotated[list[Path], typer.Argument(metavar="VIDEO", help="Video files of any common format.")]
Out = Annotated[
    Path,
    typer.Option(
        metavar="DIR", file_okay=False, help="Folder for the results: DIR/<name>/<name>.csv .json .png .mp4"
    ),
]
Models = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder of trained models, params.yaml and metrics/ beside it. Default: models/ here, else that "
        "of the checkout.",
    ),
]
DetectorName = Annotated[
    Detector | None, typer.Option(help="Face detector. Default: the one used in training.")
]
Overlay = Annotated[bool, typer.Option(help="Draw face box and curves into a copy of the video (.mp4).")]
System = Annotated[
    str, typer.Option(metavar="NAME", help="System, or fusion of systems; best: by the evaluation.")
]
Jobs = Annotated[int, typer.Option(metavar="N", min=1, help="Videos at a time.")]
Replace = Annotated[bool, typer.Option("--force", help="Replace the results of earlier runs.")]
Kind = Annotated[str, typer.Argument(metavar="KIND", help="Which model it is.")]
CheckpointFile = Annotated[Path, typer.Argument(metavar="FILE", help="The state dict, .pth or .safetensors.")]
SystemFolder = Annotated[
    Path,
    typer.Option(
        "--out", metavar="DIR", file_okay=False, help="Folder of the system: DIR/models, DIR/params.yaml"
    ),
]
ProfileName = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="The profile to write to params.yaml.")
]
Discard = Annotated[
    bool, typer.Option("--force", help="Even if params.yaml has edits that no profile has (a copy is kept).")
]


@app.command()
def predict(
    videos: Videos,
    out: Out,
    models: Models = None,
    detector: DetectorName = None,
    overlay: Overlay = True,
    system: System = "best",
    jobs: Jobs = 1,
    force: Replace = False,
) -> None:
    """Estimate valence and arousal in every frame of each VIDEO.

    One line per video: what was found, or why it can't be done (the others go on). The CSV has a row per
    frame: frame, time_s, valence, arousal, detected, voiced.
    """
    from stages.recordings.batch import Task, predict_all, private_folder, require_distinct
    from stages.recordings.outputs import DEFAULT_FORMATS
    from stages.recordings.trained import find_trained, system_names

    if system not in (names := system_names()):
        raise typer.BadParameter(f"{system!r} is none of {', '.join(names)}", param_hint="--system")
    try:
        require_distinct(videos, out)
    except ValaroError as error:
        raise typer.BadParameter(_readable(str(error)), param_hint="VIDEO") from None
    failed, formats = 0, tuple(name for name in DEFAULT_FORMATS if overlay or name != "mp4")
    with _mendable(), _ended_by_sigterm():
        trained = find_trained(models or _default_models(), system, detector)
        with private_folder(out) as scratch, _steps_shown(jobs) as show_step:
            task = Task(out, scratch, trained, formats, force, show_step)
            for outcome in predict_all(task, videos, jobs):
                failed += bool(outcome.failure)
                show_step(outcome.video, "")
                if outcome.failure:
                    _say(f"error: {outcome.failure}")
                else:
                    typer.echo(_readable(f"{outcome.folder}: {_in_brief(outcome.summary)}"))
        for remark in [*trained.notes, *filter(None, [trained.notice])]:
            _say(f"note: {remark}")
    raise typer.Exit(1 if failed else 0)


@app.command()
def profile(name: ProfileName = None, force: Discard = False) -> None:
    """List the profiles, or make one the active parameters."""
    from stages.core.profiles import active_profile, find_profiles, first_comment, switch_profile

    root = Path()
    with _mendable():
        profiles, active = find_profiles(root), active_profile(root)
        if name is None:
            for known, path in profiles.items():
                typer.echo(f"{'*' if known == active else ' '} {known:12} {first_comment(path)}")
            if active is None:
                typer.echo("params.yaml is missing, or has edits that no profile has.")
            return
        if name not in profiles:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(profiles)}", param_hint="NAME")
        switched = switch_profile(root, name, force=force)
        for change in switched.changes:
            typer.echo(change)
        if switched.backup:
            typer.echo(f"The edits are kept in {switched.backup}.")
        typer.echo(f"params.yaml {'was' if active == name else 'is now'} profile {name}.")


@app.command("import-checkpoint")
def import_checkpoint(kind: Kind, file: CheckpointFile, out: SystemFolder) -> None:
    """Take one of the authors' published checkpoints into a system that predicts without training.

    Kinds: static, dynamic (or dynamic-valence, dynamic-arousal), audio-v1, audio-v2, audio-v3. With a static
    and a dynamic one: valaro predict VIDEO --models DIR/models --system dynamic --out TRACES.
    """
    from stages.recordings.published import KINDS
    from stages.recordings.published import import_checkpoint as take

    if kind not in KINDS:
        raise typer.BadParameter(f"{kind!r} is none of {', '.join(KINDS)}", param_hint="KIND")
    with _mendable():
        for path in take(kind, file, out, CHECKOUT / "profiles" / "affwild2.yaml"):
            typer.echo(str(path))


@app.command()
def params() -> None:
    """Check params.yaml, and print what is in force."""
    import yaml

    from stages.core.params import load_params

    with _mendable():
        content = load_params().model_dump(mode="json")
        typer.echo(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), nl=False)


@contextmanager
def _mendable() -> Iterator[None]:
    """What the user can mend is one line, not a traceback."""
    try:
        yield
    except (ValaroError, OSError) as error:
        _say(f"error: {error}")
        raise typer.Exit(1) from None


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block like an exception, so that private folders are removed."""
    import signal

    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _steps_shown(jobs: int) -> Iterator[Callable[[Path, str], None]]:
    """On a terminal, and one video at a time, say which step is at work; "" clears the line for others."""
    if jobs > 1 or not sys.stderr.isatty():
        yield _nothing
        return
    from rich.console import Console
    from rich.text import Text

    status = Console(stderr=True).status("")

    def show(video: Path, step: str) -> None:
        if step:
            status.update(Text(_readable(f"{video.name}: {step}")))
            status.start()
        else:
            status.stop()

    with status:
        yield show


def _nothing(_video: Path, _step: str) -> None:
    """A progress display that displays nothing; worker processes can be given it."""


def _default_models() -> Path:
    return Path("models") if Path("params.yaml").is_file() else CHECKOUT / "models"


def _in_brief(summary: dict[str, Any]) -> str:
    means = ", ".join(f"{name} {summary[name]['mean'] or 0:+.2f}" for name in ("valence", "arousal"))
    shares = f"face {summary['detected_share']:.0%}, voice {summary['voiced_share']:.0%}"
    return (
        f"{summary['duration_s']:.1f} s, {summary['frames']} frames, {shares}; {means} ({summary['system']})"
    )


def _say(line: str) -> None:
    typer.echo(_readable(line), err=True)


def _readable(line: str) -> str:
    """One line, whatever a file name holds: line breaks and bytes that aren't text are escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)
