"""The trace of one person, as `valaro.predict` gives it: numbers, tables, pictures, files."""

import io
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.core.arrays import Flags, Floats, Integers
from stages.core.artefacts import whole
from stages.core.errors import ValaroError
from stages.core.measures import TARGETS
from stages.core.times import nearest
from stages.exports.formats import FORMATS, require_writers
from stages.exports.trace import Trace as ExportedTrace
from stages.exports.trace import one_line, plain_cell
from valaro.suggestions import unknown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

MAX_TITLE = 45
"""Letters of a name above a picture; the notice is on the same line."""
DECIMALS = 6
FIRST_COLUMN = "recording"
"""Of a table over several recordings: the name of each."""
INTERVAL_COLUMNS = ("valence_low", "valence_high", "arousal_low", "arousal_high")
BOX_COLUMNS = ("face_left_px", "face_top_px", "face_right_px", "face_bottom_px")


@dataclass(frozen=True, eq=False)
class Faces:
    """What was seen of faces, at the times that were looked at (5 a second, unless the parameters differ).

    Args:
        time_s: (T,) seconds from the first frame.
        detected: (T,) the person's face was found.
        box_xyxy: (T, 4) left, top, right, bottom in pixels of the upright picture; NaN where it wasn't found.
        score: (T,) the detector's confidence, 0 to 1; NaN where it wasn't found.
        count: (T,) faces in the picture, whoever they are.
    """

    time_s: Floats
    detected: Flags
    box_xyxy: Floats
    score: Floats
    count: Integers

    def __len__(self) -> int:
        return len(self.time_s)

    def __repr__(self) -> str:
        seen = int(self.detected.sum())
        return f"<Faces: found at {seen} of {len(self)} times, {self.count.max(initial=0)} at once at most>"

    def to_pandas(self) -> "DataFrame":
        """A row per time: time_s, detected, face_score, faces_in_frame, face_left_px ... face_bottom_px."""
        import pandas as pd

        boxes = dict(zip(BOX_COLUMNS, self.box_xyxy.T, strict=True))
        flags = {"time_s": self.time_s, "detected": self.detected}
        return pd.DataFrame(flags | {"face_score": self.score, "faces_in_frame": self.count} | boxes)


def no_faces() -> Faces:
    """Of a recording without pictures."""
    none = np.zeros(0)
    return Faces(none, np.zeros(0, bool), np.zeros((0, 4)), none, np.zeros(0, np.int32))


