"""The command line. Options: `valaro/options.py`; what a command does: `valaro/commands/`.

    valaro predict VIDEO ... --out DIR       valence and arousal of any recording
    valaro export [FOLDER ...] --out DIR     finished traces for other programs
    valaro export-model --out DIR            a trained system as one folder to share, with its card
    valaro info VIDEO ...                    what a file holds, and what the pipeline would do with it
    valaro doctor                            check that everything needed is installed
    valaro sweep PARAM                       compare the finished experiments by one parameter
    valaro import-checkpoint KIND FILE       import the authors' published weights
    valaro models                            pretrained models by name, and which are here
    valaro fetch-model NAME                  download one of them
    valaro reproduce --models DIR            the authors' weights on validation, beside the paper's figures
    valaro profile [NAME]                    list the profiles, or make one the active parameters
    valaro params                            check and print the active parameters
    valaro plan                              how long `dvc repro` will take, and what space it needs
    valaro speed                             how long every stage took, beside the run before
    valaro verify                            check every artefact against what its stage wrote
    valaro scores                            CCC by system and protocol
    valaro report                            the run on one page, as it stands now
    valaro app                               a page on this machine for recordings and the camera

Everything heavy is imported inside the commands, so that `--help` answers at once.
Exit status: 0 all is well, 1 something failed, 2 the command line is invalid.
"""

from pathlib import Path
from typing import Annotated

import typer

from stages import __version__
from valaro.commands.terminal import (
    Quiet,
    Verbose,
    begin,
    report_user_errors,
    report_wrong_option,
    result,
)
from valaro.options import (
    Abstain,
    AudioTrack,
    AuthorsModels,
    BestEpoch,
    CheckpointFile,
    DetectorName,
    Device,
    Discard,
    Explain,
    ExportFolder,
    ExportFormats,
    Formats,
    GpuSpeed,
    Hold,
    Html,
    Jobs,
    Keep,
    Kind,
    Metric,
    ModelFolder,
    ModelName,
    Models,
    ModelsToExport,
    OpenBrowser,
    Out,
    Overlay,
    Parameter,
    PersonName,
    PlanCores,
    PlanDevice,
    PlanHeight,
    PlanHours,
    Port,
    ProfileName,
    Recordings,
    Recursive,
    Repair,
    Replace,
    ReplaceFiles,
    ReportPage,
    Results,
    SplitName,
    SubjectNames,
    Sweeps,
    System,
    SystemFolder,
    TraceName,
    Videos,
)

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"valaro {__version__}")
        raise typer.Exit


@app.callback()
def valaro(
    _asked: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show each step.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print results and errors only.")] = False,
) -> None:
    """Valence and arousal, frame by frame, from ordinary video."""
    begin(quiet, verbose)


@app.command()
def predict(
    recordings: Recordings,
    out: Out,
    recursive: Recursive = False,
    models: Models = None,
    detector: DetectorName = None,
    device: Device = None,
    audio_track: AudioTrack = None,
    formats: Formats = None,
    html: Html = False,
    overlay: Overlay = None,
    system: System = "best",
    abstain: Abstain = None,
    jobs: Jobs = 1,
    person: PersonName = None,
    hold: Hold = False,
    force: Replace = False,
    _verbose: Verbose = False,
    _quiet: Quiet = False,
) -> None:
    """Estimate valence and arousal in each RECORDING.

    One line per recording: what was found, or why it can't be done (the others go on). Those that an earlier
    run finished in the same way are kept, and counted. The CSV has a row per frame: frame, time_s, valence,
    arousal, detected, speaking, and the ends of an interval, narrow where the system is sure: valence_low,
    valence_high, arousal_low, arousal_high.
    """
    from valaro.commands.predict import chosen_formats, chosen_person
    from valaro.commands.predict import predict as run

    wanted = chosen_formats(formats, html=html, overlay=overlay)
    with report_user_errors():
        failed = run(
            recordings,
            out,
            models=models,
            system=system,
            detector=detector,
            device=device,
            audio_track=audio_track,
            formats=wanted,
            jobs=jobs,
            person=chosen_person(person),
            hold=hold,
            force=force,
            abstain=abstain,
            recursive=recursive,
        )
    raise typer.Exit(1 if failed else 0)


