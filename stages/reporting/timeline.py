"""The page of one video: the picture, valence and arousal over time, the plane, faces, and what was missing.

It needs nothing but plain arrays, so that a trained system's findings and the validation of a run share it.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stages.core.arrays import Flags, Floats
from stages.reporting.decimation import kept_points
from stages.reporting.pages import address_of, data_block, link, rounded, write_page

MAX_POINTS = 72_000  # of all curves together, the edges of bands included: some 900 kB
MAX_POINTS_EACH = 8000
MAX_SPANS = 2000  # of one kind
MAX_CROPS = 120
MAX_BOXES = 6000

Look = Literal["truth", "fused", "dynamic", "kelm", "audio", "cross_attention", "other"]
LOOKS: tuple[Look, ...] = ("truth", "fused", "dynamic", "kelm", "audio", "cross_attention", "other")


@dataclass(frozen=True)
class Curve:
    """Valence and arousal by one source.

    Args:
        name: as the reader knows it.
        time_s: (N,) seconds from the first frame, increasing.
        valence_arousal: (N, 2) in [-1, 1]; NaN leaves a gap.
        look: colour and dashes.
        interval: (N, 2, 2), low and high of valence, then of arousal; drawn as a band.
        shown: at first; the reader can toggle it.
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
    """Stretches of time in which something was missing.

    Args:
        name: `no face`, `not speaking`, `unlabelled` ...
        spans_s: (R, 2) begin and end of each.
    """

    name: str
    spans_s: Floats


@dataclass(frozen=True)
class Crop:
    """A face as the system saw it: a small JPEG, and its time."""

    time_s: float
    jpeg: bytes


@dataclass(frozen=True)
class Boxes:
    """Where the face is: (T,) times, (T, 4) x1, y1, x2, y2 as shares of the upright picture, NaN without."""

    time_s: Floats
    xyxy: Floats


@dataclass(frozen=True)
class TimelinePage:
    """What a page shows.

    Args:
        title: name of the recording or the subject; may hold anything.
        video: the file; None, or a format that the browser doesn't play: the cursor runs on a clock.
        duration_s: length of the time axis.
        curves: the ones most worth seeing first.
        bands: drawn below the curves.
        crops: at most MAX_CROPS of them are shown, evenly chosen.
        boxes: drawn over the picture.
        facts: figures in words, shown as a list.
        notice: a sentence that the page must carry; "" for none.
        home: a page to go back to, and its name; None for none.
        obstacle: what a browser that can't play the video should say of it (see `media.playable`), and
            what helps; "" where nothing speaks against it.
        beside: where else to look for the video, in this order, should it have moved: names of files beside
            the page, and whether each is a film of the findings, with boxes and curves in its picture.
        video_start_s: time of the first frame of `video` on a player's clock.
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
    home: tuple[Path, str] | None = None
    obstacle: str = ""
    beside: Sequence[tuple[str, bool]] = ()
    video_start_s: float = 0.0


def write_timeline(path: Path, page: TimelinePage) -> None:
    """Write one page; the video stays where it is and is linked relative to the page.

    Size: some 12 bytes a point drawn, crops as they come, 40 kB of style and script; under 2 MB without crops
    however long the video is.
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
    """Spans in which a flag is not set, from its first frame without to the next frame with.

    Shape: (N,), (N,) -> (R, 2) seconds, within [0, duration_s].
    """
    edges = np.diff(np.concatenate([[0], (~present).astype(np.int8), [0]]))
    ends_s = np.append(time_s, max(duration_s, float(time_s[-1]) if len(time_s) else 0.0))
    return np.column_stack([ends_s[edges == 1], ends_s[edges == -1]])


def fewer_spans(spans_s: Floats, limit: int) -> Floats:
    """Spans joined across the shortest gaps between them until at most `limit` are left. (R, 2) -> (K, 2)."""
    surplus = len(spans_s) - limit
    if surplus <= 0:
        return spans_s
    gaps_s = spans_s[1:, 0] - spans_s[:-1, 1]
    kept = np.sort(np.argsort(gaps_s, kind="stable")[surplus:])
    begins_s = np.concatenate([spans_s[:1, 0], spans_s[kept + 1, 0]])
    return np.column_stack([begins_s, np.concatenate([spans_s[kept, 1], spans_s[-1:, 1]])])


def evenly(count: int, limit: int) -> list[int]:
    """At most `limit` of `count` indices, evenly spread, the first and the last among them."""
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
    """Points that a curve may have; one with an interval counts three times."""
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
