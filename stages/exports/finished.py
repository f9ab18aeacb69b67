"""Read finished traces: those of the pipeline's subjects, and those of `valaro predict`."""

import csv
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.arrays import Flags, Floats
from stages.core.artefacts import read_arrays, read_facts, read_json
from stages.core.corpus import Subject, Workspace
from stages.core.errors import BadInput
from stages.core.former_names import held_name, present_name
from stages.core.measures import TARGETS
from stages.core.times import nearest
from stages.exports.trace import BOUNDS, COLUMNS, Trace, moments
from stages.exports.whose import recording_of

AGAIN = "Run `valaro predict` on the video again"
Columns = dict[str, Floats]


def trace_of_subject(workspace: Workspace, folder: str, subject: Subject, notice: str) -> Trace:
    """A subject's trace as the pipeline wrote it, with the flags of face and speech.

    Args:
        workspace: the repository.
        folder: below `data/`: `traces/<system>` or `fused/<fusion>`, with or without `.out_of_fold`.
        subject: a subject that has a trace there.
        notice: a sentence that every output must carry; "" for none.
    """
    found = read_arrays(workspace.artefact(folder, subject.name), "time_s", "valence_arousal")
    facts = read_facts(workspace.artefact("index", subject.name))
    video = workspace.corpus().videos[subject.video]
    detected = _flags(workspace.artefact("faces", subject.name), "detected", found["time_s"])
    speaking = _flags(workspace.artefact("speech", subject.name), "speaking", found["time_s"])
    valence, arousal = found["valence_arousal"].T
    summary = {
        "file": video,
        "subject": subject.name,
        "split": subject.split,
        "system": folder.split("/", 1)[1],
        "trained_on": read_json(workspace.corpus_file).get("source"),
        "duration_s": facts["duration_s"],
        "video_start_s": facts.get("video_start_s", 0.0),
        "rate_hz": facts["average_rate_hz"],
        "frames": len(found["time_s"]),
        "detected_share": float(detected.mean()),
        "speaking_share": float(speaking.mean()),
        "valence": moments(valence, detected),
        "arousal": moments(arousal, detected),
        "mean_over": "frames with a face",
        "columns": COLUMNS,
        "notice": notice or None,
    }
    return Trace(
        name=subject.name,
        video=workspace.root / video,
        time_s=found["time_s"],
        valence_arousal=found["valence_arousal"],
        detected=detected,
        speaking=speaking,
        duration_s=facts["duration_s"],
        video_start_s=summary["video_start_s"],
        summary=summary,
        notice=notice,
    )


def _flags(artefact: Path, name: str, time_s: Floats) -> Flags:
    """Flags of the time grid at the frames; all unset if the stage has no result for the subject."""
    if not artefact.is_file():
        return np.zeros(len(time_s), bool)
    found = read_arrays(artefact, "time_s", name)
    return np.asarray(found[name][nearest(found["time_s"], time_s)], bool)


def folders_of_predictions(folders: Sequence[Path]) -> list[Path]:
    """The folders of single recordings that `valaro predict` wrote.

    Args:
        folders: such folders, or folders that have them.

    Raises:
        BadInput: a folder is neither.
    """
    found: list[Path] = []
    for folder in folders:
        place = folder.absolute()
        below = [place] if _is_prediction(place) else sorted(filter(_is_prediction, _folders_in(place)))
        if not below:
            raise BadInput(folder, "has no result of `valaro predict`", "Name its --out, or a folder in it")
        found += below
    return list(dict.fromkeys(found))


def _is_prediction(folder: Path) -> bool:
    return (folder / f"{folder.name}.json").is_file()


def _folders_in(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def trace_of_prediction(folder: Path) -> Trace:
    """The trace that `valaro predict` wrote to a recording's folder: its summary, and the table of frames.

    Raises:
        BadInput: no file has the frames, or a file isn't as `valaro predict` writes it.
    """
    name = folder.name
    summary_file = folder / f"{name}.json"
    try:
        content = json.loads(summary_file.read_text(encoding="utf-8"))
        summary = {present_name(key): value for key, value in content.items()}
        columns = _columns(folder / name, summary)
        summary["frames"] = len(columns["time_s"])
        video = recording_of(folder, summary)
        summary.pop("source", None)  # as seen from this folder
        return Trace(
            name=name,
            video=video,
            time_s=columns["time_s"],
            valence_arousal=np.column_stack([columns["valence"], columns["arousal"]]),
            detected=columns["detected"].astype(bool),
            speaking=columns["speaking"].astype(bool),
            interval=_interval(columns),
            frame=columns["frame"].astype(np.int64),
            duration_s=float(summary["duration_s"]),
            video_start_s=float(summary.get("video_start_s", 0.0)),
            summary=summary,
            notice=summary["notice"] or "",
            person=summary.get("person") or "",
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # of JSON and Unicode too
        problem = f"not as `valaro predict` writes it ({type(error).__name__}: {error})"
        raise BadInput(summary_file, problem, AGAIN) from None


def _columns(stem: Path, summary: dict[str, Any]) -> Columns:
    """The table of frames, from the first file that has it: JSON, CSV or Parquet."""
    if isinstance(frames := summary.get("frames"), dict):
        columns = {name: np.array(frames[held_name(name, frames)], np.float64) for name in _wanted(frames)}
    elif (table := stem.with_name(f"{stem.name}.csv")).is_file():
        columns = _from_csv(table)
    elif (table := stem.with_name(f"{stem.name}.parquet")).is_file():
        columns = _from_parquet(table)
    else:
        raise BadInput(
            stem.parent,
            "has the frames neither as csv nor as parquet nor in json",
            f"{AGAIN} with --format csv",
        )
    return _checked(columns)


def _from_csv(file: Path) -> Columns:
    with file.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    held = {name: held_name(name, rows[0] if rows else ()) for name in _wanted(rows[0] if rows else ())}
    return {name: np.array([float(row[column] or "nan") for row in rows]) for name, column in held.items()}


def _from_parquet(file: Path) -> Columns:
    import pyarrow.parquet as pq

    with file.open("rb") as opened:
        names = pq.read_schema(opened).names
        held = {name: held_name(name, names) for name in _wanted(names)}
        table = pq.read_table(opened, columns=list(held.values()))
    return {name: table[column].to_numpy().astype(np.float64) for name, column in held.items()}  # null: NaN


def _wanted(columns: Collection[str]) -> list[str]:
    """The columns of every table, and those of the interval if the table has them all."""
    return [*COLUMNS, *(BOUNDS if set(BOUNDS) <= set(columns) else ())]


def _interval(columns: Columns) -> Floats | None:
    """(N, 2, 2), or None if the table has no interval."""
    if not set(BOUNDS) <= columns.keys():
        return None
    return np.column_stack([columns[name] for name in BOUNDS]).reshape(-1, 2, 2)


def _checked(columns: Columns) -> Columns:
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError(f"columns of {sorted(lengths)} rows")
    estimates = {name: columns[name] for name in (*TARGETS, *BOUNDS) if name in columns}
    if np.isinf([*columns.values()]).any() or not all(
        np.isfinite(column).all() for name, column in columns.items() if name not in estimates
    ):
        raise ValueError("a value isn't a finite number")
    nobody = np.isnan([*estimates.values()])
    if (nobody.any(axis=0) != nobody.all(axis=0)).any():
        raise ValueError("a part of a frame's estimate is missing")
    if (np.diff(columns["time_s"]) <= 0).any():
        raise ValueError("times don't increase")
    return columns
