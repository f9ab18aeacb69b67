"""The charts of the report: SVG of 360 units' width, each with a description for screen readers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from stages.core.arrays import Floats
from stages.reporting.svg import WIDTH, Frame, diamond, element, group, picture, plain, ticks_of

LEVELS = 9
HALVES = (-1.0, -0.5, 0.0, 0.5, 1.0)


@dataclass(frozen=True)
class Line:
    """A curve; its name (valence, arousal, mean, loss) determines its colour."""

    name: str
    x: Floats
    y: Floats


@dataclass(frozen=True)
class Estimate:
    """A value and its interval, NaN without one; out-of-fold values are drawn filled, others hollow."""

    value: float
    low: float = float("nan")
    high: float = float("nan")
    out_of_fold: bool = True


@dataclass(frozen=True)
class Figure:
    """A row of a chart: its name, its values, and the published value, NaN without one."""

    label: str
    estimates: tuple[Estimate, ...]
    published: float = float("nan")


@dataclass(frozen=True)
class Point:
    """A point of a scatter plot."""

    name: str
    x: float
    y: float


def density(title: str, counts: Floats, x_label: str, y_label: str, *, diagonal: bool = False) -> Markup:
    """A two-dimensional histogram of pairs of values in [-1, 1]: darker cells have more frames.

    The shade is proportional to the square root of the count, in nine steps; cells of one shade are one path.

    Args:
        title: title of the chart.
        counts: (B, B), the first axis is horizontal.
        x_label: label of the horizontal axis.
        y_label: label of the vertical axis.
        diagonal: draw the line of equal values.
    """
    frame = Frame((-1, 1), (-1, 1), height=340)
    side_x, side_y = (frame.across(1) - frame.left) / len(counts), (frame.up(-1) - frame.up(1)) / len(counts)
    top = float(counts.max()) if counts.size else 0.0
    level = np.ceil(np.sqrt(counts / top) * LEVELS).astype(int) if top else np.zeros_like(counts, dtype=int)
    cells = []
    for step in range(1, LEVELS + 1):
        places = np.argwhere(level == step)
        corners = [(frame.left + i * side_x, frame.up(-1) - (j + 1) * side_y) for i, j in places.tolist()]
        path = "".join(f"M{x:.1f} {y:.1f}h{side_x:.2f}v{side_y:.2f}h{-side_x:.2f}z" for x, y in corners)
        if path:
            cells.append(element("path", class_="density", fill_opacity=(step / LEVELS) ** 0.8, d=path))
    line = [frame.line([-1, 1], [-1, 1], "diagonal")] if diagonal else []
    total = int(counts.sum())
    described = f"{total} frames; the densest cell of {len(counts)} × {len(counts)} holds {int(top)}"
    axes = frame.axes(x_label, y_label, x_ticks=HALVES, y_ticks=HALVES)
    return picture(title, described, frame.width, frame.height, axes, *cells, *line)


def calibration(title: str, bins: dict[str, tuple[Floats, Floats, Floats]]) -> Markup:
    """Mean truth against mean prediction per bin of the prediction; a calibrated system is on the diagonal.

    Args:
        title: title of the chart.
        bins: valence, arousal -> mean prediction, mean truth and number of frames of each bin with frames.
    """
    frame = Frame((-1, 1), (-1, 1), height=340)
    parts = [frame.axes("predicted", "true", x_ticks=HALVES, y_ticks=HALVES)]
    parts.append(frame.line([-1, 1], [-1, 1], "diagonal"))
    described = []
    for target, (predicted, true, frames) in bins.items():
        draw = frame.circle if target == "valence" else frame.diamond
        sizes = 2.5 + 5 * np.sqrt(frames / max(1.0, float(frames.max(initial=1))))
        parts.append(group([frame.line(predicted, true, "")], class_=target))
        for p, t, n, size in zip(predicted, true, frames, sizes, strict=True):
            words = f"{target}: predicted {plain(round(p, 2))}, true {plain(round(t, 2))}, {int(n)} frames"
            parts.append(group([draw(float(p), float(t), float(size), "mark", words)], class_=target))
        if len(frames):
            off = float(np.average(np.abs(true - predicted), weights=frames))
            described.append(f"{target} is {off:.2f} off on average over bins")
    return picture(title, "; ".join(described) or "no frame", frame.width, frame.height, *parts)


def whiskers(title: str, figures: Sequence[Figure], x_label: str) -> Markup:
    """Values with their intervals, one row per figure below its name; a diamond is the published value."""
    row, floor = 44, 40
    values = [v for f in figures for e in f.estimates for v in (e.value, e.low, e.high)]
    finite = [v for v in (*values, *(f.published for f in figures)) if np.isfinite(v)]
    height = row * len(figures) + floor + 6
    frame = Frame((min([0.0, *finite]), max([1.0, *finite])), (0, 1), height=height, left=12, top=6)
    parts = [frame.axes(x_label, "", y_ticks=())]
    for k, figure in enumerate(figures):
        y = frame.top + row * k
        parts.append(element("text", figure.label, x=frame.left, y=y + 14, class_="strong"))
        parts += [
            mark
            for i, e in enumerate(figure.estimates)
            for mark in _whisker(frame, y + 25 + 10 * i, figure.label, e)
        ]
        if np.isfinite(figure.published):
            words = f"{figure.label}, published: {figure.published:.3f}"
            x = frame.across(figure.published)
            parts.append(diamond(x, y + 25, 5.0, "hollow arousal published", words))
    described = "; ".join(f"{figure.label} {figure.estimates[0].value:.3f}" for figure in figures)
    return picture(title, described or "no figure", frame.width, height, *parts)


def _whisker(frame: Frame, y: float, label: str, estimate: Estimate) -> Iterator[Markup]:
    words = f"{label}{'' if estimate.out_of_fold else ', as published'}: {estimate.value:.3f}"
    if np.isfinite(estimate.low):
        words += f" [{estimate.low:.3f}, {estimate.high:.3f}]"
        ends = {"x1": frame.across(estimate.low), "x2": frame.across(estimate.high)}
        yield element("line", class_="whisker mean", **ends, y1=y, y2=y)
    class_ = "mark mean" if estimate.out_of_fold else "hollow mean"
    named = element("title", words)
    yield element("circle", named, class_=class_, cx=frame.across(estimate.value), cy=y, r=4.5)


def curves(title: str, lines: Sequence[Line], x_label: str, y_label: str, *, marks: bool = False) -> Markup:
    """Curves with common axes: training curves, or, with `marks`, scores at a few values of a parameter."""
    x = np.concatenate([line.x for line in lines])
    y = np.concatenate([line.y for line in lines])
    low, high = (_around if marks else _reach)(y[np.isfinite(y)])
    frame = Frame((float(x.min()), float(x.max())), (low, high), height=220)
    x_ticks = sorted(set(x.tolist())) if marks else [t for t in ticks_of(*frame.x) if t == round(t)]
    parts = [frame.axes(x_label, y_label, x_ticks=x_ticks)]
    for line in lines:
        drawn = [frame.line(line.x, line.y, "dashed" if line.name == "arousal" else "")]
        draw = frame.diamond if line.name == "arousal" else frame.circle
        if marks or len(line.x) == 1:
            drawn += [
                draw(float(a), float(b), 4, "mark", f"{line.name} at {plain(float(a))}: {b:.3f}")
                for a, b in zip(line.x, line.y, strict=True)
                if np.isfinite(b)
            ]
        parts.append(group(drawn, class_=line.name))
    described = [f"{line.name} from {line.y[0]:.3g} to {line.y[-1]:.3g}" for line in lines if len(line.y)]
    return picture(title, "; ".join(described), frame.width, frame.height, *parts)


def _reach(values: Floats) -> tuple[float, float]:
    """Range of an axis that includes zero, with some space above."""
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    high = high if high > low else 1.0
    return low, high + 0.04 * (high - low)


def _around(values: Floats) -> tuple[float, float]:
    """Range of an axis for small differences: that of the values, with some space."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    air = 0.08 * (high - low) or 0.05
    return low - air, high + air


