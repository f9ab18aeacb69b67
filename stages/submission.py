"""Write the organisers' CSV for the test split: one line per native frame of every test video.

    python -m stages.submission          (dvc repro submission)

Reads   data/fused/<fusion>/<subject>.h5 or data/traces/<system>/<subject>.h5
        the organisers' sample file, for the rows they expect and their order (submission.sample_file)
        metrics/evaluate.json                    the best system, for submission.system: best
        data/refit/                              the same, fitted on validation too, for submission.refit
Writes  data/submission/submission.csv           image_location,valence,arousal; image_location is
                                                 <subject>/<frame, 5 digits, from 1>.jpg
        data/submission/notes.json               subjects without a prediction (written as 0, 0)
Params  submission
"""

import csv
from collections.abc import Iterator

import numpy as np

from stages.core.arrays import Floats
from stages.core.artefacts import read_arrays, read_json, whole
from stages.core.corpus import Subject, Workspace
from stages.core.errors import ValaroError
from stages.core.labels import SUBMISSION_HEADER, trace_of_rows
from stages.core.notes import Note
from stages.core.params import SubmissionParams, load_params
from stages.core.systems import FUSIONS, SYSTEMS, traces_folder
from stages.engine.stage import Stage, main


def folder_of(system: str, workspace: Workspace) -> str:
    """Folder in data/ of the traces of a system.

    Args:
        system: a system, a fusion, or `best`, the best one of the evaluation.
        workspace: of the run.

    Raises:
        ValaroError: there is no such system.
    """
    if system == "best":
        system = read_json(workspace.metrics("evaluate.json"))["best"]
    if system in FUSIONS or system in SYSTEMS:
        return traces_folder(system)
    raise ValaroError(f"submission.system: {system!r} is none of best, {', '.join([*FUSIONS, *SYSTEMS])}.")


def refitted(folder: str, workspace: Workspace) -> str:
    """Folder of the traces of the same system, fitted on training and validation together.

    The static model isn't refitted, since its embeddings are the input of the others.

    Raises:
        ValaroError: the system isn't refitted.
    """
    if folder == traces_folder("static"):
        return folder
    place = f"refit/{folder}"
    if not workspace.folder(place).is_dir():
        raise ValaroError(f"submission.refit: {folder} isn't refitted. Run `dvc repro refit`, or set none.")
    return place


def rows_of(name: str, trace: Floats) -> Iterator[tuple[str, str, str]]:
    """One row per frame."""
    for frame, (valence, arousal) in enumerate(trace.tolist(), start=1):
        yield f"{name}/{frame:05d}.jpg", f"{valence:.6f}", f"{arousal:.6f}"


def run(stage: Stage, workspace: Workspace, settings: SubmissionParams) -> None:
    """Write the CSV; subjects without a prediction get zeros and a note."""
    folder = folder_of(settings.system, workspace)
    if settings.refit != "none":
        folder = refitted(folder, workspace)
    subjects = {subject.name: subject for subject in workspace.corpus().of("test")}
    expected = workspace.sample_rows()
    target = workspace.folder("submission") / "submission.csv"
    with whole(target) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")  # quotes names that hold a comma or a quote
        writer.writerow(SUBMISSION_HEADER)
        for name in expected or subjects:
            trace = _trace(workspace, folder, subjects.get(name), expected.get(name))
            if trace is None:
                problem = f"{name} has no prediction; its rows are 0, 0"
                stage.note(Note(name, str(target), problem, "See data/*/notes.json"))
                trace = np.zeros((expected.get(name) or _frames(workspace, name), 2))
            writer.writerows(rows_of(name, trace))
    stage.claim(target)


def _trace(workspace: Workspace, folder: str, subject: Subject | None, rows: int | None) -> Floats | None:
    """The predictions of a subject, one for each of the organisers' rows, or for each native frame."""
    if subject is None or not workspace.artefact(folder, subject.name).is_file():
        return None
    trace = read_arrays(workspace.artefact(folder, subject.name), "valence_arousal")["valence_arousal"]
    if rows is None:
        return trace
    row = read_arrays(workspace.artefact("index", subject.name), "row")["row"]
    return trace_of_rows(trace, rows, row)


def _frames(workspace: Workspace, name: str) -> int:
    """The number of native frames of an indexed subject."""
    return len(read_arrays(workspace.artefact("index", name), "row")["row"])


def submission() -> None:
    """Run the stage on params.yaml."""
    params, workspace = load_params(), Workspace()
    with Stage("submission", workspace.folder("submission")) as stage:
        run(stage, workspace, params.submission)


if __name__ == "__main__":
    main("submission")
