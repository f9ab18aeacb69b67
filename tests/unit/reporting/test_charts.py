"""A chart says the numbers it was given: read back from the drawing, by the axis that it shows itself."""

import re
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pytest
from markupsafe import Markup

from stages.reporting import charts
from stages.reporting.charts import Estimate, Figure, Line, Point
from stages.reporting.svg import element, ticks_of

NAN = float("nan")
NEAR = 0.01  # coordinates are written with one or two decimals


def parsed(drawn: Markup) -> ElementTree.Element:
    """A drawing of ours as a tree: it is well-formed XML."""
    return ElementTree.fromstring(drawn)  # noqa: S314 - not from outside


class Drawing:
    """The elements of a chart, and the values that their places stand for."""

    def __init__(self, chart: Markup) -> None:
        self.root = parsed(chart)
        self.x = self._axis("x", "middle")
        self.y = self._axis("y", "end") if self._numbers("end") else None

    def all(self, tag: str, *classes: str) -> list[ElementTree.Element]:
        """Elements of a tag that have all of the classes, themselves or by a group around them."""
        found = []
        for group in self.root.iter():
            for each in group:
                held = f"{each.get('class', '')} {group.get('class', '')}".split()
                if each.tag == tag and set(classes) <= set(held):
                    found.append(each)
        return found

    def said(self) -> str:
        """The description for those who can't see it."""
        return self.root.findtext("desc") or ""

    def path(self, element: ElementTree.Element) -> list[list[tuple[float, float]]]:
        """A line as its unbroken pieces."""
        assert self.y
        pieces = re.findall(r"M[^M]*", element.get("d", ""))
        numbers = [[float(n) for n in re.findall(r"-?[\d.]+", piece)] for piece in pieces]
        return [[(self.x(x), self.y(y)) for x, y in zip(n[::2], n[1::2], strict=True)] for n in numbers]

    def corners(self, polygon: ElementTree.Element) -> tuple[float, float]:
        """The middle of a diamond, in the drawing's units."""
        points = [tuple(map(float, pair.split(","))) for pair in polygon.get("points", "").split()]
        return sum(p[0] for p in points) / 4, sum(p[1] for p in points) / 4

    def _numbers(self, anchor: str) -> list[tuple[float, ElementTree.Element]]:
        texts = [(t.text or "", t) for t in self.root.iter("text") if t.get("text-anchor") == anchor]
        return [(float(s.replace("−", "-")), t) for s, t in texts if re.fullmatch(r"−?[\d.]+", s)]

    def _axis(self, coordinate: str, anchor: str) -> Callable[[float], float]:
        ticks = sorted((value, float(t.get(coordinate, ""))) for value, t in self._numbers(anchor))
        (low, from_), (high, to) = ticks[0], ticks[-1]
        shift = 4 if coordinate == "y" else 0  # a tick's text stands a little below its line
        return lambda place: low + (place - from_ + shift) / (to - from_) * (high - low)


def test_whiskers_stand_at_value_and_bounds() -> None:
    figures = [
        Figure("single", (Estimate(0.5, 0.4, 0.7),), 0.25),
        Figure("fused", (Estimate(0.6), Estimate(0.8, 0.75, 0.9, out_of_fold=False))),
    ]
    drawing = Drawing(charts.whiskers("CCC", figures, "CCC"))
    places = [drawing.x(float(c.get("cx", ""))) for c in drawing.all("circle")]
    assert places == pytest.approx([0.5, 0.6, 0.8], abs=NEAR)
    lines = drawing.all("line", "whisker")
    bounds = [[drawing.x(float(line.get(end, ""))) for end in ("x1", "x2")] for line in lines]
    assert bounds == [pytest.approx([0.4, 0.7], abs=NEAR), pytest.approx([0.75, 0.9], abs=NEAR)]
    assert [c.get("class") for c in drawing.all("circle")] == ["mark mean", "mark mean", "hollow mean"]
    (published,) = drawing.all("polygon", "published")
    assert drawing.x(drawing.corners(published)[0]) == pytest.approx(0.25, abs=NEAR)
    assert drawing.said() == "single 0.500; fused 0.600"


def test_a_negative_ccc_stays_in_the_chart() -> None:
    drawing = Drawing(charts.whiskers("CCC", [Figure("a", (Estimate(-0.3, -0.4, -0.1),))], "CCC"))
    (mark,) = drawing.all("circle")
    assert drawing.x(float(mark.get("cx", ""))) == pytest.approx(-0.3, abs=NEAR)
    assert float(drawing.all("line", "whisker")[0].get("x1", "")) >= 0


def test_curves_go_through_their_points_and_break_at_gaps() -> None:
    x = np.arange(1.0, 6)
    y = np.array([0.1, 0.4, NAN, 0.2, 0.8])
    drawing = Drawing(charts.curves("t", [Line("valence", x, y)], "epoch", "CCC"))
    (line,) = drawing.all("path", "valence")
    first, second = drawing.path(line)
    assert np.array(first) == pytest.approx(np.array([[1, 0.1], [2, 0.4]]), abs=NEAR)
    assert np.array(second) == pytest.approx(np.array([[4, 0.2], [5, 0.8]]), abs=NEAR)


