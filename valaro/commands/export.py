"""`valaro export`: finished traces, the pipeline's or an earlier prediction's, in other programs' formats."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import typer

from stages.core.artefacts import read_json, whole
from stages.core.corpus import Subject, Workspace, is_sample
from stages.core.errors import ValaroError
from stages.core.systems import FUSIONS, OUT_OF_FOLD, SYSTEMS, out_of_fold_folder
from stages.evaluation.headline import unscored
from stages.exports.finished import folders_of_predictions, trace_of_prediction, trace_of_subject
from stages.exports.formats import FORMATS, names_in, require_writers
from stages.exports.origins import SAMPLE_NOTICE
from stages.exports.trace import Trace, file_name
from valaro.commands.submission import require_free, write_submission
from valaro.commands.terminal import detail, note, result
from valaro.recordings.formats import ABAW, SUBMISSION
from valaro.runs import listed
from valaro.suggestions import unknown
from valaro.systems import BEST

SPLITS = ("train", "validation", "test")


def chosen_formats(words: Sequence[str]) -> tuple[str, ...]:
    """The formats in the words of `--format`.

    Raises:
        typer.BadParameter: one of them is unknown.
    """
    try:
        return names_in(words, (*FORMATS, ABAW))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--format") from None


def export(
    folders: Sequence[Path],
    out: Path,
    formats: Sequence[str],
    *,
    system: str = BEST,
    split: str | None = None,
    subjects: Sequence[str] = (),
    force: bool = False,
) -> None:
    """Write every trace in every format: OUT/<name>.<ending>, and OUT/submission.csv for all of them.

    Args:
        folders: results of `valaro predict`; none: the subjects of this repository.
        out: folder of the files.
        formats: from `chosen_formats`.
        system: of the repository: a system or a fusion, or `<name>.out_of_fold`, its out-of-fold traces.
        split: of the repository; None for all.
        subjects: of the repository; none for all.
        force: replace files that are there.

    Raises:
        ValaroError: there is nothing to export, or a file would be replaced.
    """
    require_writers(formats)
    traces = list(_predictions(folders) if folders else _finished(Workspace(), system, split, subjects))
    if not traces:
        raise ValaroError("nothing to export: no subject of this split has a trace. See data/*/notes.json.")
    files = _files(traces, out, formats)
    for file in [*files, *([out / SUBMISSION] if ABAW in formats else [])]:
        require_free(file, force)
    for file, (name, trace) in files.items():
        with whole(file) as partial:
            FORMATS[name].write(partial, trace)
        detail(str(file))
    counts = Counter(name for name, _ in files.values())
    if counts:
        result(f"{out}: {', '.join(f'{count} {name}' for name, count in counts.items())}")
    if ABAW in formats:
        write_submission(out / SUBMISSION, traces)
        nobody = sum(int(np.isnan(trace.valence_arousal).any(axis=1).sum()) for trace in traces)
        if nobody and folders:
            note(
                f"note: {nobody} frames without anybody have the last value before them; "
                "`valaro predict --format abaw` gives them the model's own."
            )
    for notice in dict.fromkeys(trace.notice for trace in traces if trace.notice):
        note(f"note: {notice}")


def _files(traces: Sequence[Trace], out: Path, formats: Iterable[str]) -> dict[Path, tuple[str, Trace]]:
    """What goes to which file.

    Raises:
        ValaroError: two traces would share a file.
    """
    files: dict[Path, tuple[str, Trace]] = {}
    for name in formats:
        for trace in traces if name in FORMATS else ():
            file = out / f"{file_name(trace.name)}{FORMATS[name].suffix}"
            if file in files:
                raise ValaroError(
                    f"two traces would share {file}. Export them into different folders (--out)."
                )
            files[file] = name, trace
    return files


def _predictions(folders: Sequence[Path]) -> Iterator[Trace]:
    for folder in folders_of_predictions(folders):
        yield trace_of_prediction(folder)


def _finished(workspace: Workspace, system: str, split: str | None, names: Sequence[str]) -> Iterator[Trace]:
    if split not in (None, *SPLITS):
        raise typer.BadParameter(unknown("split", split, SPLITS), param_hint="--split")
    corpus = workspace.corpus()
    known = {subject.name: subject for subject in corpus.subjects}
    if strangers := [name for name in names if name not in known]:
        raise ValaroError(
            f"no subject {strangers[0]!r} in {workspace.corpus_file}. It lists all {len(known)}."
        )
    chosen = [known[name] for name in names] if names else corpus.subjects
    folder = folder_of(system, workspace)
    notice = SAMPLE_NOTICE if is_sample(str(read_json(workspace.corpus_file).get("source"))) else ""
    wanted, without = [one for one in chosen if split in (None, one.split)], []
    for subject in wanted:
        if _has_trace(workspace, folder, subject, asked=bool(names)):
            yield trace_of_subject(workspace, folder, subject, notice)
        else:
            without.append(subject.name)
    if 0 < len(without) < len(wanted):
        left_out = f"{len(without)} of {len(wanted)} subjects have no trace in {workspace.folder(folder)}"
        note(f"note: {left_out}: {listed(without)}. See data/*/notes.json; else run `valaro verify`.")


def _has_trace(workspace: Workspace, folder: str, subject: Subject, *, asked: bool) -> bool:
    present = workspace.artefact(folder, subject.name).is_file()
    if asked and not present:
        raise ValaroError(
            f"{workspace.artefact(folder, subject.name)} is missing: {subject.name} has no such trace. "
            "Run `dvc repro`, choose another --system, or look into data/*/notes.json."
        )
    return present


def folder_of(system: str, workspace: Workspace) -> str:
    """Where the traces of a system lie, below `data/`.

    Raises:
        typer.BadParameter: no such system.
        ValaroError: its traces, or the scores that tell the best, aren't there yet.
    """
    if system == BEST:
        scores = workspace.metrics("evaluate.json")
        if not scores.is_file():
            raise ValaroError(
                f"{scores} is missing: nothing tells the best system. Run `dvc repro evaluate`."
            )
        system = str(read_json(scores)["best"])
    folders = {name: f"traces/{name}" for name in SYSTEMS} | {name: f"fused/{name}" for name in FUSIONS}
    folders |= {f"{name}{OUT_OF_FOLD}": out_of_fold_folder(name) for name in (*SYSTEMS, *FUSIONS)}
    if system not in folders:
        raise typer.BadParameter(unknown("system", system, [BEST, *folders]), param_hint="--system")
    if not workspace.folder(folders[system]).is_dir():
        _require_predictions(system.removesuffix(OUT_OF_FOLD), workspace)
        raise ValaroError(f"{workspace.folder(folders[system])} is missing. Run `dvc repro evaluate`.")
    return folders[system]


def _require_predictions(system: str, workspace: Workspace) -> None:
    """Refuse a system that the last run couldn't train, as its evaluation tells."""
    scores = workspace.metrics("evaluate.json")
    if scores.is_file() and system in unscored(read_json(scores)):
        problem = f"{system} has no trace in this run: metrics/notes.json says why"
        raise ValaroError(f"{problem}. Choose another --system.")
