"""Speaking segments, gated and tiling windows, and their labels: counted by hand, at any frame rate."""

import numpy as np
import pytest

from stages.audio.speaking import (
    gated_windows,
    kept_runs,
    runs,
    speaking_mask,
    speaking_share,
    tiling_windows,
    window_targets,
    windows_over,
)

RATES_HZ = [5.0, 7.5, 23.976, 29.97, 60.0]


def flags(pattern: str) -> np.ndarray:
    return np.array([c == "o" for c in pattern])


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("ooxoo", "ooooo"),  # 0.2 s closed
        ("ooxxoo", "oooooo"),  # 0.4 s
        ("ooxxxoo", "ooxxxoo"),  # 0.6 s cuts
        ("xooxxxo", "oooxxxo"),  # a short closure at the start counts, as in the authors' code
        ("oooxx", "ooooo"),
        ("xxxxo", "xxxxo"),  # one open sample of 0.2 s stays: short openings are not removed
        ("xx", "xx"),  # a mouth that never opens is not a closure to bridge
        ("x", "x"),
        ("", ""),
    ],
)
def test_closures_under_half_a_second_are_bridged_at_5_hz(pattern, expected):
    time_s = np.arange(len(pattern)) / 5
    assert speaking_mask(time_s, flags(pattern)).tolist() == flags(expected).tolist()


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("start_s", [0.0, 1234.567])
def test_bridging_is_a_matter_of_time_not_of_frames(rate_hz, start_s):
    for closed in range(1, 60):
        pattern = flags("o" * 10 + "x" * closed + "o" * 10)
        speaking = speaking_mask(start_s + np.arange(len(pattern)) / rate_hz, pattern)
        assert speaking.all() == (closed / rate_hz < 0.5)


def test_exactly_half_a_second_cuts_whatever_the_rounding():
    for start_s in np.linspace(0, 4000, 37):
        assert not speaking_mask(start_s + np.arange(35) / 30, flags("o" * 10 + "x" * 15 + "o" * 10)).all()


def test_a_variable_rate_measures_the_closure_by_its_time_stamps():
    pattern = flags("oxxo")
    assert speaking_mask(np.array([0, 0.1, 0.2, 0.5]), pattern).all()  # closed 0.1–0.5 s
    assert not speaking_mask(np.array([0, 0.1, 0.2, 0.61]), pattern).all()  # closed 0.1–0.61 s


def test_a_video_without_audio_is_nowhere_speaking():
    assert not speaking_mask(np.arange(20) / 5, np.ones(20, bool), has_audio=False).any()


def test_the_caller_s_flags_stay_as_they_were():
    pattern = flags("oxo")
    speaking_mask(np.arange(3) / 5, pattern)
    assert pattern.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("time_s", "opened", "options", "message"),
    [
        ([0, 0.2], [True], {}, "pair up"),
        ([0, 0.2, 0.2], [True] * 3, {}, "rising"),
        ([0, np.nan], [True] * 2, {}, "finite"),
        ([0, 0.2], [True] * 2, {"bridge_s": -1}, "bridge_s is -1"),
    ],
)
def test_misuse_is_named(time_s, opened, options, message):
    with pytest.raises(ValueError, match=message):
        speaking_mask(np.array(time_s), np.array(opened), **options)


def test_runs_are_half_open_pairs():
    assert runs(flags("xooxo")).tolist() == [[1, 3], [4, 5]]
    assert runs(flags("")).shape == (0, 2)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_runs_under_two_seconds_are_dropped(rate_hz):
    for length in range(1, int(2.5 * rate_hz)):
        keep = flags("x" * 5 + "o" * length + "x" * 5)
        assert len(kept_runs(np.arange(len(keep)) / rate_hz, keep)) == (length / rate_hz >= 2)


@pytest.mark.parametrize(
    ("length_s", "expected"),
    [
        (2.0, [(0, 2)]),  # one short window, to be padded
        (3.4, [(0, 3.4)]),
        (4.0, [(0, 4)]),
        (5.0, [(0, 4), (1, 5)]),  # the tail is the last 4 s
        (6.0, [(0, 4), (2, 6)]),
        (9.8, [(0, 4), (2, 6), (4, 8), (5.8, 9.8)]),
        (10.0, [(0, 4), (2, 6), (4, 8), (6, 10)]),
    ],
)
def test_windows_of_4_s_every_2_s_with_a_flush_tail(length_s, expected):
    for start_s in (0.0, 17.4, 3000.2):
        windows = windows_over(np.array([[start_s, start_s + length_s]]))
        np.testing.assert_allclose(windows, start_s + np.array(expected), atol=1e-9)


