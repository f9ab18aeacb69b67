"""The report's charts, each a drawing of 360 units' width with a description for those who can't see it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from stages.core.arrays import Floats
from stages.reporting.svg import WIDTH, Frame, element, group, picture, plain, ticks_of

LEVELS = 9
HALVES = (-1.0, -0.5, 0.0, 0.5, 1.0)


@dataclass(frozen=True)
class Line:
    """A named curve: valence, arousal, mean or loss decide its colour."""

    name: str
    x: Floats
    y: Floats


@dataclass(frozen=True)
class Figure:
    """A value with its interval, and whose it is.

    Args:
        label: what the row is called.
        value: the figure.
        low: of the interval; NaN without one, as high.
        high: of the interval.
        kind: `honest` marks are filled, the others hollow.
        published: the paper's figure; NaN without one.
    """

    label: str
    value: float
    low: float
    high: float
    kind: str
    published: float = float("nan")


@dataclass(frozen=True)
class Point:
    """A mark of a scatter: its place and its name."""

    name: str
    x: float
    y: float


def density(title: str, counts: Floats, x_label: str, y_label: str, *, diagonal: bool = False) -> Markup:
    """How often pairs of values in [-1, 1] occur: the darker, the more frames.

    Shape: (B, B), the first axis across.

    The shade grows with the square root of the count, in nine steps; cells of one shade are one path.
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
    said = f"{total} frames; the densest cell of {len(counts)} × {len(counts)} holds {int(top)}"
    axes = frame.axes(x_label, y_label, x_ticks=HALVES, y_ticks=HALVES)
    return picture(title, said, frame.width, frame.height, axes, *cells, *line)


def calibration(title: str, bins: dict[str, tuple[Floats, Floats, Floats]]) -> Markup:
    """Mean truth over mean prediction, by bins of the prediction; on the diagonal all is well.

    Args:
        title: of the picture.
        bins: valence, arousal -> mean prediction, mean truth, frames of each bin that has any.
    """
    frame = Frame((-1, 1), (-1, 1), height=340)
    parts = [frame.axes("predicted", "true", x_ticks=HALVES, y_ticks=HALVES)]
    parts.append(frame.line([-1, 1], [-1, 1], "diagonal"))
    said = []
    for target, (predicted, true, frames) in bins.items():
        draw = frame.circle if target == "valence" else frame.diamond
        sizes = 2.5 + 5 * np.sqrt(frames / max(1.0, float(frames.max(initial=1))))
        parts.append(group([frame.line(predicted, true, "")], class_=target))
        for p, t, n, size in zip(predicted, true, frames, sizes, strict=True):
            words = f"{target}: predicted {plain(round(p, 2))}, true {plain(round(t, 2))}, {int(n)} frames"
            parts.append(group([draw(float(p), float(t), float(size), "mark", words)], class_=target))
        if len(frames):
            off = float(np.average(np.abs(true - predicted), weights=frames))
            said.append(f"{target} is {off:.2f} off on average over bins")
    return picture(title, "; ".join(said) or "no frame", frame.width, frame.height, *parts)


