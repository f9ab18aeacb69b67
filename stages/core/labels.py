"""Aff-Wild2 annotation files, and their labels on the axes of native frames and of the 5 Hz grid."""

from pathlib import Path

import numpy as np

from stages.core.arrays import Flags, Floats
from stages.core.errors import BadInput

HEADER = "valence,arousal"
UNLABELLED = -5.0


def read_labels(path: Path) -> Floats:
    """Read one annotation file: the header, then one `valence,arousal` line per native frame.

    A line with -5 in either column is unlabelled. A byte order mark, CRLF line ends and blank lines at the
    end are accepted; a blank line elsewhere is not: every label after it would belong to another frame.

    Returns:
        (rows, 2) float32 in [-1, 1], both columns NaN where unlabelled.

    Raises:
        BadInput: the file can't be read, or a line doesn't fit; names the line and its value.
    """
    lines = _lines(path)
    header = lines[0].replace(" ", "").lower()
    if header != HEADER:
        raise BadInput(
            path, f"line 1 is {lines[0]!r}", f"The first line must be {HEADER!r}; labels follow it"
        )
    if len(lines) == 1:
        raise BadInput(path, "no label after the header", "Give one valence,arousal line per frame")
    rows = np.array([_row(path, number, line) for number, line in enumerate(lines[1:], start=2)])
    unlabelled = (rows == UNLABELLED).any(axis=1)
    fits = (np.abs(rows) <= 1) | (rows == UNLABELLED)  # false for NaN and infinities too
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
    lines = [line.strip() for line in text.rstrip().split("\n")]
    if lines == [""]:
        raise BadInput(path, "the file is empty", f"It must start with {HEADER!r}, then a line per frame")
    return lines


def _row(path: Path, number: int, line: str) -> list[float]:
    values = line.split(",")
    if len(values) != 2:
        problem = f"line {number}: {line!r} has {len(values) if line else 0} values"
        raise BadInput(path, problem, "Write two, valence,arousal; -5,-5 where unlabelled")
    try:
        return [float(value) for value in values]
    except ValueError:
        remedy = "Write two numbers, valence,arousal; -5,-5 where unlabelled"
        raise BadInput(path, f"line {number}: {line!r} is not numeric", remedy) from None


def align_labels(rows: Floats, frames: int) -> tuple[Floats, Flags]:
    """Label row i belongs to native frame i. Surplus rows are dropped, surplus frames stay unlabelled.

    Shape: (R, 2) -> (frames, 2), (frames,).

    Returns:
        Valence and arousal, float32, NaN where unlabelled; and the mask of labelled frames.

    Raises:
        ValueError: frames is negative.
    """
    if frames < 0:
        raise ValueError(f"frames is {frames}, must be 0 or more")
    aligned = np.full((frames, 2), np.nan, np.float32)
    kept = min(frames, len(rows))
    aligned[:kept] = rows[:kept]
    labelled: Flags = ~np.isnan(aligned).any(axis=1)
    aligned[~labelled] = np.nan
    return aligned, labelled


def rows_of_frames(trace: Floats, rows: int) -> Floats:
    """The way back, for a submission: one prediction per label row; the last frame serves surplus rows.

    Shape: (N, 2) -> (rows, 2).

    Raises:
        ValueError: there is no frame to take a prediction from.
    """
    if not len(trace):
        raise ValueError(f"no predicted frame for {rows} rows")
    return np.asarray(trace[np.minimum(np.arange(rows), len(trace) - 1)])


def resample_labels(
    valence_arousal: Floats, labelled: Flags, time_s: Floats, grid_s: Floats
) -> tuple[Floats, Flags]:
    """Labels on the grid: each point takes the native frame nearest in time (the earlier of two as near).

    Nearest rather than interpolated, so that a point counts as labelled only if a real frame there is.

    Shape: (N, 2), (N,), (N,), (T,) -> (T, 2), (T,).

    Args:
        valence_arousal: labels of the native frames.
        labelled: which of them are labelled.
        time_s: their times, increasing.
        grid_s: the points wanted.

    Raises:
        ValueError: lengths differ, there is no frame, or time_s isn't increasing.
    """
    if not len(time_s) or not len(time_s) == len(labelled) == len(valence_arousal):
        raise ValueError(
            f"{len(valence_arousal)} labels, {len(labelled)} flags, {len(time_s)} times: must match, not be 0"
        )
    if (np.diff(time_s) <= 0).any():
        raise ValueError("time_s must increase from frame to frame")
    middles = (time_s[1:] + time_s[:-1]) / 2
    nearest = np.searchsorted(middles, grid_s, side="left")
    picked = valence_arousal[nearest].astype(np.float32)
    flags = labelled[nearest]
    picked[~flags] = np.nan
    return picked, flags
