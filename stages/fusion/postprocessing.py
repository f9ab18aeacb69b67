"""Turn 5 Hz predictions into smooth traces at the native frames (paper, section 4.3)."""

import numpy as np

from stages.core.arrays import Floats
from stages.core.errors import NotFinite


def to_native(valence_arousal: Floats, time_s: Floats, native_time_s: Floats) -> Floats:
    """Interpolate linearly at the native frames; the first and the last value are held beyond the ends.

    To bridge steps without a prediction, pass only the rows (and times) that have one.

    Shape: (T, C), (T,), (N,) -> (N, C) float64.

    Args:
        valence_arousal: one row per prediction.
        time_s: times of the predictions in seconds, increasing.
        native_time_s: time stamps of the native frames in seconds; need not be regular.

    Raises:
        ValueError: no prediction, lengths differ, times don't increase, or a value isn't finite.
    """
    if not len(time_s) or len(time_s) != len(valence_arousal):
        raise ValueError(f"{len(valence_arousal)} predictions at {len(time_s)} times: must match, not be 0")
    if (np.diff(time_s) <= 0).any():
        raise ValueError("time_s must increase from prediction to prediction")
    _require_finite(valence_arousal)
    return np.column_stack([np.interp(native_time_s, time_s, column) for column in valence_arousal.T])


def hamming_smooth(trace: Floats, rate_hz: float, window_s: float) -> Floats:
    """Smooth every column with a unit-sum Hamming window (paper, section 4.3).

    Shape: (N, C) -> (N, C) float64.

    The number of taps is odd (the odd number nearest to window_s x rate_hz), so nothing shifts in time. Near
    the ends only the taps inside the recording count, renormalised: a constant stays that constant up to the
    first and last frame. (Zero padding, as in the authors' code, pulls both ends to about half their value.)

    Args:
        trace: one row per native frame.
        rate_hz: native frame rate, > 0.
        window_s: length of the window in seconds; shorter than three frames, it leaves the trace unchanged.

    Raises:
        ValueError: rate_hz is not positive, or a value isn't finite.

    >>> hamming_smooth(np.ones((5, 2)), rate_hz=25.0, window_s=0.2)[0].tolist()
    [1.0, 1.0]
    """
    if not rate_hz > 0:
        raise ValueError(f"rate_hz is {rate_hz}, must be > 0")
    _require_finite(trace)
    trace = trace.astype(np.float64)
    frames = window_s * rate_hz
    if frames < 3 - 1e-9 or not len(trace):
        return trace
    taps = np.hamming(2 * int(frames / 2 + 1e-9) + 1)
    columns = [_centred(column, taps) for column in (np.ones(len(trace)), *trace.T)]
    return np.stack(columns[1:], axis=1) / columns[0][:, None]


def _centred(values: Floats, taps: Floats) -> Floats:
    """Weighted sum centred on each value; taps beyond the ends are left out. Shape: (N,), (odd,) -> (N,)."""
    half = len(taps) // 2
    return np.convolve(values, taps)[half : half + len(values)]


def mean_rate_hz(time_s: Floats) -> float:
    """Frame rate of a recording, (N - 1) / (last - first time stamp).

    For a variable-rate video this is the mean rate: the smoothing window then spans window_s on average, less
    where frames are dense and more where they are sparse.

    Args:
        time_s: (N,) time stamps in seconds, increasing.

    Raises:
        ValueError: fewer than two frames, or no time passes between the first and the last.
    """
    if len(time_s) < 2 or not time_s[-1] > time_s[0]:
        raise ValueError(f"{len(time_s)} frames over no time have no frame rate")
    return float((len(time_s) - 1) / (time_s[-1] - time_s[0]))


def smooth_to_native(
    valence_arousal: Floats, time_s: Floats, native_time_s: Floats, window_s: float
) -> Floats:
    """All of section 4.3's post-processing: interpolate, smooth, clip to [-1, 1].

    Shape: (T, 2), (T,), (N,) -> (N, 2) float32.

    A recording of a single frame is not smoothed. For the arguments and errors see `to_native` and
    `hamming_smooth`.
    """
    trace = to_native(valence_arousal, time_s, native_time_s)
    if len(native_time_s) > 1:
        trace = hamming_smooth(trace, mean_rate_hz(native_time_s), window_s)
    return np.clip(trace, -1.0, 1.0).astype(np.float32)


def _require_finite(values: Floats) -> None:
    unusable = ~np.isfinite(values).all(axis=1)
    if unusable.any():
        raise NotFinite(f"{unusable.sum()} rows aren't finite, the first is {np.flatnonzero(unusable)[0]}")
