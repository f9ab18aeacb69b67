"""Arguments and options of the commands: type, name on the command line, help."""

from pathlib import Path
from typing import Annotated

import typer

from stages.core.detectors import DETECTORS
from stages.exports.formats import FORMATS
from valaro.recordings.formats import ABAW, ABOUT, DEFAULT_FORMATS, listed
from valaro.suggestions import unknown


def _detector(name: str | None) -> str | None:
    if name and name not in DETECTORS:
        raise typer.BadParameter(unknown("detector", name, DETECTORS))
    return name


Videos = Annotated[list[Path], typer.Argument(metavar="VIDEO", help="Video files of any common format.")]
Recordings = Annotated[
    list[Path],
    typer.Argument(
        metavar="RECORDING",
        help="Videos of any common format; a folder, or a pattern in quotes such as 'clips/**/*.mp4'.",
    ),
]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", help="Search the folders below a folder, too; not hidden ones.")
]
Device = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Where to compute: cpu, cuda, cuda:1. Default: a GPU if there is one."),
]
Out = Annotated[
    Path,
    typer.Option(
        metavar="DIR",
        file_okay=False,
        help="Folder for the results: DIR/<name>/<name>.csv …; of several files of equal name "
        "DIR/<folder>_<name>/<folder>_<name>.csv …",
    ),
]
Models = Annotated[
    Path | None,
    typer.Option(
        "--models",
        "--model",
        metavar="DIR",
        help="Trained models: a folder with params.yaml and metrics/ beside it, or one that `valaro "
        "export-model` wrote. Default: those of this repository if they learnt from a real corpus, else the "
        "starter.",
    ),
]
ModelsToExport = Annotated[
    Path | None,
    typer.Option(
        "--models",
        "--model",
        metavar="DIR",
        help="Trained models: a folder with params.yaml and metrics/ beside it. Default: models/ of this "
        "repository.",
    ),
]
DetectorName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        callback=_detector,
        help=f"Face detector: {', '.join(DETECTORS)}. Default: the one used in training.",
    ),
]
AudioTrack = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Audio track, numbered as in `valaro info`. Default: the players' first choice with sound.",
    ),
]
Formats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        metavar="NAME,...",
        help=f"What to write beside the summary: {listed(ABOUT)}. Default: {','.join(DEFAULT_FORMATS)}.",
    ),
]
Html = Annotated[bool, typer.Option("--html", help="Also a page with video, curves and faces (.html).")]
Overlay = Annotated[
    bool | None,
    typer.Option(
        "--overlay/--no-overlay", help="With or without a copy of the video with face box and curves (.mp4)."
    ),
]
System = Annotated[
    str, typer.Option(metavar="NAME", help="System, or fusion of systems; best: by the evaluation.")
]
Abstain = Annotated[
    float | None,
    typer.Option(metavar="WIDTH", min=0, max=2, help="Leave out frames whose interval is wider than this."),
]
Jobs = Annotated[int, typer.Option(metavar="N", min=1, help="Recordings at a time.")]
Replace = Annotated[
    bool,
    typer.Option(
        "--force", help="Replace the results of earlier runs; without it, those that would be equal are kept."
    ),
]
Results = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="FOLDER",
        exists=True,
        file_okay=False,
        help="Results of `valaro predict`: its --out, or folders in it. Default: this repository's subjects.",
    ),
]
ExportFormats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        metavar="NAME,...",
        help=f"What to write: {listed((*FORMATS, ABAW))}. Default: csv.",
    ),
]
ExportFolder = Annotated[
    Path, typer.Option("--out", metavar="DIR", file_okay=False, help="Folder for the files: DIR/<name>.csv …")
]
TraceName = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="System or fusion of this repository; <name>.out_of_fold: its out-of-fold traces.",
    ),
]
SplitName = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Split of this repository: train, validation or test. Default: all."),
]
SubjectNames = Annotated[
    list[str] | None,
    typer.Option("--subject", metavar="NAME", help="Subject of this repository; may be given several times."),
]
ModelFolder = Annotated[
    Path,
    typer.Option("--out", metavar="DIR", file_okay=False, help="Folder for weights, parameters and card."),
]
ReplaceFiles = Annotated[bool, typer.Option("--force", help="Replace files that are there.")]
Kind = Annotated[str, typer.Argument(metavar="KIND", help="Kind of model, see above.")]
CheckpointFile = Annotated[Path, typer.Argument(metavar="FILE", help="The state dict, .pth or .safetensors.")]
SystemFolder = Annotated[
    Path,
    typer.Option(
        "--out", metavar="DIR", file_okay=False, help="Folder of the system: DIR/models, DIR/params.yaml"
    ),
]
AuthorsModels = Annotated[
    Path,
    typer.Option(
        "--models", metavar="DIR", file_okay=False, help="Folder that `valaro import-checkpoint` wrote."
    ),
]
ProfileName = Annotated[
    str | None, typer.Argument(metavar="NAME", help="The profile to write to params.yaml.")
]
Discard = Annotated[
    bool, typer.Option("--force", help="Replace params.yaml even if it was edited (a copy is kept).")
]
ModelName = Annotated[str, typer.Argument(metavar="NAME", help="Name, as in `valaro models`.")]
PlanHours = Annotated[
    float | None,
    typer.Option(
        metavar="H", min=0.01, help="Hours of a corpus like Aff-Wild2, which has 28.6. Default: the one here."
    ),
]
PlanHeight = Annotated[
    int, typer.Option(metavar="N", min=16, help="Height of its pictures in pixels, with --corpus-hours.")
]
PlanDevice = Annotated[
    str | None, typer.Option(metavar="NAME", help="cpu or cuda. Default: a GPU if there is one here.")
]
PlanCores = Annotated[int | None, typer.Option(metavar="N", min=1, help="Processors. Default: those here.")]
GpuSpeed = Annotated[float, typer.Option(metavar="X", min=0.01, help="Speed of the GPU against an RTX 3090.")]
BestEpoch = Annotated[
    int, typer.Option(metavar="N", min=1, help="Epoch at which training is assumed to reach its best score.")
]
Explain = Annotated[
    bool, typer.Option("--explain", help="Also print the unit costs and where they are from.")
]
Parameter = Annotated[
    str, typer.Argument(metavar="PARAM", help="Dotted name in params.yaml, e.g. dynamic.window_s.")
]
Metric = Annotated[
    str,
    typer.Option(
        metavar="KEY,...",
        help="Figures to compare; file:key where several files have the key. Default: the best CCC of the "
        "section's training.",
    ),
]
Sweeps = Annotated[
    Path, typer.Option(metavar="DIR", file_okay=False, help="Folder for DIR/<PARAM>.csv and .png.")
]
ReportPage = Annotated[Path, typer.Option("--out", metavar="FILE", dir_okay=False, help="The page to write.")]
PersonName = Annotated[
    str | None,
    typer.Option(
        "--person",
        metavar="WHO",
        help="Whose face: left, right, largest, first (the most confident in the first frame with any), "
        "prominent (seen long, large and moving), a number (1: the most prominent), or all: a folder per "
        "person. Default: as in training.",
    ),
]
Hold = Annotated[
    bool,
    typer.Option(
        "--hold", help="Give values where nobody is there, as the model has them for the last face."
    ),
]
Repair = Annotated[
    bool, typer.Option("--repair", help="Remove damaged cache entries and leftovers of killed runs.")
]
Port = Annotated[
    int | None, typer.Option(metavar="N", min=0, max=65535, help="Port of the page; 0: any free one.")
]
Keep = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", file_okay=False, help="Keep recordings and results there. Default: they are removed."
    ),
]
OpenBrowser = Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")]