def whiskers(title: str, figures: Sequence[Figure]) -> Markup:
    """Figures one below the other on one axis, with intervals; a diamond is the published figure."""
    row, head = 26, 8
    values = [v for f in figures for v in (f.value, f.low, f.high, f.published) if np.isfinite(v)]
    low, high = min([0.0, *values]), max([1.0, *values])
    height = head + row * len(figures) + 40
    frame = Frame((low, high), (0, 1), height=height, left=172, top=head)
    parts = [frame.axes("CCC, mean of valence and arousal", "", y_ticks=())]
    for k, figure in enumerate(figures):
        y = head + row * (k + 0.5)
        x1, x2 = frame.across(figure.low), frame.across(figure.high)
        words = f"{figure.label}: {figure.value:.3f}"
        parts.append(
            element("text", figure.label, x=frame.left - 8, y=y + 4, text_anchor="end", class_="strong")
        )
        if np.isfinite(figure.low):
            words += f" [{figure.low:.3f}, {figure.high:.3f}]"
            parts.append(element("line", class_="whisker mean", x1=x1, x2=x2, y1=y, y2=y))
        filled = "mark mean" if figure.kind == "honest" else "hollow mean"
        parts.append(
            element("circle", element("title", words), class_=filled, cx=frame.across(figure.value), cy=y, r=4.5)
        )
        if np.isfinite(figure.published):
            x = frame.across(figure.published)
            corners = f"{x:.1f},{y - 5:.1f} {x + 5:.1f},{y:.1f} {x:.1f},{y + 5:.1f} {x - 5:.1f},{y:.1f}"
            words = f"published: {figure.published:.3f}"
            parts.append(
                element("polygon", element("title", words), class_="hollow arousal", points=corners)
            )
    said = "; ".join(f"{figure.label} {figure.value:.3f}" for figure in figures)
    return picture(title, said, frame.width, height, *parts)


def curves(title: str, lines: Sequence[Line], x_label: str, y_label: str, *, marks: bool = False) -> Markup:
    """Curves over a common axis, such as training curves."""
    x = np.concatenate([line.x for line in lines])
    y = np.concatenate([line.y for line in lines])
    y = y[np.isfinite(y)]
    low, high = (float(y.min()), float(y.max())) if len(y) else (0.0, 1.0)
    low, high = min(low, 0.0) if low > -1 and high <= 1 else low, max(high, low + 1e-9)
    frame = Frame((float(x.min()), float(x.max())), (low, high + 0.04 * (high - low)), height=220)
    x_ticks = sorted(set(x.tolist())) if marks else [t for t in ticks_of(*frame.x) if t == round(t)]
    parts = [frame.axes(x_label, y_label, x_ticks=x_ticks)]
    styles = {"arousal": "dashed", "mean": "", "valence": ""}
    for line in lines:
        drawn = [frame.line(line.x, line.y, styles.get(line.name, ""))]
        draw = frame.diamond if line.name == "arousal" else frame.circle
        if marks or len(line.x) == 1:
            drawn += [
                draw(float(a), float(b), 4, "mark", f"{line.name} {plain(float(a))}: {b:.3f}")
                for a, b in zip(line.x, line.y, strict=True)
                if np.isfinite(b)
            ]
        parts.append(group(drawn, class_=line.name))
    said = "; ".join(
        f"{line.name} from {line.y[0]:.3g} to {line.y[-1]:.3g}" for line in lines if len(line.y)
    )
    return picture(title, said, frame.width, frame.height, *parts)


def scatter(title: str, points: Sequence[Point], x_label: str, y_label: str) -> Markup:
    """Marks around a line at zero; hovering names them."""
    x = [point.x for point in points]
    reach = max([0.02, *(abs(point.y) for point in points)]) * 1.15
    frame = Frame((0, max([1.0, *x])), (-reach, reach), height=300, left=56)
    parts = [frame.axes(x_label, y_label)]
    parts.append(
        element("line", class_="axis", x1=frame.left, x2=WIDTH - frame.right, y1=frame.up(0), y2=frame.up(0))
    )
    for point in points:
        side = "valence" if point.y >= 0 else "arousal"
        draw = frame.circle if point.y >= 0 else frame.diamond
        words = f"{point.name}: {plain(round(point.y, 3))} at {plain(round(point.x, 2))}"
        parts.append(group([draw(point.x, point.y, 5.5, "mark", words)], class_=side))
    gains = sum(point.y > 0 for point in points)
    return picture(
        title, f"{gains} of {len(points)} above zero", frame.width, frame.height, *parts
    )


def bar(value: float, label: str) -> Markup:
    """A bar for a table cell: full at 1, marked when below 0.3; nothing at or below 0."""
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
