import textwrap

import cv2
import numpy as np
import pytest

from stages.media.panel import Findings, Panel, mark_picture
from stages.media.planes import planes_in

TIME_S = np.arange(0, 10, 0.1)
CONSTANT = np.tile(np.float32([0.5, -0.5]), (100, 1))
BOX = np.tile(np.float32([10, 20, 40, 60]), (50, 1))
SEEN = np.ones(50, dtype=bool)
BOX_TIME_S = np.arange(50) / 5


def findings(**changes) -> Findings:
    values = {
        "time_s": TIME_S,
        "valence_arousal": CONSTANT,
        "box_time_s": BOX_TIME_S,
        "box_xyxy": BOX,
        "detected": SEEN,
    }
    return Findings(**{**values, **changes})


def at(panel: Panel, time_s: float) -> np.ndarray:
    """The strip at a time, over whatever was there."""
    strip = np.full_like(panel.background, 7)
    panel.draw(strip, time_s)
    return strip


def marked(picture: np.ndarray, box: np.ndarray | None, notice: str) -> np.ndarray:
    """A picture with what is drawn into it, RGB like what is given."""
    whole = cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420)
    mark_picture(planes_in(whole), box, notice)
    return cv2.cvtColor(whole, cv2.COLOR_YUV2RGB_I420)


def reddish(image: np.ndarray) -> np.ndarray:
    """Where the arousal curve's orange is."""
    return (image[..., 0] > 180) & (image[..., 2] < 120)


def bluish(image: np.ndarray) -> np.ndarray:
    """Where the valence curve's blue is."""
    return (image[..., 2] > 180) & (image[..., 0] < 130)


def test_point_and_box_are_those_nearest_in_time() -> None:
    boxes = np.arange(200, dtype=np.float32).reshape(50, 4)
    values = np.column_stack([TIME_S / 10, -TIME_S / 10])
    found = findings(box_xyxy=boxes, valence_arousal=values)
    assert found.point(3.04)[0] == pytest.approx(0.3)
    assert found.point(99.0)[0] == pytest.approx(0.99)
    assert found.point(-1.0)[0] == 0
    assert found.box(0.29)[0] == 4
    assert found.box(0.31)[0] == 8
    assert found.box(1e6)[0] == 196


def test_a_box_that_was_not_detected_is_no_box() -> None:
    seen = SEEN.copy()
    seen[10] = False
    assert findings(detected=seen).box(2.0) is None
    boxes = BOX.copy()
    boxes[10] = np.nan
    assert findings(box_xyxy=boxes).box(2.0) is None
    none = np.empty(0)
    assert findings(box_time_s=none, box_xyxy=np.empty((0, 4)), detected=none.astype(bool)).box(0.0) is None


def test_curves_run_at_their_heights() -> None:
    panel = Panel(findings(), 10.0, 600, 130)
    strip = at(panel, 5.0)[:, panel.left_px :]
    curves = strip[panel.header_px :]
    quarter = panel.side_px / 4
    assert np.median(np.nonzero(bluish(curves))[0]) == pytest.approx(quarter, abs=2)  # 0.5: a quarter down
    assert np.median(np.nonzero(reddish(curves))[0]) == pytest.approx(3 * quarter, abs=2)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_the_cursor_is_at_the_time(share: float) -> None:
    panel = Panel(findings(), 10.0, 600, 130)
    changed = np.abs(at(panel, 10 * share).astype(int) - panel.background).sum(axis=2) > 0
    tall = np.flatnonzero(changed[panel.header_px :].sum(axis=0) > panel.side_px * 0.8)
    assert tall.mean() == pytest.approx(panel.left_px + share * (panel.right_px - panel.left_px), abs=1)


def test_the_point_moves_in_the_plane() -> None:
    for valence, arousal in [(-1, -1), (1, 1), (0, 0.5)]:
        panel = Panel(findings(valence_arousal=np.tile([valence, arousal], (100, 1))), 10.0, 600, 130)
        plane = at(panel, 0.0)[:, : panel.left_px]
        rows, columns = np.nonzero((plane > 225).all(axis=2))
        assert columns.mean() == pytest.approx(panel.margin_px + (1 + valence) / 2 * panel.side_px, abs=2)
        assert rows.mean() == pytest.approx(panel.header_px + (1 - arousal) / 2 * panel.side_px, abs=3)


