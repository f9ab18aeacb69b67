"""The trace of one person as every export format takes it: frames, flags, and where it comes from."""

import unicodedata
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from stages.core.arrays import Flags, Floats, Integers
from stages.core.measures import TARGETS

COLUMNS = {
    "frame": "native frame, from 0",
    "time_s": "its time stamp, seconds from the first frame (a player's clock: plus video_start_s)",
    "valence": "-1 (unpleasant) to 1 (pleasant); none where nobody is there",
    "arousal": "-1 (calm) to 1 (excited); none where nobody is there",
    "detected": "1: the face was found at the nearest time looked at; 0: it wasn't",
    "speaking": "1: the person seems to speak at the nearest time looked at (sound, and a moving mouth)",
}
"""What the table says of every frame; the other formats say the same under the same names."""

BOUNDS = {
    f"{target}_{side}": f"{words} end of the interval that holds {target} in most frames; see `interval`"
    for target in TARGETS
    for side, words in (("low", "lower"), ("high", "upper"))
}
"""Further columns of a trace whose interval is known: narrow where the system is sure."""

UNITS = {"frame": "1", "time_s": "s", "valence": "1", "arousal": "1", "detected": "1", "speaking": "1"}
"""Units as UCUM writes them; 1: a pure number."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


@dataclass(frozen=True)
class Trace:
    """Valence and arousal of one person.

    Args:
        name: of the recording or the subject; may hold anything.
        video: the file that the times belong to.
        time_s: (N,) native frame times from the first frame, increasing.
        valence_arousal: (N, 2) in [-1, 1]; NaN where nobody is there.
        detected: (N,) the face was seen.
        speaking: (N,) the person speaks.
        duration_s: up to the end of the last frame.
        video_start_s: time of the first frame on a player's clock; other programs' formats are on that clock.
        folder: where the files will lie in the end; None: where they are written.
        summary: the recording and the system in figures and words (JSON).
        notice: a sentence that every output must carry; "" for none.
        person: which one of several, as `--person all` numbers them; "" where that doesn't matter.
        every_frame: (N, 2), values also where nobody is there; None: unknown.
        interval: (N, 2, 2) low and high of valence, then of arousal; None where it isn't known.
        frame: (N,) numbers of the native frames; None: 0 to N - 1, none is left out.
    """

    name: str
    video: Path
    time_s: Floats
    valence_arousal: Floats
    detected: Flags
    speaking: Flags
    duration_s: float
    video_start_s: float = 0.0
    folder: Path | None = None
    summary: dict[str, Any] = field(default_factory=dict)
    notice: str = ""
    person: str = ""
    every_frame: Floats | None = None
    interval: Floats | None = None
    frame: Integers | None = None

    def __len__(self) -> int:
        return len(self.time_s)

    def player_time_s(self, time_s: float) -> float:
        """A time on the clock that players show; never before its zero."""
        return max(0.0, time_s + self.video_start_s)

    def without_gaps(self) -> Floats:
        """A value for every frame, as the challenge wants it: what the model says, else the last value held.

        Shape: -> (N, 2). Before the first value the first one stands, and 0 where there is none at all.
        """
        if self.every_frame is not None:
            return self.every_frame
        valued = np.flatnonzero(np.isfinite(self.valence_arousal).all(axis=1))
        if not len(valued):
            return np.zeros_like(self.valence_arousal)
        last = np.searchsorted(valued, np.arange(len(self)), side="right") - 1
        return np.asarray(self.valence_arousal[valued[np.maximum(last, 0)]])

    @property
    def frames(self) -> Integers:
        """Numbers of the native frames."""
        return np.arange(len(self)) if self.frame is None else self.frame

    @property
    def meanings(self) -> dict[str, str]:
        """What its table has, and what that means."""
        return COLUMNS if self.interval is None else COLUMNS | BOUNDS

    @property
    def bounds(self) -> dict[str, Floats]:
        """The columns of BOUNDS; none where the interval isn't known."""
        if self.interval is None:
            return {}
        return dict(zip(BOUNDS, self.interval.reshape(len(self), 4).T, strict=True))

    def sure(self, widest: float) -> Self:
        """Without the frames whose interval is wider, of valence or of arousal.

        Raises:
            ValueError: the interval isn't known.
        """
        if self.interval is None:
            raise ValueError(f"{self.name}: there is no interval to abstain by")
        kept = (np.diff(self.interval, axis=2)[:, :, 0] <= widest).all(axis=1)
        arrays = (self.time_s, self.valence_arousal, self.detected, self.speaking, self.interval, self.frames)
        time_s, values, detected, speaking, interval, frame = (array[kept] for array in arrays)
        return replace(
            self,
            time_s=time_s,
            valence_arousal=values,
            detected=detected,
            speaking=speaking,
            interval=interval,
            frame=frame,
            every_frame=None if self.every_frame is None else self.every_frame[kept],
        )


