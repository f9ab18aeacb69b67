"""Ratings that run along a video: tables of time and value, and the samples they give."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages.core.arrays import Floats
from stages.corpora.table import Part, Problems, Sample, lines, scaled

SEPARATORS = re.compile(r"\s*[;,]\s*|\s+")
FROM_SECOND = slice(1, None)
MAX_S = 86_400.0
"""Longest recording. A time beyond a day is an error in the file, and would make an endless grid."""
END_S = 1e-6
"""Times are decimal fractions: a grid time this little after the last rating still takes it."""


class Trace(NamedTuple):
    """A rating over time: time_s (T,) ascending, value (T,) in the corpus' own range."""

    time_s: Floats
    value: Floats


def read_trace(
    path: Path, problems: Problems, time_column: int = 0, value_columns: slice = FROM_SECOND
) -> Trace | None:
    """The mean over the raters of a table: a line per time step, the time first, then one value per rater.

    Columns are separated by semicolons, commas or blanks; a first line of words is a heading. A line that
    isn't all numbers is noted and left out.

    Args:
        path: the file.
        problems: where faults are noted.
        time_column: in seconds.
        value_columns: one per rater.

    Returns:
        None if not a line of it can be used.
    """
    rows: list[tuple[float, float]] = []
    for number, text in lines(path, problems):
        fields = SEPARATORS.split(text)
        try:
            time_s = float(fields[time_column])
            ratings = [float(field) for field in fields[value_columns] if field]
            value = float(np.mean(ratings)) if ratings else np.nan
            if not (np.isfinite(value) and abs(time_s) <= MAX_S and (not rows or time_s > rows[-1][0])):
                raise ValueError
            rows.append((time_s, value))
        except (ValueError, IndexError):
            if number > 1 or rows:
                problems.add(f"{path}:{number}", f"not a later time and its ratings: {text[:60]!r}")
    if not rows:
        problems.add(path, "holds no ratings", "See data/pretraining/README.md for the layout")
        return None
    table = np.array(rows)
    return Trace(table[:, 0], table[:, 1])


def rated_samples(
    source: str,
    speaker: str,
    valence: Sequence[Trace],
    arousal: Sequence[Trace],
    frames_hz: float,
    problems: Problems,
    scale: tuple[float, float] = (-1.0, 1.0),
    part: Part = "",
) -> Iterator[Sample]:
    """Samples of a video at the times k / frames_hz at which both targets are rated by all raters.

    Args:
        source: the video, below the corpus' folder.
        speaker: who is seen.
        valence: a trace per rater, or one of their mean.
        arousal: likewise.
        frames_hz: samples per second.
        problems: where a value outside the scale is noted; the video is then left out.
        scale: the raters' range.
        part: see `Sample`.
    """
    last_s = min(trace.time_s[-1] for trace in (*valence, *arousal))
    first_s = max(trace.time_s[0] for trace in (*valence, *arousal))
    grid = np.arange(int(np.floor(last_s * frames_hz + END_S)) + 1) / frames_hz
    grid = grid[grid >= first_s - END_S]
    mean_v, mean_a = (_mean(traces, grid) for traces in (valence, arousal))
    try:
        for time_s, v, a in zip(grid.tolist(), mean_v.tolist(), mean_a.tolist(), strict=True):
            both = scaled(v, *scale), scaled(a, *scale)
            yield Sample(source, speaker, "any", None, time_s, *both, part=part)
    except ValueError as error:
        problems.add(problems.folder / source, f"a rating of {error}", "Scale the ratings")


def _mean(traces: Sequence[Trace], time_s: Floats) -> Floats:
    return np.asarray(np.mean([np.interp(time_s, trace.time_s, trace.value) for trace in traces], axis=0))