@app.command()
def export(
    out: ExportFolder,
    formats: ExportFormats = None,
    folders: Results = None,
    system: TraceName = "best",
    split: SplitName = None,
    subjects: SubjectNames = None,
    force: ReplaceFiles = False,
    _verbose: Verbose = False,
    _quiet: Quiet = False,
) -> None:
    """Write finished traces in other formats.

    They come from the pipeline, or from earlier predictions.
    """
    from valaro.commands.export import chosen_formats
    from valaro.commands.export import export as run

    wanted = chosen_formats(formats or ["csv"])
    with report_user_errors():
        run(folders or (), out, wanted, system=system, split=split, subjects=subjects or (), force=force)


@app.command("export-model")
def export_model(
    out: ModelFolder,
    models: ModelsToExport = None,
    system: System = "best",
    force: ReplaceFiles = False,
    _verbose: Verbose = False,
    _quiet: Quiet = False,
) -> None:
    """Write a trained system to a folder to share.

    It holds weights, parameters, scores and a model card.

    valaro predict VIDEO --model DIR --out TRACES takes the folder as it is.
    """
    from valaro.commands.export_model import export_model as run
    from valaro.recordings.trained import default_models
    from valaro.systems import require_system

    with report_wrong_option("--system"):
        require_system(system)
    with report_user_errors():
        run(out, models=models or default_models(), system=system, force=force)


@app.command()
def info(videos: Videos, _verbose: Verbose = False, _quiet: Quiet = False) -> None:
    """Show what each VIDEO holds.

    And what the pipeline would do with it.
    """
    from valaro.commands.info import info as run

    with report_user_errors():
        failed = run(videos)
    raise typer.Exit(1 if failed else 0)


@app.command()
def doctor(_verbose: Verbose = False, _quiet: Quiet = False) -> None:
    """Check that everything needed is installed.

    Needed is what the active parameters use; where something is missing, the remedy is printed.

    Exit status 1 where something needed is missing.
    """
    from valaro.commands.doctor import doctor as run

    with report_user_errors():
        well = run()
    raise typer.Exit(0 if well else 1)


@app.command()
def sweep(
    parameter: Parameter,
    metric: Metric = "",
    out: Sweeps = Path("metrics/sweeps"),
    _verbose: Verbose = False,
    _quiet: Quiet = False,
) -> None:
    """Compare the finished experiments by one parameter.

    The result is a table, and OUT/<PARAM>.csv and .png.

    First: dvc exp run --queue -S 'dynamic.window_s=1,2,4' train_dynamic; dvc queue start.
    """
    from valaro.commands.sweep import sweep as run

    with report_user_errors():
        run(parameter, metric, out)


@app.command()
def profile(
    name: ProfileName = None, force: Discard = False, _verbose: Verbose = False, _quiet: Quiet = False
) -> None:
    """List the profiles, or make one the active parameters."""
    from valaro.commands.profile import list_profiles, switch

    with report_user_errors():
        if name is None:
            list_profiles()
        else:
            switch(name, force=force)


@app.command("import-checkpoint")
def import_checkpoint(
    kind: Kind, file: CheckpointFile, out: SystemFolder, _verbose: Verbose = False, _quiet: Quiet = False
) -> None:
    """Import one of the authors' published checkpoints.

    The system made of them predicts without training.

    Kinds: static, dynamic (or dynamic-valence, dynamic-arousal), audio-v1, audio-v2, audio-v3. With a static
    and a dynamic one: valaro predict VIDEO --models DIR/models --system dynamic --out TRACES.
    """
    from valaro.commands.import_checkpoint import import_checkpoint as run

    with report_user_errors():
        run(kind, file, out)


@app.command()
def models(_verbose: Verbose = False, _quiet: Quiet = False) -> None:
    """List the pretrained models.

    Name, size, licence, task, source, and where each lies.
    """
    from valaro.commands.models import list_models

    with report_user_errors():
        list_models()


