"""The timeline of a video, used with mouse and keys."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from stages.media.container import probe
from stages.reporting.timeline import write_timeline
from valaro.recordings.page import obstacle_of

from .conftest import DURATION_S, HOSTILE, full_page, write_video
from .webdriver import Browser

AT = "Number(document.getElementById('timeline').getAttribute('aria-valuenow'))"
TELL_WHEN_MEASURED = """
const ask = HTMLVideoElement.prototype.requestVideoFrameCallback;
HTMLVideoElement.prototype.requestVideoFrameCallback = function (tell) {
  return ask.call(this, (...frame) => { tell(...frame); window.measured = true; });
};
"""
CURSOR = "parseFloat(document.getElementById('cursor').style.left)"
PLACE = "const r = document.getElementById('%s').getBoundingClientRect(); return [r.left, r.top, r.width, r.height]"


@pytest.fixture
def opened(chromium: Browser, timeline: Path) -> Iterator[Browser]:
    """The full page, its video loaded."""
    yield ready(chromium, timeline)


def ready(chromium: Browser, page: Path) -> Browser:
    """Open a page whose video plays."""
    chromium.size(1280, 900)
    chromium.open(page)
    chromium.wait("document.getElementById('video').readyState > 1")
    assert chromium.run("return document.body.dataset.player") == "video"
    return chromium


def shown_values(chromium: Browser, row: int = 0) -> list[str]:
    """Valence and arousal at the cursor, as the legend gives them."""
    found: list[str] = chromium.run(
        "return [...document.querySelectorAll('#legend tr')[arguments[0]].querySelectorAll('td')].map((c) => c.textContent)",
        row,
    )
    return found


def test_a_click_seeks_video_cursor_and_values(opened: Browser) -> None:
    left, top, width, height = opened.run(PLACE % "timeline")
    opened.drag((left + width * 0.75, top + height / 4))
    opened.wait(f"Math.abs({AT} - 4.5) < 0.1 && !document.getElementById('video').seeking")
    assert opened.run("return document.getElementById('video').currentTime") == pytest.approx(4.5, abs=0.02)
    assert opened.run(f"return {CURSOR}") == pytest.approx(75, abs=0.5)
    assert shown_values(opened) == ["+0.50", "−0.50"], "the ramp at three quarters"


def test_dragging_takes_the_cursor_along(opened: Browser) -> None:
    left, top, width, _ = opened.run(PLACE % "timeline")
    opened.drag((left + 10, top + 20), (left + width / 4, top + 30), (left + width / 2, top + 30))
    opened.wait(f"Math.abs({AT} - 3) < 0.1")


@pytest.mark.parametrize(
    ("keys", "seconds"),
    [
        (["right"], 1.0),
        (["right", "right", "left"], 1.0),
        (["shift right"], 0.1),
        (["end"], DURATION_S),
        (["end", "home"], 0.0),
        (["left"], 0.0),
    ],
)
def test_keys_seek(opened: Browser, keys: list[str], seconds: float) -> None:
    for key in keys:
        opened.press(key.removeprefix("shift "), shift=key.startswith("shift"))
    opened.wait(f"Math.abs({AT} - {seconds}) < 0.06")


def test_the_space_bar_plays_and_the_cursor_moves(opened: Browser) -> None:
    opened.press("space")
    opened.wait(f"{CURSOR} > 3")
    before = opened.run(f"return {CURSOR}")
    opened.wait(f"{CURSOR} > {before} + 3")
    assert opened.run("return document.getElementById('play').textContent") == "Pause"
    opened.press("space")
    opened.wait(
        "document.getElementById('video').paused && document.getElementById('play').textContent === 'Play'"
    )


def test_the_trail_ends_where_the_dot_is(opened: Browser) -> None:
    for _ in range(3):
        opened.press("right")
    opened.wait(f"Math.abs({AT} - 3) < 0.06")
    dot, end = opened.run("""
        const group = document.querySelector('#plane g.look-fused'), dot = group.querySelector('circle');
        const points = [...group.querySelectorAll('polyline')].map((line) => line.getAttribute('points').split(' '));
        return [[dot.getAttribute('cx'), dot.getAttribute('cy')].map(Number), points.at(-1).at(-1).split(',').map(Number)];
    """)
    assert dot == pytest.approx(end, abs=0.06)
    assert dot == pytest.approx([150, 150], abs=1), "at half time the ramp passes the middle of the plane"


def test_a_curve_can_be_put_away(opened: Browser) -> None:
    drawn = "document.querySelectorAll('#timeline path.curve.look-fused:not(.hidden *)').length"
    assert opened.run(f"return {drawn}") == 2
    opened.run("document.querySelectorAll('#legend button')[1].focus()")
    opened.press("space")
    assert opened.run(f"return {drawn}") == 0
    assert opened.run("return document.querySelectorAll('#legend button')[1].ariaPressed") == "false"
    assert opened.run("return document.getElementById('video').paused"), "the space bar was the button's"


def test_the_keys_of_the_curves_are_as_large_as_drawn(opened: Browser) -> None:
    shown = opened.run(
        """const size = (e) => { const box = e.getBoundingClientRect(); return [box.width, box.height]; };
        return [...document.querySelectorAll("#legend .swatch")].map(size)"""
    )
    assert shown and all(each == [26, 10] for each in shown)


def test_a_gap_stays_a_gap(opened: Browser) -> None:
    """Truth and band are unknown for a second: two strokes each, not one across."""
    strokes = "document.querySelector('#timeline path.%s').getAttribute('d').split('M').length - 1"
    assert opened.run(f"return {strokes % 'curve.look-truth'}") == 2
    assert opened.run(f"return {strokes % 'interval'}") == 2
    assert opened.run(f"return {strokes % 'curve.look-fused'}") == 1


def test_faces_seek_by_mouse_and_keys(opened: Browser) -> None:
    opened.run("document.querySelectorAll('#strip img')[4].click()")
    opened.wait(f"{AT} === 2")
    opened.run("document.getElementById('strip').focus()")
    opened.press("right")
    opened.wait(f"{AT} === 2.5")
    assert opened.run("return document.querySelector('#strip img.now').dataset.time") == "2.5"


def test_zooming_keeps_the_cursor_in_sight_and_clicks_true(opened: Browser) -> None:
    for key in ("right", "right", "+"):
        opened.press(key)
    assert opened.run("return document.getElementById('zoom-name').textContent") == "3.0 s shown"
    left, top, width, _ = opened.run(PLACE % "timeline")
    opened.drag((left + width * 0.5, top + 20))
    opened.wait(f"Math.abs({AT} - 2) < 0.06")
    opened.press("end")
    opened.wait(f"{CURSOR} <= 100 && {CURSOR} >= 0 && {AT} > 5.9")


def test_the_box_lies_over_the_face(opened: Browser) -> None:
    opened.wait("document.querySelector('.face-box:not(.hidden)')")
    box = opened.run(
        "const r = document.querySelector('.face-box').getBoundingClientRect(); return [r.left, r.top, r.width, r.height]"
    )
    left, top, width, height = opened.run(PLACE % "video")
    scale = min(width / 160, height / 120)
    centre = [left + width / 2, top + height / 2]
    assert [box[0] + box[2] / 2, box[1] + box[3] / 2] == pytest.approx(centre, abs=1.5)
    assert box[2:] == pytest.approx([80 * scale, 60 * scale], abs=2)


def test_hostile_names_stay_words(opened: Browser) -> None:
    assert opened.run("return document.querySelector('h1').textContent") == HOSTILE
    assert opened.run("return document.scripts.length") == 2, "the data, and the page's own script"
    assert (
        opened.run("return document.querySelectorAll('#legend button')[1].textContent") == f"fused {HOSTILE}"
    )
    assert HOSTILE in opened.run("return document.querySelector('dl.facts').textContent")


@pytest.mark.parametrize("measures", [True, False], ids=["measured", "told"])
@pytest.mark.parametrize("kind", ["webm", "mp4"])
def test_a_picture_that_begins_late_keeps_its_time(
    chromium: Browser, tmp_path: Path, kind: str, measures: bool
) -> None:
    """Labels count from the first frame; the browser counts from the first sound, and may not say so."""
    write_video(tmp_path / f"late.{kind}", picture_begins_s=0.5)
    content = full_page(tmp_path / f"late.{kind}")
    assert probe(tmp_path / f"late.{kind}").video_start_s == pytest.approx(0.5, abs=0.01)
    if not measures:
        object.__setattr__(content, "video_start_s", 0.5)
    write_timeline(tmp_path / "page.html", content)
    source = TELL_WHEN_MEASURED if measures else "delete HTMLVideoElement.prototype.requestVideoFrameCallback"
    added = chromium.devtools("Page.addScriptToEvaluateOnNewDocument", source=source)
    try:
        ready(chromium, tmp_path / "page.html")
        assert chromium.run("return 'requestVideoFrameCallback' in HTMLVideoElement.prototype") == measures
        if measures:
            chromium.wait("window.measured")
        for _ in range(2):
            chromium.press("right")
        chromium.wait(f"Math.abs({AT} - 2) < 0.06")
        chromium.wait("Math.abs(document.getElementById('video').currentTime - 2.5) < 0.02")
    finally:
        chromium.devtools("Page.removeScriptToEvaluateOnNewDocument", **added)


def test_a_video_that_the_browser_can_not_show_says_why(chromium: Browser, tmp_path: Path) -> None:
    content = full_page(write_hevc(tmp_path / "phone.mp4"))
    object.__setattr__(content, "obstacle", obstacle_of(tmp_path / "phone.mp4"))
    write_timeline(tmp_path / "page.html", content)
    chromium.open(tmp_path / "page.html")
    chromium.wait("document.body.dataset.player === 'clock'")
    said = chromium.run("return document.getElementById('no-video').innerText")
    assert "it holds HEVC (H.265) video, which not every browser shows" in said


def write_hevc(path: Path) -> Path:
    """A second of HEVC in MP4, as telephones record it."""
    with av.open(path, "w") as container:
        pictures = container.add_stream("libx265", rate=10, options={"preset": "ultrafast"})
        pictures.width, pictures.height, pictures.pix_fmt = 160, 120, "yuv420p"
        for k in range(10):
            image = np.full((120, 160, 3), 20 * k, np.uint8)
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(pictures.encode(None))
    return path


@pytest.mark.parametrize("kind", ["missing", "strange", "none"])
def test_without_a_video_the_clock_moves_the_cursor(chromium: Browser, tmp_path: Path, kind: str) -> None:
    video = tmp_path / "clip.mp4"
    if kind == "strange":
        video.write_bytes(bytes(1000))
    content = full_page(video)
    if kind == "none":
        object.__setattr__(content, "video", None)
    write_timeline(tmp_path / "page.html", content)
    chromium.open(tmp_path / "page.html")
    chromium.wait("document.body.dataset.player === 'clock'")
    said = chromium.run("return document.getElementById('no-video').innerText")
    assert ("no video" in said) == (kind == "none") and "clock" in said
    chromium.press("right")
    chromium.wait(f"Math.abs({AT} - 1) < 0.06")
    chromium.press("space")
    chromium.wait(f"{CURSOR} > 20")
    assert chromium.run("return document.getElementById('play').textContent") == "Pause"
