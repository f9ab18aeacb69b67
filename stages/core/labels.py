"""Aff-Wild2 annotation files, and their labels at native frames and on the 5 Hz grid.

Label row i belongs to native frame i. In an AVI with empty chunks (dropped frames that the header counts) it
may belong to clock slot i instead; `match_rows` decides.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.core.arrays import Flags, Floats, Integers
from stages.core.errors import BadInput
from stages.core.notes import quoted
from stages.core.times import nearest

HEADER = "valence,arousal"
"""First line of a label file."""
SUBMISSION_HEADER = ("image_location", "valence", "arousal")
"""First row of the challenge's submission."""
UNLABELLED = -5.0


def read_labels(path: Path) -> Floats:
    """Read one annotation file: the header, then one `valence,arousal` line per native frame.

    A line with -5 in either column is unlabelled. A byte order mark, CRLF or CR line ends and blank lines at
    the end are accepted; a blank line elsewhere isn't, since all later labels would belong to other frames.

    Returns:
        (rows, 2) float32 in [-1, 1], both columns NaN where unlabelled.

    Raises:
        BadInput: the file can't be read, or a line isn't valid; the message has the line and its value.
    """
    lines = _lines(path)
    header = lines[0].replace(" ", "").lower()
    if header != HEADER:
        raise BadInput(
            path, f"line 1 is {quoted(lines[0])}", f"The first line must be {HEADER!r}; labels follow it"
        )
    if len(lines) == 1:
        raise BadInput(path, "no label after the header", "Give one valence,arousal line per frame")
    rows = np.array([_row(path, number, line) for number, line in enumerate(lines[1:], start=2)])
    unlabelled = (rows == UNLABELLED).any(axis=1)
    fits = (np.abs(rows) <= 1) | (rows == UNLABELLED)  # also False for NaN and infinities
    if not fits.all():
        row, column = np.argwhere(~fits)[0]
        name = HEADER.split(",")[column]
        problem = f"line {row + 2}: {name} is {rows[row, column]:g}, outside [-1, 1]"
        raise BadInput(path, problem, "Correct it, or write -5,-5 for a frame without label")
    rows[unlabelled] = np.nan
    return rows.astype(np.float32)


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise BadInput(
            path, f"can't be read ({error.strerror})", "Check the path and its permissions"
        ) from None
    except UnicodeDecodeError as error:
        raise BadInput(
            path, f"byte {error.start} is not UTF-8", "Save the file as plain UTF-8 text"
        ) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = [line.strip() for line in text.rstrip().split("\n")]
    if lines == [""]:
        raise BadInput(path, "the file is empty", f"It must start with {HEADER!r}, then a line per frame")
    return lines


def _row(path: Path, number: int, line: str) -> list[float]:
    values = line.split(",")
    if len(values) != 2:
        problem = f"line {number}: {quoted(line)} has {len(values) if line else 0} values"
        raise BadInput(path, problem, "Write two, valence,arousal; -5,-5 where unlabelled")
    try:
        if "_" in line:  # `float` reads 0_1 as 1
            raise ValueError(line)
        return [float(value) for value in values]
    except ValueError:
        remedy = "Write two numbers, valence,arousal; -5,-5 where unlabelled"
        raise BadInput(path, f"line {number}: {quoted(line)} is not numeric", remedy) from None


MAX_ROWS_MORE, MAX_ROWS_FEWER = 2, 3
"""Tolerated differences between label rows and frames in the header; in Aff-Wild2 only 3 of 561 subjects
exceed them."""


@dataclass(frozen=True)
class RowMatch:
    """Which label row belongs to which native frame.

    Args:
        row: (N,) row of each frame, increasing.
        by_slot: whether rows count clock slots, including those of dropped frames.
        off_rows: by how many rows the labels may be shifted; 0 if rows match frames or slots.
    """

    row: Integers
    by_slot: bool
    off_rows: int


def match_rows(rows: int, slots: Integers, declared: int) -> RowMatch:
    """Match label rows to frames, or to clock slots if the header counts more slots than frames.

    Args:
        rows: number of label rows.
        slots: (N,) clock slot of each native frame, from 0, increasing; 0 .. N - 1 without dropped frames.
        declared: number of frames in the header, including dropped ones; 0 if unknown.
    """
    frames = len(slots)
    dropped = declared > frames and int(slots[-1]) > frames - 1
    by_slot = dropped and _agree(rows, declared) and abs(rows - declared) < abs(rows - frames)
    if by_slot:
        return RowMatch(slots, True, 0)
    off = 0 if _agree(rows, frames) else abs(rows - frames)
    if off and dropped:  # at worst, rows count slots, and all dropped frames shift them
        off = max(off, abs(rows - declared), declared - frames)
    return RowMatch(np.arange(frames), False, off)


def _agree(rows: int, frames: int) -> bool:
    return -MAX_ROWS_FEWER <= rows - frames <= MAX_ROWS_MORE


def align_labels(rows: Floats, row_of_frame: Integers) -> tuple[Floats, Flags]:
    """Labels of the native frames. Rows without a frame are dropped; frames without a row stay unlabelled.

    Shape: (R, 2), (N,) -> (N, 2), (N,).

    Returns:
        Valence and arousal, float32, NaN where unlabelled; and the mask of labelled frames.
    """
    aligned = np.full((len(row_of_frame), 2), np.nan, np.float32)
    has_row = row_of_frame < len(rows)
    aligned[has_row] = rows[row_of_frame[has_row]]
    labelled: Flags = ~np.isnan(aligned).any(axis=1)
    aligned[~labelled] = np.nan
    return aligned, labelled


def trace_of_rows(trace: Floats, rows: int, row_of_frame: Integers) -> Floats:
    """The inverse of `align_labels`, for a submission: each row gets the last frame that isn't after it.

    Rows after the last frame repeat it, as in participants' submissions.

    Shape: (N, 2), (N,) -> (rows, 2).

    Raises:
        ValueError: the trace has no frame.
    """
    if not len(trace):
        raise ValueError(f"no predicted frame for {rows} rows")
    frame = np.searchsorted(row_of_frame, np.arange(rows), side="right") - 1
    return np.asarray(trace[np.clip(frame, 0, len(trace) - 1)])


def resample_labels(
    valence_arousal: Floats, labelled: Flags, time_s: Floats, grid_s: Floats
) -> tuple[Floats, Flags]:
    """Labels on the grid: each point gets the nearest native frame in time (on a tie, the earlier one).

    They aren't interpolated, so that a point counts as labelled only if its nearest frame is.

    Shape: (N, 2), (N,), (N,), (T,) -> (T, 2), (T,).

    Args:
        valence_arousal: labels of the native frames.
        labelled: whether each is labelled.
        time_s: their times in seconds, increasing.
        grid_s: times of the grid in seconds.

    Raises:
        ValueError: lengths differ, there is no frame, or time_s isn't increasing.
    """
    if not len(time_s) or not len(time_s) == len(labelled) == len(valence_arousal):
        raise ValueError(
            f"{len(valence_arousal)} labels, {len(labelled)} flags, {len(time_s)} times: must match, not be 0"
        )
    if (np.diff(time_s) <= 0).any():
        raise ValueError("time_s must increase from frame to frame")
    frame = nearest(time_s, grid_s)
    picked = valence_arousal[frame].astype(np.float32)
    flags = labelled[frame]
    picked[~flags] = np.nan
    return picked, flags