def scatter(title: str, points: Sequence[Point], x_label: str, y_label: str) -> Markup:
    """A scatter plot around a line at zero; hovering shows the names."""
    reach = max([0.02, *(abs(point.y) for point in points)]) * 1.15
    frame = Frame((0, max([1.0, *(point.x for point in points)])), (-reach, reach), height=300, left=56)
    zero = {"x1": frame.left, "x2": WIDTH - frame.right, "y1": frame.up(0), "y2": frame.up(0)}
    parts = [frame.axes(x_label, y_label), element("line", class_="axis", **zero)]
    for point in points:
        gain = point.y >= 0
        words = f"{point.name}: {plain(round(point.y, 3))} at {plain(round(point.x, 2))}"
        draw = frame.circle if gain else frame.diamond
        mark = draw(point.x, point.y, 5.5, "mark", words)
        parts.append(group([mark], class_="valence" if gain else "arousal"))
    gains = sum(point.y > 0 for point in points)
    return picture(title, f"{gains} of {len(points)} above zero", frame.width, frame.height, *parts)


def bar(value: float, label: str) -> Markup:
    """A bar for a table cell: full at 1, highlighted below 0.3, empty at or below 0."""
    width = 100 * min(1.0, max(0.0, value))
    return element(
        "svg",
        element("rect", class_="track", width=100, height=10, rx=2),
        element("rect", class_=f"fill{' low' if value < 0.3 else ''}", width=width, height=10, rx=2),
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        class_="bar-chart",
        role="img",
        aria_label=label,
    )
