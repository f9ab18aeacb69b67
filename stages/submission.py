"""Write the organisers' CSV for the test split: one line per native frame of every test video.

    python -m stages.submission          (dvc repro submission)

Reads   data/fused/<fusion>/<subject>.h5 or data/traces/<system>/<subject>.h5
        the organisers' sample file, for the rows they expect and their order (submission.sample_file)
        metrics/evaluate.json                    the best system, for submission.system: best
Writes  data/submission/submission.csv           image_location,valence,arousal; image_location is
                                                 <subject>/<frame, 5 digits, from 1>.jpg
        data/submission/notes.json               subjects without a prediction (written as 0, 0)
Params  submission
"""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stages.core.arrays import Floats
from stages.core.artefacts import read_arrays, read_json, whole
from stages.core.corpus import Subject, Workspace
from stages.core.errors import BadInput, ValaroError
from stages.core.labels import rows_of_frames
from stages.core.notes import Note
from stages.core.params import SubmissionParams, load_params
from stages.core.systems import FUSIONS, SYSTEMS
from stages.engine.stage import Stage, main

HEADER = ["image_location", "valence", "arousal"]


def folder_of(system: str, workspace: Workspace) -> str:
    """Where the traces of a system lie."""
    if system == "best":
        system = read_json(workspace.metrics("evaluate.json"))["best"]
    if system in FUSIONS:
        return f"fused/{system}"
    if system in SYSTEMS:
        return f"traces/{system}"
    raise ValaroError(f"submission.system: {system!r} is none of best, {', '.join([*FUSIONS, *SYSTEMS])}.")


def rows_expected(sample_file: Path) -> dict[str, int]:
    """Rows per subject, in the order of the organisers' sample file.

    Raises:
        BadInput: no such file, or a line isn't `<subject>/<frame>.jpg,...` in the order of the frames.
    """
    if not sample_file.is_file():
        raise BadInput(sample_file, "no such file", "Set submission.sample_file, or make it null")
    rows: dict[str, int] = {}
    try:
        with sample_file.open(newline="", encoding="utf-8-sig") as file:
            for number, line in enumerate(csv.reader(file), start=1):
                if number == 1 and line == HEADER:
                    continue
                name, _, frame = (line[0] if line else "").rpartition("/")
                if frame != f"{rows.get(name, 0) + 1:05d}.jpg" or not name:
                    problem = f"line {number}: {line[:1]} isn't frame {rows.get(name, 0) + 1} of its subject"
                    raise BadInput(sample_file, problem, "Use the organisers' file as it is")
                rows[name] = rows.get(name, 0) + 1
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(
            sample_file, f"not a CSV in UTF-8 ({error})", "Use the organisers' file as it is"
        ) from None
    return rows


def rows_of(name: str, trace: Floats) -> Iterator[tuple[str, str, str]]:
    """One row per frame."""
    for frame, (valence, arousal) in enumerate(trace.tolist(), start=1):
        yield f"{name}/{frame:05d}.jpg", f"{valence:.6f}", f"{arousal:.6f}"


def run(stage: Stage, workspace: Workspace, settings: SubmissionParams, corpus_folder: Path) -> None:
    """Write the CSV; subjects without a prediction get zeros and a note."""
    folder = folder_of(settings.system, workspace)
    subjects = {subject.name: subject for subject in workspace.corpus().of("test")}
    expected = rows_expected(corpus_folder / settings.sample_file) if settings.sample_file else {}
    target = workspace.folder("submission") / "submission.csv"
    with whole(target) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")  # quotes names that hold a comma or a quote
        writer.writerow(HEADER)
        for name in expected or subjects:
            trace = _trace(workspace, folder, subjects.get(name))
            if trace is None:
                stage.note(
                    Note(
                        name,
                        str(target),
                        f"{name} has no prediction; its rows are 0, 0",
                        "See data/*/notes.json",
                    )
                )
                trace = np.zeros((max(1, expected.get(name, 1)), 2))
            writer.writerows(rows_of(name, rows_of_frames(trace, expected.get(name, len(trace)))))
    stage.claim(target)


def _trace(workspace: Workspace, folder: str, subject: Subject | None) -> Floats | None:
    if subject is None or not workspace.artefact(folder, subject.name).is_file():
        return None
    return read_arrays(workspace.artefact(folder, subject.name), "valence_arousal")["valence_arousal"]


def submission() -> None:
    """Run the stage on params.yaml."""
    params, workspace = load_params(), Workspace()
    with Stage("submission", workspace.folder("submission")) as stage:
        run(stage, workspace, params.submission, Path(params.index.corpus))


if __name__ == "__main__":
    main("submission")
