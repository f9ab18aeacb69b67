"""The timeline page of one video: video, valence and arousal over time and in the plane, faces, missing data.

It takes plain arrays, so that both `valaro predict` and the report of a run can use it.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stages.core.arrays import Flags, Floats
from stages.exports.trace import runs_s
from stages.reporting.decimation import kept_points
from stages.reporting.pages import address_of, data_block, link, rounded, write_page

MAX_POINTS = 72_000  # of all curves together, including the bounds of bands: about 900 kB
MAX_POINTS_EACH = 8000
MAX_SPANS = 2000  # of one band
MAX_CROPS = 120
MAX_BOXES = 6000

Look = Literal["truth", "fused", "dynamic", "kelm", "audio", "cross_attention", "other"]
LOOKS: tuple[Look, ...] = ("truth", "fused", "dynamic", "kelm", "audio", "cross_attention", "other")


@dataclass(frozen=True)
class Curve:
    """Valence and arousal from one source.

    Args:
        name: name in the legend.
        time_s: (N,) seconds from the first frame, increasing.
        valence_arousal: (N, 2) in [-1, 1]; NaN is a gap.
        look: colour and line style.
        interval: (N, 2, 2) lower and upper bound of valence, then of arousal; drawn as a band.
        shown: whether it is visible at first; the reader can toggle it.
    """

    name: str
    time_s: Floats
    valence_arousal: Floats
    look: Look = "other"
    interval: Floats | None = None
    shown: bool = True

    def __post_init__(self) -> None:
        if self.valence_arousal.shape != (len(self.time_s), 2):
            raise ValueError(f"{self.name}: {self.valence_arousal.shape} values, not ({len(self.time_s)}, 2)")
        if self.interval is not None and self.interval.shape != (len(self.time_s), 2, 2):
            raise ValueError(f"{self.name}: interval {self.interval.shape}, not ({len(self.time_s)}, 2, 2)")


@dataclass(frozen=True)
class Band:
    """Time spans in which something is missing.

    Args:
        name: `no face`, `not speaking`, `unlabelled` ...
        spans_s: (R, 2) begin and end of each, in seconds.
    """

    name: str
    spans_s: Floats


@dataclass(frozen=True)
class Crop:
    """A detected face: its time in seconds, and a small JPEG."""

    time_s: float
    jpeg: bytes


@dataclass(frozen=True)
class Boxes:
    """Face boxes.

    Args:
        time_s: (T,) seconds from the first frame.
        xyxy: (T, 4) x1, y1, x2, y2 relative to the size of the upright picture; NaN without a face.
    """

    time_s: Floats
    xyxy: Floats


@dataclass(frozen=True)
class TimelinePage:
    """The content of a page.

    Args:
        title: name of the recording or the subject; may have any character.
        video: the file; without it, or if the browser can't play it, the cursor follows a clock.
        duration_s: length of the time axis in seconds.
        curves: the most important ones first.
        bands: drawn below the curves.
        crops: at most MAX_CROPS of them are shown, evenly spaced.
        boxes: drawn over the video.
        facts: name -> text, shown as a list.
        notice: a sentence that the page must carry; "" for none.
        notes: what is odd about the recording or the system, a sentence each.
        home: a page to link back to, and its name; None for none.
        obstacle: shown if the browser can't play the video: the reason and the remedy (see `media.playable`);
            "" if every browser can.
        beside: alternative files beside the page, in order of preference, if `video` can't be found: (name,
            whether it is a film with boxes and curves in its picture).
        video_start_s: time of the first frame of `video` on a video player's clock.
    """

    title: str
    video: Path | None
    duration_s: float
    curves: Sequence[Curve]
    bands: Sequence[Band] = ()
    crops: Sequence[Crop] = ()
    boxes: Boxes | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    notice: str = ""
    notes: Sequence[str] = ()
    home: tuple[Path, str] | None = None
    obstacle: str = ""
    beside: Sequence[tuple[str, bool]] = ()
    video_start_s: float = 0.0


def write_timeline(path: Path, page: TimelinePage) -> None:
    """Write one page; the video stays in place and is linked relative to the page.

    Size: about 12 bytes per point drawn, the crops, and 40 kB of style and script; under 2 MB without crops,
        for any
    length of the video.
    """
    write_page(
        path,
        "timeline",
        page=page,
        video=link(page.video, path) if page.video else "",
        thinned=any(len(curve.time_s) > _points_each(page) for curve in page.curves),
        home=link(page.home[0], path) if page.home else "",
        crops=_shown_crops(page.crops),
        data=data_block(_data(page)),
    )


def missing_spans(time_s: Floats, present: Flags, duration_s: float) -> Floats:
    """Time spans in which a flag isn't set, see `runs_s`. Shape: (N,), (N,) -> (R, 2) seconds."""
    return runs_s(~present, time_s, duration_s)


