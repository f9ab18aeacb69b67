"""Continuous ratings of a video: tables of time and value, and the samples made from them."""

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
"""Longest recording. A time beyond one day is an error in the file and would make a huge grid."""
END_S = 1e-6
"""Tolerance, since times are rounded decimals: a grid time this little after the last rating still counts."""


class Trace(NamedTuple):
    """A rating over time: time_s (T,) in seconds, increasing; value (T,) in the corpus' own range."""

    time_s: Floats
    value: Floats


def read_trace(
    path: Path, problems: Problems, time_column: int = 0, value_columns: slice = FROM_SECOND
) -> Trace | None:
    """Read a table of ratings, one line per time step, and average over the raters.

    Columns are separated by semicolons, commas or blanks; the first line may be a header. A line that isn't
    numeric, or whose time doesn't increase, is noted and left out.

    Args:
        path: the file.
        problems: collects what can't be used.
        time_column: column of the time in seconds.
        value_columns: columns of the ratings, one per rater.

    Returns:
        The mean rating; None if no line can be used.
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
                problems.add(f"{path}:{number}", f"not a later time followed by ratings: {text[:60]!r}")
    if not rows:
        problems.add(path, "it has no ratings", "See data/pretraining/README.md for the layout")
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
    """Samples of a video at those times k / frames_hz at which all raters rate both targets.

    Args:
        source: path of the video, relative to the corpus' folder.
        speaker: the person in the video.
        valence: one trace per rater, or their mean.
        arousal: likewise.
        frames_hz: samples per second.
        problems: collects a value outside the scale, which ends the video's samples, and ratings that share
            no time.
        scale: range of the ratings.
        part: see `Sample`.
    """
    last_s = min(trace.time_s[-1] for trace in (*valence, *arousal))
    first_s = max(trace.time_s[0] for trace in (*valence, *arousal))
    grid = np.arange(int(np.floor(last_s * frames_hz + END_S)) + 1) / frames_hz
    grid = grid[grid >= first_s - END_S]
    if not len(grid):
        times = f"the latest begins at {first_s:g} s, the earliest ends at {last_s:g} s"
        problems.add(problems.folder / source, f"its ratings share no time step: {times}")
    mean_v, mean_a = (_mean(traces, grid) for traces in (valence, arousal))
    try:
        for time_s, v, a in zip(grid.tolist(), mean_v.tolist(), mean_a.tolist(), strict=True):
            both = scaled(v, *scale), scaled(a, *scale)
            yield Sample(source, speaker, "any", None, time_s, *both, part=part)
    except ValueError as error:
        problems.add(problems.folder / source, f"a rating of {error}", "Scale the ratings")


def _mean(traces: Sequence[Trace], time_s: Floats) -> Floats:
    return np.asarray(np.mean([np.interp(time_s, trace.time_s, trace.value) for trace in traces], axis=0))