@dataclass(frozen=True)
class Seconds:
    """Means over the seconds of a trace in which there is a frame.

    Args:
        begin_s: (K,) whole seconds, or where the values begin.
        end_s: (K,) one second later, or where the values or the video end.
        valence_arousal: (K, 2).
    """

    begin_s: Floats
    end_s: Floats
    valence_arousal: Floats


def seconds_of(trace: Trace) -> Seconds:
    """The trace second by second; a frame counts to the second that its time stamp lies in.

    Frames without a value count nowhere, and a second of nothing else is left out; one in which the values
    begin or end begins and ends with them.
    """
    valued = np.isfinite(trace.valence_arousal).all(axis=1)
    if not valued.any():
        return Seconds(np.empty(0), np.empty(0), np.empty((0, 2)))
    second, of_frame = np.unique(np.floor(trace.time_s[valued]).astype(np.int64), return_inverse=True)
    counts = np.bincount(of_frame)
    sums = [np.bincount(of_frame, trace.valence_arousal[valued, column]) for column in range(2)]
    last = np.cumsum(counts) - 1
    index = np.flatnonzero(valued)
    begins, ends = index[last - counts + 1], index[last] + 1
    after_s = np.append(trace.time_s, max(trace.duration_s, float(trace.time_s[-1])))
    from_start, to_end = valued[begins - 1] | (begins == 0), np.append(valued, False)[ends]
    begin_s = np.where(from_start, second, trace.time_s[begins])
    end_s = np.minimum(second + 1.0, np.where(to_end, after_s[-1], after_s[ends]))
    return Seconds(begin_s.astype(np.float64), end_s, np.column_stack(sums) / counts[:, None])


def runs_s(flags: Flags, time_s: Floats, duration_s: float) -> Floats:
    """Intervals over which a flag holds: from its first frame to the first frame without it.

    Shape: (N,), (N,) -> (R, 2) seconds.
    """
    edges = np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))
    ends_s = np.append(time_s, max(duration_s, float(time_s[-1])))
    return np.column_stack([ends_s[edges == 1], ends_s[edges == -1]])


def nearest(grid_time_s: Floats, time_s: Floats) -> Integers:
    """Index of the grid time nearest to each time; a tie goes to the earlier one. (T,), (N,) -> (N,)."""
    halfway_s = (grid_time_s[:-1] + grid_time_s[1:]) / 2
    return np.searchsorted(halfway_s, time_s, side="left")


def moments(values: Floats, seen: Flags) -> dict[str, float | None]:
    """Mean and standard deviation of the values whose face was seen; None without one. (N,), (N,)."""
    seen = seen & np.isfinite(values)
    if not seen.any():
        return {"mean": None, "sd": None}
    return {"mean": float(values[seen].mean(dtype=float)), "sd": float(values[seen].std(dtype=float))}


def printable(text: str) -> str:
    """One line of text that any format can hold: what it can't is escaped.

    Control characters and line separators break lines; a byte of a file name that isn't UTF-8, and what
    Unicode calls no character, has no place in XML, JSON or Parquet. Joiners stay: names need them.
    """
    return "".join(repr(c)[1:-1] if _breaks(c) else c for c in text)


def _breaks(character: str) -> bool:
    noncharacter = ord(character) & 0xFFFE == 0xFFFE
    return noncharacter or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def plain_cell(text: str) -> str:
    """A cell that a spreadsheet shows and doesn't run: a formula gets an apostrophe before it."""
    return f"'{text}" if text.startswith(FORMULA) else text


def file_name(name: str) -> str:
    """A file name that stays in its folder, whatever the data call the recording."""
    flat = "".join("_" if c in "/\\\0" else c for c in name)
    return flat if flat.strip(".") else f"_{flat}"
