"""SVG as text: elements, and axes in which curves and marks are placed.

Colours and line styles are CSS classes, so that a page's dark mode applies to its charts too.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from stages.core.arrays import Floats

WIDTH = 360  # of every chart, in units of about one pixel: text has the same size on a phone and a desktop


def element(name: str, *children: str, **attributes: object) -> Markup:
    """One element; plain children are escaped; `class_` becomes `class`, `text_anchor` `text-anchor`."""
    written = "".join(f' {_attribute(key)}="{escape(_value(value))}"' for key, value in attributes.items())
    inside = Markup("").join(children)
    return Markup(f"<{name}{written}>{inside}</{name}>")  # noqa: S704 - every part is escaped


def group(children: Sequence[Markup], **attributes: object) -> Markup:
    """A group of elements."""
    return element("g", *children, **attributes)


def picture(
    title: str, described: str, width: float, height: float, *children: Markup, class_: str = ""
) -> Markup:
    """A complete SVG that scales to its container, with title and description for screen readers."""
    return element(
        "svg",
        element("title", title),
        element("desc", described),
        *children,
        viewBox=f"0 0 {_value(width)} {_value(height)}",
        role="img",
        class_=class_ or "chart",
    )


def diamond(x: float, y: float, radius: float, class_: str, title: str = "") -> Markup:
    """A diamond in the units of the drawing; hovering shows its title."""
    named = [element("title", title)] if title else []
    corners = [(x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y)]
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in corners)
    return element("polygon", *named, class_=class_, points=points)


def ticks_of(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers in [low, high], about `wanted` of them, in steps of 1, 2 or 5 times a power of ten.

    >>> ticks_of(0, 1, 5)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if not high > low:
        return [low]
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 10) for k in range(first, last + 1)]


def plain(value: float) -> str:
    """A number for an axis: a Unicode minus sign, no trailing zeros.

    >>> plain(-0.5), plain(2.0)
    ('−0.5', '2')
    """
    text = f"{value:.6g}"
    return text.replace("-", "−")


@dataclass(frozen=True)
class Frame:
    """The plot area of a chart and its axes.

    Args:
        x: lowest and highest value of the horizontal axis.
        y: lowest and highest value of the vertical axis.
        width: width of the drawing.
        height: height of the drawing.
        left: margin for the labels of the vertical axis.
        right: right margin.
        top: top margin.
        bottom: margin for the labels of the horizontal axis.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    width: float = WIDTH
    height: float = 240
    left: float = 52
    right: float = 12
    top: float = 12
    bottom: float = 40

    def across(self, value: float) -> float:
        """Horizontal position of a value."""
        share = (value - self.x[0]) / ((self.x[1] - self.x[0]) or 1)
        return self.left + share * (self.width - self.left - self.right)

    def up(self, value: float) -> float:
        """Vertical position of a value."""
        share = (value - self.y[0]) / ((self.y[1] - self.y[0]) or 1)
        return self.height - self.bottom - share * (self.height - self.top - self.bottom)

    def axes(
        self,
        x_label: str,
        y_label: str,
        *,
        x_ticks: Sequence[float] | None = None,
        y_ticks: Sequence[float] | None = None,
        named: Callable[[float], str] = plain,
    ) -> Markup:
        """Grid lines, tick labels and axis labels."""
        left, right, floor = self.left, self.width - self.right, self.height - self.bottom
        parts = []
        for value in ticks_of(*self.y) if y_ticks is None else y_ticks:
            y = self.up(value)
            parts += [
                element("line", class_="gridline", x1=left, x2=right, y1=y, y2=y),
                element("text", plain(value), x=left - 6, y=y + 4, text_anchor="end"),
            ]
        for value in ticks_of(*self.x) if x_ticks is None else x_ticks:
            x = self.across(value)
            parts += [
                element("line", class_="gridline", x1=x, x2=x, y1=self.top, y2=floor),
                element("text", named(value), x=x, y=floor + 16, text_anchor="middle"),
            ]
        middle = (self.top + floor) / 2
        parts += [
            element("line", class_="axis", x1=left, x2=right, y1=floor, y2=floor),
            element("text", x_label, x=(left + right) / 2, y=self.height - 6, text_anchor="middle"),
            element(
                "text", y_label, x=11, y=middle, text_anchor="middle", transform=f"rotate(-90 11 {middle:g})"
            ),
        ]
        return group(parts)

    def line(self, x: Floats | Sequence[float], y: Floats | Sequence[float], class_: str) -> Markup:
        """A curve through points, interrupted where y is NaN."""
        steps, drawing = [], False
        for across, up in zip(x, y, strict=True):
            if math.isfinite(up):
                steps.append(f"{'L' if drawing else 'M'}{self.across(across):.1f} {self.up(up):.1f}")
            drawing = math.isfinite(up)
        return element("path", class_=f"line {class_}", d="".join(steps))

    def circle(self, x: float, y: float, radius: float, class_: str, title: str = "") -> Markup:
        """A circle; hovering shows its title."""
        named = [element("title", title)] if title else []
        return element("circle", *named, class_=class_, cx=self.across(x), cy=self.up(y), r=radius)

    def diamond(self, x: float, y: float, radius: float, class_: str, title: str = "") -> Markup:
        """A diamond, which differs from a circle in more than colour; hovering shows its title."""
        return diamond(self.across(x), self.up(y), radius, class_, title)


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _value(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