@pytest.mark.parametrize("y", [[0.5], [NAN], [-0.5], [0.0], [3.0]])
def test_a_single_epoch_is_a_chart_too(y: list[float]) -> None:
    drawing = Drawing(charts.curves("t", [Line("mean", np.array([1.0]), np.array(y))], "epoch", "CCC"))
    marks = drawing.all("circle")
    assert len(marks) == np.isfinite(y).sum()
    if marks:
        assert drawing.y
        assert drawing.y(float(marks[0].get("cy", ""))) == pytest.approx(y[0], abs=0.03)


def test_what_a_sweep_found_fills_the_chart() -> None:
    """Its differences are small: an axis from zero would show none."""
    line = Line("mean", np.array([1.0, 4.0]), np.array([0.95, 0.96]))
    drawing = Drawing(charts.curves("t", [line], "window, s", "CCC", marks=True))
    places = [float(mark.get("cy", "")) for mark in drawing.all("circle")]
    assert drawing.y
    assert [drawing.y(place) for place in places] == pytest.approx([0.95, 0.96], abs=0.001)
    assert places[0] - places[1] > 100


def test_density_has_a_cell_for_every_pair_that_occurs() -> None:
    counts = np.zeros((4, 4))
    counts[0, 3], counts[2, 1], counts[3, 3] = 100, 25, 1  # shades: full, half, least
    drawing = Drawing(charts.density("d", counts, "predicted", "true"))
    assert drawing.y
    cells = {}
    for path in drawing.all("path", "density"):
        for x, y, width, height in re.findall(r"M([\d.]+) ([\d.]+)h([\d.]+)v([\d.]+)", path.get("d", "")):
            middle = drawing.x(float(x) + float(width) / 2), drawing.y(float(y) + float(height) / 2)
            cells[round(middle[0], 1), round(middle[1], 1)] = float(path.get("fill-opacity", ""))
    darkest_first = sorted(cells, key=lambda place: -cells[place])
    assert darkest_first == [(-0.8, 0.8), (0.2, -0.2), (0.8, 0.8)]
    assert drawing.said().startswith("126 frames")


def test_density_of_nothing_is_an_empty_chart() -> None:
    drawing = Drawing(charts.density("d", np.zeros((4, 4)), "x", "y", diagonal=True))
    assert drawing.all("path", "density") == []


def test_calibration_marks_every_bin_and_says_how_far_off() -> None:
    bins = {"valence": (np.array([-0.5, 0.5]), np.array([-0.4, 0.2]), np.array([10.0, 30.0]))}
    drawing = Drawing(charts.calibration("c", bins))
    assert drawing.y
    places = [
        (drawing.x(float(c.get("cx", ""))), drawing.y(float(c.get("cy", "")))) for c in drawing.all("circle")
    ]
    assert np.array(places) == pytest.approx(np.array([[-0.5, -0.4], [0.5, 0.2]]), abs=NEAR)
    small, large = (float(c.get("r", "")) for c in drawing.all("circle"))
    assert small < large
    assert drawing.said() == "valence is 0.25 off on average over bins"  # (10 * 0.1 + 30 * 0.3) / 40


def test_scatter_tells_gains_from_losses_without_colour() -> None:
    points = [Point("<up>", 0.2, 0.1), Point("down", 0.9, -0.2)]
    drawing = Drawing(charts.scatter("s", points, "x", "y"))
    (gain,), (loss,) = drawing.all("circle"), drawing.all("polygon")
    assert drawing.y
    assert drawing.x(float(gain.get("cx", ""))) == pytest.approx(0.2, abs=NEAR)
    assert drawing.y(float(gain.get("cy", ""))) == pytest.approx(0.1, abs=NEAR)
    assert drawing.y(drawing.corners(loss)[1]) == pytest.approx(-0.2, abs=NEAR)
    assert gain.findtext("title") == "<up>: 0.1 at 0.2"
    assert drawing.said() == "1 of 2 above zero"


@pytest.mark.parametrize(
    ("value", "width", "low"),
    [(0.75, 75, False), (1.4, 100, False), (0.2, 20, True), (-0.3, 0, True), (NAN, 0, False)],
)
def test_a_bar_is_as_long_as_its_value(value: float, width: float, low: bool) -> None:
    track, fill = parsed(charts.bar(value, "label"))
    assert float(track.get("width", "")) == 100
    assert float(fill.get("width", "")) == pytest.approx(width)
    assert ("low" in fill.get("class", "")) == low


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-1, 1, [-1, -0.5, 0, 0.5, 1]),
        (0.03, 0.11, [0.04, 0.06, 0.08, 0.1]),
        (2, 2, [2]),
        (0, 1200, [0, 500, 1000]),
    ],
)
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    found = ticks_of(low, high)
    assert found == pytest.approx(ticks) or set(ticks) <= set(found)
    assert all(low <= tick <= high for tick in found)


def test_what_comes_from_data_is_escaped() -> None:
    assert str(element("text", "</text><script>", class_='"x"')) == (
        '<text class="&#34;x&#34;">&lt;/text&gt;&lt;script&gt;</text>'
    )
