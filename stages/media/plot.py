"""One picture of a trace: valence and arousal over time, and where there was no face or no voice."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import BinaryIO, NamedTuple

import matplotlib as mpl
import numpy as np
from PIL import Image

from stages.core.arrays import Flags, Floats
from stages.engine.lazy_imports import without_signatures

with without_signatures():
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

_STYLE = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
_MARGINS = {"left": 0.072, "bottom": 0.215, "right": 0.979, "top": 0.931}
"""Room for the labels of these axes: a layout engine finds the same, and draws everything twice for it."""
VALENCE, AROUSAL = "#0b62c4", "#b8480b"
"""As on the pages (`--valence`, `--arousal` of reporting/assets/style.css) and in the films (`panel`)."""
_DRAWING = Lock()
_BANDS = (("no face", "#d9a0a0", 0.0, 0.06), ("not speaking", "#a8b4c8", 0.06, 0.12))


def plot_trace(
    out: Path | BinaryIO,
    title: str,
    time_s: Floats,
    valence_arousal: Floats,
    *,
    interval: Floats | None = None,
    flag_time_s: Floats | None = None,
    detected: Flags | None = None,
    speaking: Flags | None = None,
    notice: str = "",
) -> None:
    """Write a PNG (1200 × 420) with both curves on [-1, 1]; the same input gives the same bytes.

    Args:
        out: the file to write, whatever its name ends in, or one that is open for bytes.
        title: as `draw_trace`, like what follows.
        time_s: (N,).
        valence_arousal: (N, 2).
        interval: (N, 2, 2).
        flag_time_s: (T,).
        detected: (T,).
        speaking: (T,).
        notice: a sentence above the axes, on the right; "" for none.

    Raises:
        ValueError: lengths that don't fit.
    """
    with _DRAWING, mpl.rc_context({**mpl.rcParamsDefault, **_STYLE}), _empty_sheet() as (canvas, axes):
        draw_trace(
            axes,
            title.replace("\n", " "),
            time_s,
            valence_arousal,
            interval=interval,
            flag_time_s=flag_time_s,
            detected=detected,
            speaking=speaking,
            notice=notice,
        )
        canvas.figure.legend(loc="lower center", ncols=4, frameon=False)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # a name in a script the font lacks: boxes will do
            canvas.draw()
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    picture.save(out, format="png", compress_level=3)  # the least from which on files get hardly any smaller


class _Sheet(NamedTuple):
    """What plots are drawn into."""

    canvas: FigureCanvasAgg
    axes: Axes


@contextmanager
def _empty_sheet() -> Iterator[_Sheet]:
    """The sheet of every plot; what is drawn into it is taken out again."""
    sheet = _sheet()
    try:
        yield sheet
    finally:
        axes = sheet.axes
        for artist in (*axes.lines, *axes.collections, *axes.texts, *sheet.canvas.figure.legends):
            artist.remove()


@cache
def _sheet() -> _Sheet:
    """Made once: the ticks of axes take as long to make as a plot to draw."""
    figure = Figure(figsize=(10, 3.5), dpi=120)
    figure.subplots_adjust(**_MARGINS)
    return _Sheet(FigureCanvasAgg(figure), figure.add_subplot())


def draw_trace(
    axes: Axes,
    title: str,
    time_s: Floats,
    valence_arousal: Floats,
    *,
    interval: Floats | None = None,
    flag_time_s: Floats | None = None,
    detected: Flags | None = None,
    speaking: Flags | None = None,
    notice: str = "",
) -> None:
    """Draw both curves on [-1, 1] into axes.

    Spans without a face and without a voice are coloured bands along the lower edge.

    Args:
        axes: Matplotlib's; what is in them stays.
        title: above the axes.
        time_s: (N,) seconds, increasing.
        valence_arousal: (N, 2); NaN leaves a gap.
        interval: (N, 2, 2) low and high of valence, of arousal; None draws none.
        flag_time_s: (T,) times of the masks; None: they are at time_s.
        detected: (T,) a face was found; None draws no band.
        speaking: (T,) someone speaks; None draws no band.
        notice: a sentence above the axes, on the right; "" for none.

    Raises:
        ValueError: lengths that don't fit.
    """
    times = time_s if flag_time_s is None else flag_time_s
    masks = [detected, speaking]
    if valence_arousal.shape != (len(time_s), 2) or any(
        m is not None and len(m) != len(times) for m in masks
    ):
        raise ValueError(f"{len(time_s)} times, values {valence_arousal.shape}: lengths that don't fit")
    for mask, (label, colour, low, high) in zip(masks, _BANDS, strict=True):
        if mask is not None and not mask.all():
            _band(axes, times, ~mask, label, colour, low, high)
    axes.axhline(0, color="0.8", linewidth=0.8)
    for column, (label, colour) in enumerate((("valence", VALENCE), ("arousal", AROUSAL))):
        if interval is not None:
            axes.fill_between(time_s, *interval[:, column].T, color=colour, alpha=0.15, linewidth=0)
        axes.plot(time_s, valence_arousal[:, column], color=colour, linewidth=1.2, label=label)
    axes.set(xlabel="time (s)", ylabel="valence, arousal (−1 to 1)", ylim=(-1.05, 1.05))
    axes.set_xlim(0, max(float(time_s[-1]), 1e-3) if len(time_s) else 1)
    axes.set_title(title, loc="left", y=1.0, parse_math=False)  # where it stands anyway: not searched for
    axes.text(1, 1.02, notice, transform=axes.transAxes, ha="right", style="italic", parse_math=False)


def _band(
    axes: Axes, time_s: Floats, missing: Flags, label: str, colour: str, low: float, high: float
) -> None:
    """Colour the spans where a flag is set, each up to half-way to its neighbours."""
    half_s = float(np.median(np.diff(time_s))) / 2 if len(time_s) > 1 else 0.5
    edges = np.flatnonzero(np.diff(np.concatenate([[0], missing, [0]]).astype(int))).reshape(-1, 2)
    spans = [(time_s[start] - half_s, time_s[end - 1] - time_s[start] + 2 * half_s) for start, end in edges]
    axes.broken_barh(
        spans,
        (low, high - low),
        transform=axes.get_xaxis_transform(),
        color=colour,
        linewidth=0,
        label=label,
    )