@pytest.mark.parametrize("duration_s", [0.01, 0.2, 3.99, 4.0, 4.01, 6.13, 10.0, 61.37, 1620.04])
def test_tiling_covers_the_recording_to_its_last_sample_on_one_grid(duration_s):
    windows = tiling_windows(duration_s)
    assert windows[0, 0] == 0
    assert windows[-1, 1] == pytest.approx(duration_s)
    assert (np.diff(windows[:, 0]) > 0).all()
    assert (windows[1:, 0] < windows[:-1, 1]).all()  # no gap
    assert (windows[:, 1] - windows[:, 0] <= 4 + 1e-9).all()
    np.testing.assert_allclose(windows[:, 0] / 0.2, np.round(windows[:, 0] / 0.2), atol=1e-6)


def test_an_empty_recording_has_no_window():
    assert tiling_windows(0.0).shape == (0, 2)
    with pytest.raises(ValueError, match="-1"):
        tiling_windows(-1)
    with pytest.raises(ValueError, match="hop_s 0"):
        tiling_windows(10, hop_s=0)
    with pytest.raises(ValueError, match="ends before"):
        windows_over(np.array([[3.0, 1.0]]))


def test_the_gate_needs_voice_and_labels_at_once():
    time_s = np.arange(100) / 5  # 20 s
    speaking = (time_s >= 2) & (time_s < 12)
    labelled = ~((time_s > 5.9) & (time_s < 6.3))  # samples 6.0 and 6.2 unlabelled
    windows = gated_windows(time_s, speaking, labelled)
    np.testing.assert_allclose(windows, [[2, 6], [6.4, 10.4], [8, 12]])


def test_share_of_speaking_time_against_a_fine_sum():
    rng = np.random.default_rng(5)
    time_s = np.cumsum(rng.uniform(0.02, 0.3, 80))
    speaking = rng.random(80) < 0.5
    bounds = np.sort(rng.uniform(time_s[0], time_s[-1], (30, 2)), axis=1)
    fine_s = np.linspace(0, 1, 20001)
    for (start, end), share in zip(bounds, speaking_share(bounds, time_s, speaking), strict=True):
        at = np.searchsorted(time_s, start + (end - start) * fine_s, side="right") - 1
        assert share == pytest.approx(speaking[at].mean(), abs=2e-3)


def test_share_is_silent_outside_the_recording_and_for_empty_windows():
    time_s, speaking = np.arange(10) / 5, np.ones(10, bool)
    assert speaking_share([[0, 2], [1, 3], [2, 4], [1, 1]], time_s, speaking).tolist() == [1, 0.5, 0, 0]
    assert speaking_share([[0, 2]], np.zeros(0), np.zeros(0, bool)).tolist() == [0]


def test_targets_are_the_left_edges_of_twenty_steps():
    time_s = np.arange(50) / 5
    labels = np.column_stack([np.arange(50), -np.arange(50)]) / 50
    targets, valid = window_targets([[1.0, 5.0], [6.0, 10.0]], time_s, labels)
    assert targets.shape == (2, 20, 2)
    assert valid.all()
    np.testing.assert_allclose(targets[0], labels[5:25], rtol=1e-6)
    np.testing.assert_allclose(targets[1], labels[30:50], rtol=1e-6)


def test_padded_and_unlabelled_steps_are_not_valid():
    time_s = np.arange(50) / 5
    labels = np.full((50, 2), 0.5)
    labels[3] = np.nan
    targets, valid = window_targets([[0.0, 3.0]], time_s, labels)
    assert valid[0].tolist() == [k < 15 and k != 3 for k in range(20)]
    assert (targets[~valid] == 0).all()
    assert np.isfinite(targets).all()


def test_a_window_past_the_labels_has_no_targets():
    _, valid = window_targets([[8.0, 12.0]], np.arange(50) / 5, np.zeros((50, 2)))
    assert valid[0].sum() == 10
    assert not window_targets([[0.0, 4.0]], np.zeros(0), np.zeros((0, 2)))[1].any()


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_every_step_of_a_gated_window_is_labelled_at_any_rate(rate_hz):
    time_s = np.arange(int(30 * rate_hz)) / rate_hz
    rng = np.random.default_rng(2)
    speaking = np.repeat(rng.random(10) < 0.7, int(3 * rate_hz) + 1)[: len(time_s)]
    labels = np.where(speaking[:, None], np.stack([time_s, time_s], 1), np.nan)
    windows = gated_windows(time_s, speaking, np.isfinite(labels[:, 0]))
    targets, valid = window_targets(windows, time_s, labels)
    assert len(windows) > 0
    steps = np.ceil((windows[:, 1] - windows[:, 0]) / 0.2 - 1e-6)
    assert valid.sum(1).tolist() == steps.tolist()
    wanted = windows[:, :1] + 0.2 * np.arange(20)
    late_s = (wanted - targets[..., 0])[valid]
    assert late_s.min() >= -1e-4
    assert late_s.max() < 1 / rate_hz + 1e-4