def test_time_without_a_face_is_a_band() -> None:
    seen = SEEN.copy()
    seen[25:] = False
    with_band, without = Panel(findings(detected=seen), 10.0, 600, 130), Panel(findings(), 10.0, 600, 130)
    changed = np.flatnonzero((with_band.background != without.background).any(axis=(0, 2)))
    width = with_band.right_px - with_band.left_px
    assert changed.min() == pytest.approx(with_band.left_px + 0.49 * width, abs=1)  # half a step before 5 s
    assert changed.max() == pytest.approx(with_band.left_px + 0.99 * width, abs=1)  # and after 9.8 s


def test_gaps_in_the_trace_are_not_drawn_over() -> None:
    values = CONSTANT.copy()
    values[40:60] = np.nan
    panel = Panel(findings(valence_arousal=values), 10.0, 600, 130)
    middle = panel.left_px + (panel.right_px - panel.left_px) // 2
    assert not bluish(panel.background[panel.header_px :, middle - 30 : middle + 30]).any()
    at(panel, 5.0)  # the point is nowhere


def test_the_picture_shows_box_and_notice() -> None:
    picture = np.full((120, 200, 3), 100, dtype=np.uint8)
    plain = marked(picture, np.array([50.0, 30.0, 90.0, 80.0]), "")
    rows, columns = np.nonzero((np.abs(plain.astype(int) - 100) > 20).any(axis=2))
    assert (columns.min(), columns.max()) == (pytest.approx(50, abs=2), pytest.approx(90, abs=2))
    assert (rows.min(), rows.max()) == (pytest.approx(30, abs=2), pytest.approx(80, abs=2))
    noticed = marked(picture, np.array([50.0, 30.0, 90.0, 80.0]), "Nur ein Beispiel – keine Aussage")
    assert (noticed[85:] != plain[85:]).any()
    assert (marked(picture, None, "")[:30] < 50).any()  # says that there is no face


@pytest.mark.parametrize(
    "changes",
    [
        {"valence_arousal": CONSTANT[:-1]},
        {"detected": SEEN[:-1]},
        {"time_s": np.empty(0), "valence_arousal": CONSTANT[:0]},
    ],
)
def test_lengths_that_do_not_fit_are_refused(changes: dict) -> None:
    with pytest.raises(ValueError, match=r"valence_arousal|equally long"):
        findings(**changes)


@pytest.mark.parametrize("size", [(120, 500), (120, 90), (40, 500)])
def test_words_look_as_if_they_were_drawn_into_every_picture(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    wanted, drawn = (cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420) for _ in range(2))
    mark_picture(planes_in(drawn), None, "nothing for real people")
    longest = max(10, (size[1] - 16) // 9)
    lines = textwrap.wrap("nothing for real people", longest)
    for words, y in [("no face", 22), *((line, size[0] - 8 - 20 * k) for k, line in enumerate(lines[::-1]))]:
        for brightness, width in ((16, 3), (218, 1)):
            of_picture = wanted[: size[0]]
            cv2.putText(
                of_picture, words, (8, y), cv2.FONT_HERSHEY_SIMPLEX, 0.48, brightness, width, cv2.LINE_AA
            )
    before, now = (planes_in(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420)), planes_in(drawn))
    assert np.abs(now.y.astype(int) - planes_in(wanted).y).max() <= 5
    for old, new in ((before.u, now.u), (before.v, now.v)):  # grey where the words are, as it was elsewhere
        where = np.repeat(np.repeat(old != new, 2, axis=0), 2, axis=1)
        assert (np.abs(new.astype(int) - 128) <= np.abs(old.astype(int) - 128) + 1).all()
        assert where.any()
        assert np.mean(where & (now.y == before.y)) < 0.05


@pytest.mark.parametrize("size", [(2, 2), (6, 40), (12, 500)])
def test_words_may_lie_outside_the_picture(size: tuple[int, int]) -> None:
    assert marked(np.zeros((*size, 3), np.uint8), None, "nothing").shape == (*size, 3)


def test_the_box_has_its_colour_and_its_place_in_every_plane() -> None:
    picture = np.full((120, 200, 3), 100, np.uint8)
    drawn = marked(picture, np.array([51.0, 31.0, 90.0, 80.0]), "").astype(int)
    wanted = cv2.rectangle(picture.copy(), (51, 31), (90, 80), (110, 230, 120), 2, cv2.LINE_AA)
    assert np.abs(drawn - wanted).mean() < 2
    assert np.abs(drawn[40:70, 50:53] - (110, 230, 120)).mean(axis=0).max() < 40
