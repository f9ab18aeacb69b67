"""The trace of one person, the input of every export format: values, flags and a summary."""

import unicodedata
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from stages.core.arrays import Flags, Floats, Integers
from stages.core.measures import TARGETS

COLUMNS = {
    "frame": "native frame, from 0",
    "time_s": "its time stamp, seconds from the first frame (on a video player's clock: plus video_start_s)",
    "valence": "-1 (unpleasant) to 1 (pleasant); none where nobody is there",
    "arousal": "-1 (calm) to 1 (excited); none where nobody is there",
    "detected": "1: the face was found at the nearest analysed time; 0: it wasn't",
    "speaking": "1: the person speaks at the nearest analysed time (sound, and a moving mouth); 0: not",
}
"""Column of the table -> its meaning; the other formats use the same names."""

BOUNDS = {
    f"{target}_{side}": f"{words} bound of the interval of {target}; see `interval` for its coverage"
    for target in TARGETS
    for side, words in (("low", "lower"), ("high", "upper"))
}
"""Further columns of a trace with an interval, which is narrow where the system is confident."""

UNITS = {"frame": "1", "time_s": "s", "valence": "1", "arousal": "1", "detected": "1", "speaking": "1"}
"""Column -> unit in UCUM; 1: dimensionless."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is a formula in a spreadsheet."""


