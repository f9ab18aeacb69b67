"""The page of a video as a file: what is in it, what is not, how large it gets."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.evaluation.margins import Margin
from stages.reporting.decimation import kept_points
from stages.reporting.margins import with_band
from stages.reporting.timeline import (
    MAX_CROPS,
    MAX_SPANS,
    Band,
    Boxes,
    Crop,
    Curve,
    TimelinePage,
    evenly,
    fewer_spans,
    missing_spans,
    write_timeline,
)

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><b>",
    "</script <b",
    "<!--<script ",
    "a\"b'c&d",
    "]]>",
    "<!--",
    "\u2028",
    "\udcff.mp4",
]


class Page(HTMLParser):
    """Tags, what the data block says, and all text that isn't a script's or a style's."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.raw = "", path.read_text(encoding="utf-8")
        self.data: dict[str, Any] = {}
        self._in: list[str] = []
        self.feed(self.raw)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._in.append(dict(attrs).get("id") or tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._in.pop()

    def handle_data(self, data: str) -> None:
        if not self._in:
            self.text += data
        elif self._in[-1] == "data":
            self.data = json.loads(data)


def curve(name: str, frames: int, rate_hz: float = 30, **kwargs: Any) -> Curve:
    time_s = np.arange(frames) / rate_hz
    wave = np.sin(time_s / 3)
    return Curve(name, time_s, np.column_stack([wave, -wave]), **kwargs)


def written(path: Path, curves: list[Curve], **content: Any) -> Page:
    content = {"title": "clip", "video": None, "duration_s": 10.0, "curves": curves} | content
    write_timeline(path, TimelinePage(**content))
    return Page(path)


def test_the_values_arrive(tmp_path: Path) -> None:
    values = np.array([[-1, 1], [0.12345, np.nan], [0.5, -0.25]])
    page = written(tmp_path / "p.html", [Curve("truth", np.array([0, 0.5, 1]), values, "truth")])
    valence, arousal = page.data["curves"][0]["targets"]
    assert valence == {"t": [0, 0.5, 1], "y": [-1, 0.123, 0.5]}
    assert arousal == {"t": [0, 0.5, 1], "y": [1, None, -0.25]}


def test_the_script_is_told_when_the_picture_begins(tmp_path: Path) -> None:
    """Browsers without requestVideoFrameCallback can't find it out."""
    assert written(tmp_path / "p.html", [curve("a", 30)]).data["start"] == 0
    assert written(tmp_path / "q.html", [curve("a", 30)], video_start_s=1.5).data["start"] == 1.5


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_add_no_markup(tmp_path: Path, name: str) -> None:
    """The page has the same tags whatever the names are, and shows them as they are."""
    pages = [
        written(
            tmp_path / f"{k}.html",
            [curve(text, 30)],
            title=text,
            video=tmp_path / text.replace("/", "_"),
            bands=[Band(text, np.array([[0.0, 1.0]]))],
            facts={text: text},
            notice=text,
            notes=[text],
            home=(tmp_path / "index.html", text),
        )
        for k, text in enumerate(["plain", name])
    ]
    assert [tag for tag, _ in pages[0].tags] == [tag for tag, _ in pages[1].tags]
    shown = name.encode("utf-8", "backslashreplace").decode()
    assert pages[1].text.count(shown) == 7, (
        "twice as title, as notice, note, way home, and a fact's two sides"
    )
    block = pages[1].raw.partition('id="data">')[2].partition("</script>")[0]
    assert not set("<>&") & set(block), "browsers end a script at more than its end tag"
    assert pages[1].data["curves"][0]["name"] == pages[1].data["bands"][0]["name"] == name


def test_a_page_names_no_address_outside(tmp_path: Path) -> None:
    page = written(tmp_path / "p.html", [curve("a", 30)], video=tmp_path / "v.mp4")
    places = [v for _, attributes in page.tags for k, v in attributes.items() if k in ("src", "href") and v]
    assert sorted(places) == ["data:,", "v.mp4", "v.mp4"]
    outside = set(re.findall(r"\b\w+://[^\s\"'`)]+", page.raw)) - {"http://www.w3.org/2000/svg"}
    assert outside == set(), "the name of SVG's elements is the only address"
    assert "connect-src" not in page.raw and "default-src 'none'" in page.raw


@pytest.mark.parametrize(
    ("video", "address"),
    [
        ("clip.mp4", "../clip.mp4"),
        ("pages/clip.mp4", "clip.mp4"),
        ("a b/50 %#?.mp4", "../a%20b/50%20%25%23%3F.mp4"),
        ("ü☃.mp4", "../%C3%BC%E2%98%83.mp4"),
        ("byte\udcff.mp4", "../byte%FF.mp4"),
    ],
)
def test_the_video_is_linked_from_where_the_page_lies(tmp_path: Path, video: str, address: str) -> None:
    page = written(tmp_path / "pages" / "p.html", [curve("a", 30)], video=tmp_path / video)
    assert dict(page.tags)["video"]["src"] == address


def test_two_hours_make_a_small_page(tmp_path: Path) -> None:
    """Ten systems at 30 frames a second, one with a band, and a face that comes and goes every second."""
    frames, rng = 2 * 3600 * 30, np.random.default_rng(0)
    noise = rng.uniform(-1, 1, (frames, 2))
    time_s = np.arange(frames) / 30
    band = np.stack([noise - 0.2, noise + 0.2], axis=2)
    curves = [Curve(f"system {k}", time_s, noise, interval=band if k == 0 else None) for k in range(10)]
    grid_s = np.arange(36_000) / 5
    flicker = missing_spans(grid_s, grid_s % 2 < 1, 7200)
    boxes = Boxes(grid_s, rng.uniform(0, 1, (len(grid_s), 4)))
    bands = [Band(name, flicker) for name in ("no face", "not speaking", "unlabelled")]
    page = written(tmp_path / "p.html", curves, duration_s=7200.0, bands=bands, boxes=boxes)
    assert (tmp_path / "p.html").stat().st_size < 2_000_000
    assert len(flicker) == 3600 and [len(band["spans"]) for band in page.data["bands"]] == [MAX_SPANS] * 3
    drawn = page.data["curves"][0]["targets"][0]
    assert len(drawn["t"]) > 1000 and drawn["t"][0] == 0 and drawn["t"][-1] == round(time_s[-1], 2)
    assert min(drawn["y"]) == round(noise[:, 0].min(), 3) and max(drawn["y"]) == round(noise[:, 0].max(), 3)
    assert "fewer points" in page.text
    assert "fewer points" not in written(tmp_path / "q.html", [curve("a", 300)]).text


def test_faces_are_few_and_spread(tmp_path: Path) -> None:
    crops = [Crop(k / 5, b"\xff\xd8" + bytes([k % 256])) for k in range(1000)]
    page = written(tmp_path / "p.html", [curve("a", 30)], crops=crops)
    times = [float(a["data-time"] or "nan") for tag, a in page.tags if tag == "img"]
    assert len(times) == MAX_CROPS and times[0] == 0 and times[-1] == 199.8
    assert np.ptp(np.diff(times)) < 0.21
    assert "needs JavaScript" in page.text, "a word to those who allow no scripts"


@pytest.mark.parametrize(
    ("shape", "message"), [((4, 2), r"\(4, 2\) values, not \(5, 2\)"), ((5,), r"\(5,\) values")]
)
def test_values_must_fit_their_times(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Curve("x", np.arange(5.0), np.zeros(shape))


def test_an_interval_must_fit_too() -> None:
    with pytest.raises(ValueError, match=r"x: interval \(5, 2\)"):
        Curve("x", np.arange(5.0), np.zeros((5, 2)), interval=np.zeros((5, 2)))


@pytest.mark.parametrize(
    ("present", "spans"),
    [
        ([1, 1, 1, 1], []),
        ([0, 0, 0, 0], [(0, 4)]),
        ([1, 0, 0, 1], [(1, 3)]),
        ([0, 1, 1, 0], [(0, 1), (3, 4)]),
    ],
)
def test_missing_spans(present: list[int], spans: list[tuple[float, float]]) -> None:
    found = missing_spans(np.arange(4.0), np.array(present, bool), 4.0)
    assert [tuple(span) for span in found.tolist()] == spans


def test_spans_join_where_the_gap_is_shortest() -> None:
    spans = np.array([[0, 1], [1.1, 2], [5, 6], [6.2, 7], [9, 10.0]])
    assert fewer_spans(spans, 4).tolist() == [[0, 2], [5, 6], [6.2, 7], [9, 10]]
    assert fewer_spans(spans, 3).tolist() == [[0, 2], [5, 7], [9, 10]]
    assert fewer_spans(spans, 1).tolist() == [[0, 10]]
    assert fewer_spans(spans, 5) is spans
    assert len(fewer_spans(np.arange(20_000.0).reshape(-1, 2), MAX_SPANS)) == MAX_SPANS


@pytest.mark.parametrize(("count", "limit"), [(0, 5), (1, 5), (5, 5), (6, 5), (1000, 7)])
def test_evenly(count: int, limit: int) -> None:
    found = evenly(count, limit)
    assert len(found) == min(count, limit) and found == sorted(set(found))
    assert not count or {found[0], found[-1]} == {0, count - 1}


@pytest.mark.parametrize("frames", [5, 100, 101, 5000, 216_000])
@pytest.mark.parametrize("limit", [5, 50, 4000])
def test_thinning_keeps_peaks_and_gaps(frames: int, limit: int) -> None:
    values = np.random.default_rng(frames).uniform(-0.5, 0.5, frames)
    values[[frames // 3, frames // 2]] = 0.9, -0.9
    values[frames // 4] = np.nan
    kept = kept_points(values, limit)
    assert len(kept) <= limit and (np.diff(kept) > 0).all()
    assert {0, frames - 1, frames // 3, frames // 2, frames // 4} <= set(kept.tolist())


def test_the_band_says_how_much_of_the_truth_it_holds() -> None:
    time_s = np.arange(4.0)
    truth = Curve("truth", time_s, np.array([[0.1, 0], [0.3, 0], [-0.3, 0], [np.nan, np.nan]]))
    trace = Curve("best", time_s, np.array([[0, 0], [0, 0.95], [0, 0], [0, 0]]))
    banded, words = with_band(trace, Margin((-0.1, 0.2), (-0.5, 0.5), 7), truth)
    assert banded.interval is not None and banded.interval[0].tolist() == [[-0.1, 0.2], [-0.5, 0.5]]
    assert banded.interval[1, 1].tolist() == [pytest.approx(0.45), 1.0], "no band beyond the scale"
    assert words == {
        "band around best": "contains the truth in 90% of the frames of 7 other videos; "
        "here in 33% (valence) and 67% (arousal)"
    }


def test_the_band_of_a_video_without_truth_claims_nothing_about_it() -> None:
    trace = Curve("best", np.arange(2.0), np.array([[0, 0], [0, 0.95]]))
    banded, words = with_band(trace, Margin((-0.1, 0.2), (-0.5, 0.5), 1))
    assert banded.interval is not None and banded.interval[1].tolist() == [
        [-0.1, 0.2],
        [pytest.approx(0.45), 1.0],
    ]
    assert words == {"band around best": "contains the truth in 90% of the frames of 1 other video"}