@app.command("fetch-model")
def fetch_model(name: ModelName, _verbose: Verbose = False, _quiet: Quiet = False) -> None:
    """Download a pretrained model.

    NAME is one of `valaro models`, or timm's name of a backbone.

    An interrupted download goes on where it stopped; the SHA-256 is checked before the file appears.
    """
    from valaro.commands.models import fetch_model as run

    with report_user_errors():
        run(name)


@app.command()
def reproduce(models: AuthorsModels, _verbose: Verbose = False, _quiet: Quiet = False) -> None:
    """Compare the authors' weights with the paper.

    They are scored on validation, and ours printed beside the paper's figures.

    First: valaro import-checkpoint static FILE --out authors, and dynamic-valence and dynamic-arousal.
    """
    from valaro.commands.reproduce import reproduce as run

    with report_user_errors():
        run(models)


@app.command()
def params(_verbose: Verbose = False, _quiet: Quiet = False) -> None:
    """Check params.yaml, and print the effective values."""
    from stages.core.params import load_params
    from stages.core.yaml_text import yaml_text

    with report_user_errors():
        content = load_params().model_dump(mode="json")
        for line in yaml_text(content).splitlines():
            result(line)


@app.command()
def scores(_verbose: Verbose = False, _quiet: Quiet = False) -> None:
    """Show the scores of the last evaluation."""
    from stages.core.corpus import Workspace
    from valaro.commands.scores import scores as run

    with report_user_errors():
        run(Workspace())


@app.command()
def plan(
    corpus_hours: PlanHours = None,
    height: PlanHeight = 1080,
    device: PlanDevice = None,
    cores: PlanCores = None,
    gpu_speed: GpuSpeed = 1.0,
    best_epoch: BestEpoch = 10,
    explain: Explain = False,
    _verbose: Verbose = False,
    _quiet: Quiet = False,
) -> None:
    """Print how long `dvc repro` will take.

    Stage by stage, with disk, memory and GPU memory.

    Computes nothing: unit costs times the corpus. The corpus is the one that params.yaml names, by its index
    if that is fresh, else by the headers of its videos; --corpus-hours describes one that isn't here.
    """
    from valaro.commands.plan import plan as run

    with report_user_errors():
        run(
            hours=corpus_hours,
            height=height,
            device=device,
            cores=cores,
            gpu_speed=gpu_speed,
            best_epoch=best_epoch,
            explain=explain,
        )


@app.command()
def speed(_verbose: Verbose = False, _quiet: Quiet = False) -> None:
    """Show how long every stage took.

    Rate, memory, and the run before beside it.
    """
    from valaro.commands import speed as command

    with report_user_errors():
        command.speed(Path())


@app.command()
def verify(repair: Repair = False, _verbose: Verbose = False, _quiet: Quiet = False) -> None:
    """Check every artefact against what its stage wrote.

    Prints which stage to run again.
    """
    from valaro.commands.verify import verify as run

    with report_user_errors():
        well = run(repair)
    raise typer.Exit(0 if well else 1)


@app.command()
def report(
    page: ReportPage = Path(".valaro/report.html"), _verbose: Verbose = False, _quiet: Quiet = False
) -> None:
    """Write the report of the run as it stands.

    It shows what is up to date, and how long every stage took.

    `dvc repro report` makes the lasting one, metrics/report/index.html, and the videos' pages.
    """
    from valaro.commands import report as command

    with report_user_errors():
        command.report(page)


@app.command("app")
def serve_app(
    models: Models = None,
    system: System = "best",
    detector: DetectorName = None,
    device: Device = None,
    port: Port = None,
    keep: Keep = None,
    browser: OpenBrowser = True,
    _verbose: Verbose = False,
    _quiet: Quiet = False,
) -> None:
    """Show a page for recordings and the camera."""
    from valaro.app.analysis import Choice
    from valaro.commands.app import serve

    with report_user_errors():
        choice = Choice(str(models) if models else None, system, detector, device)
        serve(choice, port=port, keep=keep, browser=browser)


if __name__ == "__main__":
    app()
