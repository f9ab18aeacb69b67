"""Tables with one row per frame: CSV, Parquet, JSON, and the submission of the ABAW challenge."""

import csv
import json
from collections.abc import Iterable, Iterator
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.arrays import Floats
from stages.core.errors import ValaroError
from stages.core.labels import SUBMISSION_HEADER
from stages.core.measures import TARGETS
from stages.exports.trace import BOUNDS, UNITS, Trace, one_line, plain_cell

MAY_LACK = (*TARGETS, *BOUNDS)
"""Columns that have no value in frames where nobody is there."""


def write_csv(path: Path, trace: Trace) -> None:
    """Write the columns of `Trace.meanings`, and `person` if there are several people.

    Where nobody is there, valence and arousal are empty. The notice is left out: comment lines break readers.
    """
    person = {"person": trace.person} if trace.person else {}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*trace.meanings, *person])
        bounds = np.column_stack([np.empty((len(trace), 0)), *trace.bounds.values()]).tolist()
        for (frame, time_s, *values, detected, speaking), ends in zip(_rows(trace), bounds, strict=True):
            texts = [_text(value) for value in (time_s, *values)]
            further = map(_text, ends)
            writer.writerow([frame, *texts, int(detected), int(speaking), *further, *person.values()])


def _text(value: float) -> str:
    """Six decimals; "" for NaN."""
    return "" if isnan(value) else f"{value:.6f}"


def _rows(trace: Trace) -> Iterator[tuple[Any, ...]]:
    columns = (trace.time_s, *trace.valence_arousal.T, trace.detected, trace.speaking)
    yield from zip(trace.frames.tolist(), *(column.tolist() for column in columns), strict=True)


def _meaning(name: str, trace: Trace) -> dict[str, str]:
    return {"unit": UNITS.get(name, "1"), "description": trace.meanings[name]}


def write_parquet(path: Path, trace: Trace) -> None:
    """Write the same columns, typed, with units and meanings, and the summary.

    Where nobody is there, valence and arousal are null.

    Metadata of each field: `unit`, `description`. Metadata of the schema: `name`, `notice`, and `valaro`, the
    summary as JSON.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "frame": trace.frames.astype(np.int32),
        "time_s": trace.time_s.astype(np.float64),
        "valence": trace.valence_arousal[:, 0].astype(np.float32),
        "arousal": trace.valence_arousal[:, 1].astype(np.float32),
        "detected": trace.detected.astype(bool),
        "speaking": trace.speaking.astype(bool),
        **{name: values.astype(np.float32) for name, values in trace.bounds.items()},
    }
    arrays = {name: pa.array(values, from_pandas=True) for name, values in columns.items()}  # NaN: null
    fields = [
        pa.field(name, array.type, name in MAY_LACK, _meaning(name, trace)) for name, array in arrays.items()
    ]
    if trace.person:
        arrays["person"] = pa.array([trace.person] * len(trace))
        fields.append(pa.field("person", pa.string(), False))
    facts = {
        "name": one_line(trace.name),
        "notice": one_line(trace.notice),
        "valaro": to_json(trace.summary),
    }
    table = pa.Table.from_arrays(list(arrays.values()), schema=pa.schema(fields, facts))
    with path.open("wb") as file:  # a path would have to be UTF-8
        pq.write_table(table, file, compression="zstd")


def write_frames_json(path: Path, trace: Trace) -> None:
    """Write the summary, and under `frames` one array per column, in the order of the frames.

    Where nobody is there, valence and arousal are null.
    """
    frames: dict[str, Any] = {
        "frame": trace.frames.tolist(),
        "time_s": _rounded(trace.time_s),
        "valence": _rounded(trace.valence_arousal[:, 0]),
        "arousal": _rounded(trace.valence_arousal[:, 1]),
        "detected": trace.detected.astype(int).tolist(),
        "speaking": trace.speaking.astype(int).tolist(),
        **{name: _rounded(values) for name, values in trace.bounds.items()},
    }
    if trace.person:
        frames["person"] = [trace.person] * len(trace)
    units = {name: UNITS.get(name, "1") for name in trace.meanings}
    content = {**trace.summary, "columns": trace.meanings, "units": units, "frames": frames}
    path.write_bytes(to_json(content) + b"\n")


def _rounded(values: Floats) -> list[float | None]:
    """Six decimals, as in the CSV; None for NaN."""
    return [None if isnan(value) else value for value in values.astype(np.float64).round(6).tolist()]


def to_json(content: Any) -> bytes:
    """JSON in UTF-8 on one line with sorted keys.

    A byte of a file name that isn't UTF-8 becomes a JSON escape, so that a reader gets the same name.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace")


def write_abaw(path: Path, traces: Iterable[Trace]) -> None:
    """Write the challenge's submission: one row per frame, `<name>/<frame, 5 digits, from 1>.jpg`.

    Every frame has a value, also where nobody is there, as the organisers require; see `Trace.without_gaps`.

    Raises:
        ValaroError: a trace lacks frames (`valaro predict --abstain`), so that rows would belong to others.
    """
    traces = list(traces)
    for trace in traces:
        if not np.array_equal(trace.frames, np.arange(len(trace))):
            raise ValaroError(
                f"{one_line(trace.name)}: frames are left out, but the challenge's file needs every frame. "
                "Run `valaro predict` without --abstain."
            )
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(SUBMISSION_HEADER)
        for trace in traces:
            name = plain_cell(one_line(trace.name))
            writer.writerows(
                (f"{name}/{frame:05d}.jpg", f"{valence:.6f}", f"{arousal:.6f}")
                for frame, (valence, arousal) in enumerate(trace.without_gaps().tolist(), start=1)
            )