def fewer_spans(spans_s: Floats, limit: int) -> Floats:
    """Join spans across the shortest gaps until at most `limit` are left. Shape: (R, 2) -> (K, 2)."""
    surplus = len(spans_s) - limit
    if surplus <= 0:
        return spans_s
    gaps_s = spans_s[1:, 0] - spans_s[:-1, 1]
    kept = np.sort(np.argsort(gaps_s, kind="stable")[surplus:])
    begins_s = np.concatenate([spans_s[:1, 0], spans_s[kept + 1, 0]])
    return np.column_stack([begins_s, np.concatenate([spans_s[kept, 1], spans_s[-1:, 1]])])


def evenly(count: int, limit: int) -> list[int]:
    """At most `limit` of `count` indices, evenly spaced, including the first and the last."""
    spread = np.linspace(0, count - 1, min(count, limit))
    return [int(k) for k in np.unique(spread.round())]


def _data(page: TimelinePage) -> dict[str, Any]:
    limit = _points_each(page)
    return {
        "duration": round(page.duration_s, 3),
        "start": round(page.video_start_s, 3),
        "curves": [_curve(curve, limit) for curve in page.curves],
        "bands": [
            {"name": band.name, "spans": rounded(fewer_spans(band.spans_s, MAX_SPANS), 2)}
            for band in page.bands
        ],
        "boxes": _boxes(page.boxes) if page.boxes else None,
        "beside": [{"address": address_of(name), "film": film} for name, film in page.beside],
    }


def _points_each(page: TimelinePage) -> int:
    """Maximum number of points per curve; a curve with an interval counts three times."""
    drawn = sum(2 if curve.interval is None else 6 for curve in page.curves)
    return max(5, min(MAX_POINTS_EACH, MAX_POINTS // max(1, drawn)))


def _curve(curve: Curve, limit: int) -> dict[str, Any]:
    look = curve.look if curve.look in LOOKS else "other"
    targets = [_target(curve, column, limit) for column in range(2)]
    return {"name": curve.name, "look": look, "shown": curve.shown, "targets": targets}


def _target(curve: Curve, column: int, limit: int) -> dict[str, Any]:
    values = np.clip(curve.valence_arousal[:, column], -1, 1)
    kept = kept_points(values, limit)
    drawn = {"t": rounded(curve.time_s[kept], 2), "y": rounded(values[kept])}
    if curve.interval is not None:
        drawn["low"] = rounded(np.clip(curve.interval[kept, column, 0], -1, 1))
        drawn["high"] = rounded(np.clip(curve.interval[kept, column, 1], -1, 1))
    return drawn


def _boxes(boxes: Boxes) -> dict[str, Any]:
    kept = evenly(len(boxes.time_s), MAX_BOXES)
    return {"t": rounded(boxes.time_s[kept], 2), "xyxy": rounded(boxes.xyxy[kept], 3)}


def _shown_crops(crops: Sequence[Crop]) -> list[dict[str, Any]]:
    return [
        {
            "time_s": round(crops[k].time_s, 2),
            "source": f"data:image/jpeg;base64,{base64.b64encode(crops[k].jpeg).decode()}",
        }
        for k in evenly(len(crops), MAX_CROPS)
    ]
