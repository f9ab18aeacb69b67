from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.media.plot import plot_trace

TIME_S = np.arange(0, 20, 0.04)
TRACE = np.column_stack([np.full(500, 0.5), np.full(500, -0.5)])
BLUE, ORANGE, NO_FACE = (0x0B, 0x62, 0xC4), (0xB8, 0x48, 0x0B), (0xD9, 0xA0, 0xA0)


def drawn(path: Path, colour: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    image = cv2.imread(str(path))[..., ::-1].astype(int)
    axes = image[:340]  # the legend is below
    return np.nonzero(np.abs(axes - colour).max(axis=2) < 12)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.partial"):
        plot_trace(tmp_path / name, "subject", TIME_S, TRACE, detected=TIME_S < 10, notice="An example")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.partial").read_bytes()
    assert cv2.imread(str(tmp_path / "a.png")).shape == (420, 1200, 3)


def test_nothing_of_a_plot_is_left_in_the_next_one(tmp_path: Path) -> None:
    plot_trace(tmp_path / "a.png", "a", TIME_S, TRACE, notice="An example")
    other = {"interval": np.stack([TRACE - 0.2, TRACE + 0.2], axis=2), "detected": TIME_S < 3}
    plot_trace(tmp_path / "b.png", "b", TIME_S[:50], TRACE[:50], interval=other["interval"][:50])
    plot_trace(tmp_path / "b.png", "b", TIME_S * 60, -TRACE, **other, speaking=TIME_S > 5)
    with pytest.raises(ValueError, match="don't fit"):
        plot_trace(tmp_path / "b.png", "b", TIME_S, TRACE[:-1])
    plot_trace(tmp_path / "c.png", "a", TIME_S, TRACE, notice="An example")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "c.png").read_bytes()


def test_curves_are_at_their_values(tmp_path: Path) -> None:
    plot_trace(tmp_path / "a.png", "subject", TIME_S, TRACE)
    up, down = drawn(tmp_path / "a.png", BLUE)[0], drawn(tmp_path / "a.png", ORANGE)[0]
    plot_trace(tmp_path / "b.png", "subject", TIME_S, TRACE * [0, 0])
    zero = drawn(tmp_path / "b.png", ORANGE)[0]
    assert np.median(zero) - np.median(up) == pytest.approx(np.median(down) - np.median(zero), abs=2)
    assert np.median(up) < np.median(zero) < np.median(down)


def test_the_band_covers_the_time_without_a_face(tmp_path: Path) -> None:
    flag_time_s = np.arange(100) / 5
    plot_trace(
        tmp_path / "a.png", "subject", TIME_S, TRACE, flag_time_s=flag_time_s, detected=flag_time_s < 9.9
    )
    columns = drawn(tmp_path / "a.png", NO_FACE)[1]
    curve = drawn(tmp_path / "a.png", BLUE)[1]
    left, right = curve.min(), curve.max()
    assert columns.min() == pytest.approx(left + (right - left) * 9.9 / 19.96, abs=3)
    assert columns.max() == pytest.approx(right, abs=3)
    plot_trace(tmp_path / "b.png", "subject", TIME_S, TRACE, detected=np.ones(500, bool))
    assert not len(drawn(tmp_path / "b.png", NO_FACE)[0])


@pytest.mark.parametrize("title", ["$x_left", "späte Äußerung 日", "a\nb", ""])
def test_any_title_can_be_drawn(tmp_path: Path, title: str) -> None:
    plot_trace(tmp_path / "a.png", title, TIME_S[:1], TRACE[:1] * np.nan, notice=title)
    assert (tmp_path / "a.png").stat().st_size > 0


def test_lengths_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    for flags in ({"detected": np.ones(499, bool)}, {"speaking": np.ones(501, bool)}):
        with pytest.raises(ValueError, match="don't fit"):
            plot_trace(tmp_path / "a.png", "", TIME_S, TRACE, **flags)
    with pytest.raises(ValueError, match="don't fit"):
        plot_trace(tmp_path / "a.png", "", TIME_S, TRACE[:-1])
