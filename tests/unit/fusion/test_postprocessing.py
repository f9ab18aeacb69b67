"""Interpolation and smoothing on constants, ramps and pure tones."""

import numpy as np
import pytest

from stages.fusion.postprocessing import hamming_smooth, mean_rate_hz, smooth_to_native, to_native

RATES = [7.5, 23.976, 24.0, 29.97, 60.0]


@pytest.mark.parametrize("rate_hz", RATES)
def test_a_constant_survives_to_the_very_ends(rate_hz: float) -> None:
    trace = np.full((200, 2), [0.7, -0.3])
    np.testing.assert_allclose(hamming_smooth(trace, rate_hz, 0.5), trace, rtol=0, atol=1e-15)


@pytest.mark.parametrize("rate_hz", RATES)
def test_nothing_shifts_in_time(rate_hz: float) -> None:
    pulse = np.zeros((101, 1))
    pulse[50] = 1.0
    smooth = hamming_smooth(pulse, rate_hz, 0.5)[:, 0]
    np.testing.assert_allclose(smooth, smooth[::-1], atol=1e-16)
    assert smooth.argmax() == 50
    assert smooth.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("rate_hz", "taps"), [(7.5, 3), (23.976, 11), (24.0, 13), (25.0, 13), (29.97, 15), (30.0, 15), (60.0, 31)]
)
def test_the_window_is_the_nearest_odd_number_of_frames(rate_hz: float, taps: int) -> None:
    pulse = np.zeros((201, 1))
    pulse[100] = 1.0
    smooth = hamming_smooth(pulse, rate_hz, 0.5)[:, 0]
    assert np.count_nonzero(smooth) == taps
    expected = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(taps) / (taps - 1))
    half = taps // 2
    np.testing.assert_allclose(smooth[100 - half : 101 + half], expected / expected.sum(), atol=1e-15)


def test_a_fast_tone_is_removed_and_a_slow_one_kept_within_two_percent() -> None:
    time_s = np.arange(0, 40, 1 / 30)
    tones = np.column_stack([np.sin(2 * np.pi * 0.2 * time_s), np.sin(2 * np.pi * 8 * time_s)])
    smooth = hamming_smooth(tones, 30.0, 0.5)[30:-30]
    assert np.abs(smooth[:, 0] - tones[30:-30, 0]).max() < 0.02
    assert np.abs(smooth[:, 1]).max() < 0.02


def test_smoothing_then_fusing_equals_fusing_then_smoothing() -> None:
    rng = np.random.default_rng(0)
    traces, weights = rng.uniform(-1, 1, (3, 100, 2)), np.array([0.2, 0.5, 0.3])
    apart = sum(w * hamming_smooth(trace, 25.0, 0.5) for w, trace in zip(weights, traces, strict=True))
    np.testing.assert_allclose(apart, hamming_smooth(np.tensordot(weights, traces, 1), 25.0, 0.5), atol=1e-14)


@pytest.mark.parametrize("frames", [0, 1, 2, 5])
def test_recordings_shorter_than_the_window(frames: int) -> None:
    trace = np.full((frames, 2), 0.4)
    np.testing.assert_allclose(hamming_smooth(trace, 30.0, 0.5), trace)


@pytest.mark.parametrize("window_s", [0.0, 0.05])
def test_a_window_under_three_frames_changes_nothing(window_s: float) -> None:
    trace = np.random.default_rng(0).uniform(-1, 1, (20, 2))
    np.testing.assert_array_equal(hamming_smooth(trace, 30.0, window_s), trace)


def test_a_ramp_is_interpolated_exactly_and_its_ends_are_held() -> None:
    time_s = np.arange(1, 6) / 5
    native = np.array([0.0, 0.1, 0.2, 0.333, 0.5, 1.0, 1.7])
    ramp = np.column_stack([time_s, -2 * time_s])
    expected = np.clip(native, 0.2, 1.0)
    np.testing.assert_allclose(to_native(ramp, time_s, native), np.column_stack([expected, -2 * expected]))


def test_traces_stay_within_the_range_and_in_single_precision() -> None:
    grid, native = np.arange(20) / 5, np.arange(100) / 25
    trace = smooth_to_native(np.full((20, 2), [1.7, -3.0]), grid, native, 0.5)
    assert trace.dtype == np.float32 and trace.shape == (100, 2)
    np.testing.assert_array_equal(trace, np.tile([1, -1], (100, 1)))


def test_a_single_frame_is_served() -> None:
    assert smooth_to_native(np.array([[0.5, 0.1]]), np.zeros(1), np.zeros(1), 0.5).tolist() == [
        [0.5, np.float32(0.1)]
    ]


def test_the_rate_of_a_variable_rate_recording_is_its_mean() -> None:
    assert mean_rate_hz(np.array([1.0, 1.1, 1.3, 1.5, 2.0])) == pytest.approx(4.0)
    with pytest.raises(ValueError, match="1 frames"):
        mean_rate_hz(np.array([0.0]))


@pytest.mark.parametrize(
    ("values", "time_s", "message"),
    [
        ([[0.0, 0.0], [np.nan, 0.0]], [0.0, 0.2], "the first is 1"),
        ([[0.0, 0.0], [0.0, 0.0]], [0.2, 0.2], "increase"),
        ([[0.0, 0.0]], [0.0, 0.2], "1 predictions at 2 times"),
        (np.empty((0, 2)), [], "not be 0"),
    ],
)
def test_misuse_is_refused(values: list[list[float]], time_s: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_native(np.array(values), np.array(time_s), np.zeros(3))


def test_smoothing_refuses_nan_and_a_rate_of_zero() -> None:
    with pytest.raises(ValueError, match="rate_hz is 0"):
        hamming_smooth(np.zeros((3, 2)), 0.0, 0.5)
    with pytest.raises(ValueError, match="aren't finite"):
        hamming_smooth(np.full((3, 2), np.nan), 30.0, 0.5)