@dataclass(frozen=True)
class Trace:
    """Valence and arousal of one person.

    Args:
        name: name of the recording or the subject; may have any character.
        video: the file that the times refer to.
        time_s: (N,) times of the native frames in seconds from the first frame, increasing.
        valence_arousal: (N, 2) in [-1, 1]; NaN where nobody is there.
        detected: (N,) whether the face was found.
        speaking: (N,) whether the person speaks.
        duration_s: end of the last frame.
        video_start_s: time of the first frame on a video player's clock, which VTT and EAF use.
        folder: final folder of the files; None: where they are written.
        summary: facts of the recording and the system, of JSON types.
        notice: a sentence that every output must carry; "" for none.
        person: number of the person, as `--person all` counts them; "" if there is only one.
        every_frame: (N, 2), values also where nobody is there; None: unknown.
        interval: (N, 2, 2) lower and upper bound of valence, then of arousal; None without an interval.
        frame: (N,) numbers of the native frames; None: 0 to N - 1, no frame is left out.
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
        """A time on a video player's clock, at least 0. Both in seconds."""
        return max(0.0, time_s + self.video_start_s)

    def without_gaps(self) -> Floats:
        """A value for every frame, as the challenge requires.

        These are `every_frame` if known. Else gaps get the last value before them, frames before the first
        value get the first value, and a trace without any value gets 0.

        Shape: -> (N, 2).
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
    def until_s(self) -> Floats:
        """(N,) end of each frame in seconds: the begin of the next one, or, where that is left out, earlier.

        A frame before such a gap lasts as long as the frames in the gap do on average, the last one of a
        trace that leaves out frames as long as the average of the recording.
        """
        end_s = max(self.duration_s, float(self.time_s[-1])) if len(self) else 0.0
        if self.frame is None or not len(self):
            return np.append(self.time_s[1:], [end_s] * min(len(self), 1))
        lasting_s = np.diff(self.time_s) / np.diff(self.frame)
        if self.summary.get("abstained_beyond") is not None and self.summary.get("rate_hz"):
            end_s = min(end_s, float(self.time_s[-1]) + 1 / self.summary["rate_hz"])
        until_s = np.where(np.diff(self.frame) > 1, self.time_s[:-1] + lasting_s, self.time_s[1:])
        return np.append(until_s, end_s)

    @property
    def meanings(self) -> dict[str, str]:
        """Column of its table -> meaning."""
        return COLUMNS if self.interval is None else COLUMNS | BOUNDS

    @property
    def bounds(self) -> dict[str, Floats]:
        """The columns of BOUNDS; empty without an interval."""
        if self.interval is None:
            return {}
        return dict(zip(BOUNDS, self.interval.reshape(len(self), 4).T, strict=True))

    def confident(self, widest: float) -> Self:
        """The trace without frames whose interval of valence or of arousal is wider than `widest`.

        Raises:
            ValueError: there is no interval.
        """
        if self.interval is None:
            raise ValueError(f"{self.name}: the trace has no interval")
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
    """Means over the seconds of a trace that have a value.

    Args:
        begin_s: (K,) whole seconds, or the begin of the values.
        end_s: (K,) one second later, or the end of the values or of the video.
        valence_arousal: (K, 2) means.
    """

    begin_s: Floats
    end_s: Floats
    valence_arousal: Floats


def seconds_of(trace: Trace) -> Seconds:
    """Average a trace over each second; a frame belongs to the second of its time stamp.

    Frames without a value are left out, and so are seconds without any value. A second in which the values
    begin or end is shortened to them.
    """
    valued = np.isfinite(trace.valence_arousal).all(axis=1)
    if not valued.any():
        return Seconds(np.empty(0), np.empty(0), np.empty((0, 2)))
    second, of_frame = np.unique(np.floor(trace.time_s[valued]).astype(np.int64), return_inverse=True)
    counts = np.bincount(of_frame)
    sums = [np.bincount(of_frame, trace.valence_arousal[valued, column]) for column in range(2)]
    last = np.cumsum(counts) - 1
    index = np.flatnonzero(valued)
    begins, ends = index[last - counts + 1], index[last]
    until_s = trace.until_s
    goes_on = _goes_on(valued, trace.time_s, until_s)
    from_start = np.append(trace.frames[0] == 0, goes_on)[begins]
    to_end = np.append(goes_on, False)[ends]
    begin_s = np.where(from_start, second, trace.time_s[begins])
    end_s = np.minimum(second + 1.0, np.where(to_end, np.inf, until_s[ends]))
    return Seconds(begin_s.astype(np.float64), end_s, np.column_stack(sums) / counts[:, None])


def runs_s(flags: Flags, time_s: Floats, duration_s: float, until_s: Floats | None = None) -> Floats:
    """Time intervals in which a flag is set: from its first frame to the next frame without it.

    Shape: (N,), (N,) -> (R, 2) begin and end in seconds; the last may end at `duration_s`.

    Args:
        flags: of the frames.
        time_s: of the frames, increasing.
        duration_s: end of the last one.
        until_s: (N,) end of each frame, if some are left out: an interval ends there. See `Trace.until_s`.
    """
    if until_s is None:
        until_s = np.append(time_s[1:], [max(duration_s, float(time_s[-1]))] if len(time_s) else [])
    goes_on = _goes_on(flags, time_s, until_s)
    begins = flags & ~np.append(False, goes_on)[: len(flags)]
    ends = flags & ~np.append(goes_on, False)[: len(flags)]
    return np.column_stack([time_s[begins], until_s[ends]])


def _goes_on(flags: Flags, time_s: Floats, until_s: Floats) -> Flags:
    """Whether a flag is set at two frames that follow each other. Shape: (N,), (N,), (N,) -> (N - 1,)."""
    return np.asarray(flags[:-1] & flags[1:] & (until_s[:-1] >= time_s[1:]))


def moments(values: Floats, seen: Flags) -> dict[str, float | None]:
    """Mean and standard deviation over the frames with a face; None without one. Shape: (N,), (N,)."""
    seen = seen & np.isfinite(values)
    if not seen.any():
        return {"mean": None, "sd": None}
    return {"mean": float(values[seen].mean(dtype=float)), "sd": float(values[seen].std(dtype=float))}


def one_line(text: str) -> str:
    """One line of text that every format accepts; other characters are escaped.

    Control characters and line separators break lines. Bytes that aren't UTF-8 and Unicode noncharacters
    aren't allowed in XML, JSON or Parquet. Zero-width joiners stay, since names need them.
    """
    return "".join(repr(c)[1:-1] if _breaks(c) else c for c in text)


def _breaks(character: str) -> bool:
    noncharacter = ord(character) & 0xFFFE == 0xFFFE
    return noncharacter or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def plain_cell(text: str) -> str:
    """A cell that a spreadsheet shows as text: a formula gets an apostrophe in front."""
    return f"'{text}" if text.startswith(FORMULA) else text


def file_name(name: str) -> str:
    """A file name without path separators, from any name of a recording."""
    flat = "".join("_" if c in "/\\\0" else c for c in name)
    return flat if flat.strip(".") else f"_{flat}"