@dataclass(frozen=True, eq=False, repr=False)
class Trace(ExportedTrace):
    """Valence and arousal of one person, frame by frame; valence from -1 (unpleasant) to 1, arousal likewise.

    `trace.to_pandas()` is a table with a row per frame, `trace.plot()` a picture, `trace.save("a.eaf")` a
    file for another program; in a notebook a trace shows itself.

    Args:
        name: of the recording; may hold anything.
        video: the file that the times belong to.
        time_s: (N,) native frame times from the first frame, increasing.
        valence_arousal: (N, 2) in [-1, 1], NaN where nobody is there.
        detected: (N,) the face was seen at the nearest time looked at.
        speaking: (N,) the person seems to speak.
        duration_s: up to the end of the last frame.
        summary: the recording and the system in figures and words, what `valaro predict` writes as JSON.
        notice: a sentence about the system that must go with the values; "" for none.
        person: which one of several, as `person="all"` numbers them; "" where only one was asked for.
        every_frame: (N, 2), values also where nobody is there; None: unknown.
        interval: (N, 2, 2) low and high of valence, of arousal: the 90 % interval calibrated on validation,
            narrow where the system is sure; None where the system has none.
        frame: (N,) numbers of the native frames; None: all of them.
        faces: what was seen of faces.
    """

    interval: Floats | None = None
    faces: Faces = field(default_factory=no_faces)

    @property
    def valence(self) -> Floats:
        """(N,) from -1 (unpleasant) to 1 (pleasant)."""
        return np.asarray(self.valence_arousal[:, 0])

    @property
    def arousal(self) -> Floats:
        """(N,) from -1 (calm) to 1 (excited)."""
        return np.asarray(self.valence_arousal[:, 1])

    def columns(self) -> dict[str, Any]:
        """The columns of `to_pandas` as arrays of N, in their order."""
        n = len(self)
        columns: dict[str, Any] = {
            "frame": self.frames.astype(np.int32),
            "time_s": self.time_s.astype(np.float64),
            "valence": self.valence.astype(np.float32),
            "arousal": self.arousal.astype(np.float32),
        }
        interval = np.full((n, 2, 2), np.nan) if self.interval is None else self.interval
        columns |= dict(zip(INTERVAL_COLUMNS, interval.reshape(n, 4).T.astype(np.float32), strict=True))
        columns |= {"detected": self.detected.astype(bool), "speaking": self.speaking.astype(bool)}
        return columns | self._face_columns() | {"person": np.full(n, self.person, object)}

    @classmethod
    def column_names(cls) -> list[str]:
        """The columns of `to_pandas`, whatever the recording."""
        first = ("frame", "time_s", "valence", "arousal", *INTERVAL_COLUMNS, "detected", "speaking")
        return [*first, "faces_in_frame", "face_score", *BOX_COLUMNS, "person"]

    def _face_columns(self) -> dict[str, Any]:
        """The faces, at the time looked at that is nearest to each frame."""
        if not len(self.faces):
            empty = np.full(len(self), np.nan, np.float32)
            nobody = np.zeros(len(self), np.int32)
            return {"faces_in_frame": nobody, "face_score": empty} | dict.fromkeys(BOX_COLUMNS, empty)
        k = nearest(self.faces.time_s, self.time_s)
        boxes = self.faces.box_xyxy[k].T.astype(np.float32)
        seen = {"faces_in_frame": self.faces.count[k], "face_score": self.faces.score[k].astype(np.float32)}
        return seen | dict(zip(BOX_COLUMNS, boxes, strict=True))

    def to_pandas(self) -> "DataFrame":
        """A row per native frame.

        Columns: frame, time_s, valence, arousal, valence_low, valence_high, arousal_low, arousal_high (the
        interval), detected, speaking, faces_in_frame, face_score, face_left_px, face_top_px, face_right_px,
        face_bottom_px, person (the number of one of several, else empty). `attrs` of the frame holds the
        name, the file and the notice.
        """
        import pandas as pd

        table = pd.DataFrame(self.columns())
        table.attrs = {"name": self.name, "file": str(self.video), "notice": self.notice}
        return table

    def to_csv(self, path: str | Path) -> None:
        """Write the table of `to_pandas`, six decimals, an empty cell where there is no value.

        The notice isn't in it: `save("a.json")` has it, and `summary`.
        """
        with whole(Path(path)) as partial:
            rounded(self.to_pandas()).to_csv(partial, index=False)

    def save(self, path: str | Path) -> None:
        """Write the trace in the format of the file's ending: .csv, .parquet, .json, .vtt, .eaf (ELAN), .png.

        Raises:
            ValaroError: the ending is none of these.
        """
        file = Path(path)
        if (kind := file.suffix.lower().removeprefix(".")) not in (known := [*FORMATS, "png"]):
            raise ValaroError(f"{file}: {unknown('format', kind, known)}")
        require_writers([kind])
        with whole(file) as partial:
            if kind == "png":
                partial.write_bytes(self._repr_png_())
            else:
                FORMATS[kind].write(partial, self)

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Draw both curves, the interval, and where there was no face or no voice.

        Args:
            axes: Matplotlib axes to draw into; None makes a figure.
        """
        from stages.media.plot import draw_trace

        if axes is None:
            import matplotlib.pyplot as plt

            _, axes = plt.subplots(figsize=(10, 3.5), layout="constrained")
        draw_trace(axes, self.title, **self._drawn())
        axes.legend(loc="lower right", ncols=4, frameon=False)
        return axes

    def _drawn(self) -> Mapping[str, Any]:
        """What a plot shows: the frames, and where some are left out a gap between them."""
        gaps = np.flatnonzero(self.until_s[:-1] < self.time_s[1:]) + 1
        flags = {"detected": self.detected if len(self.faces) else None, "speaking": self.speaking}
        return {
            "time_s": np.insert(self.time_s, gaps, self.until_s[gaps - 1]),
            "valence_arousal": np.insert(self.valence_arousal, gaps, np.nan, axis=0),
            "interval": None if self.interval is None else np.insert(self.interval, gaps, np.nan, axis=0),
            "notice": self.notice,
            **{name: None if flag is None else np.insert(flag, gaps, True) for name, flag in flags.items()},
        }

    @property
    def title(self) -> str:
        """The name, fit to stand above a picture."""
        name = one_line(self.name)
        return name if len(name) <= MAX_TITLE else f"{name[: MAX_TITLE - 1]}…"

    def __repr__(self) -> str:
        valued = np.isfinite(self.valence_arousal).all(axis=1)
        seen = self.detected & valued if (self.detected & valued).any() else valued
        means = (float(column[seen].mean()) if seen.any() else 0.0 for column in self.valence_arousal.T)
        said = ", ".join(f"{name} {mean:+.2f}" for name, mean in zip(TARGETS, means, strict=True))
        system = f", {self.summary['system']}" if "system" in self.summary else ""
        frames = f"{len(self)} frame{'s' if len(self) > 1 else ''}"
        return f"<Trace of {one_line(self.name)!r}: {self.duration_s:.1f} s, {frames}, mean {said}{system}>"

    def _repr_png_(self) -> bytes:
        from stages.media.plot import plot_trace

        picture = io.BytesIO()
        plot_trace(picture, self.title, **self._drawn())
        return picture.getvalue()

    def _repr_html_(self) -> str:
        picture = b64encode(self._repr_png_()).decode()
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.summary.get("notes", []))
        return (
            f'<figure style="margin:0"><img alt="{escape(repr(self), quote=True)}" '
            f'style="max-width:100%" src="data:image/png;base64,{picture}">'
            f"<figcaption>{escape(repr(self))}</figcaption></figure>" + (f"<ul>{notes}</ul>" if notes else "")
        )


def table_of(traces: "list[Trace]") -> "DataFrame":
    """One table over several recordings: that of `Trace.to_pandas`, after a first column `recording`."""
    import pandas as pd

    parts = []
    for trace in traces:
        part = trace.to_pandas()
        part.insert(0, FIRST_COLUMN, plain_cell(one_line(trace.name)))
        part.attrs = {}
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def rounded(table: "DataFrame") -> "DataFrame":
    """Six decimals, flags as 0 and 1, as in the CSV of `valaro predict`."""
    flags = list(table.select_dtypes("bool"))
    figures = list(table.select_dtypes("floating"))
    return table.astype(dict.fromkeys(flags, int) | dict.fromkeys(figures, float)).round(DECIMALS)
