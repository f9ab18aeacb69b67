"""From an open mouth to the windows of audio that the models are given.

Everything is computed in seconds, never in frames: a sample at `time_s[i]` stands until `time_s[i + 1]`,
the last one for as long as the median step. So 7.5, 29.97 frames/s and a variable rate are all the same.

Windows are rows (start_s, end_s). Training windows lie inside speaking, labelled runs (paper, section 3.1);
inference windows tile the whole recording, silence included, and carry their share of speaking time.
"""

from __future__ import annotations

import numpy as np

from stages.core.arrays import Flags, Floats, Integers

EPSILON_S = 1e-6
"""Slack for comparing durations, far below any sample step and far above float64 rounding."""


def step_edges_s(time_s: Floats) -> Floats:
    """Where every sample begins, and where the last one ends. (T,) -> (T + 1,); the step must be > 0."""
    times = np.asarray(time_s, dtype=np.float64)
    if times.ndim != 1 or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise ValueError("time_s must be one row of finite, strictly rising seconds")
    if len(times) == 0:
        return np.zeros(1)
    step_s = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    return np.append(times, times[-1] + step_s)


def runs(flags: Flags) -> Integers:
    """Stretches of true as half-open index pairs. (T,) -> (R, 2)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(flags, dtype=np.int8), [0]])))
    return edges.reshape(-1, 2)


def speaking_mask(
    time_s: Floats, mouth_open: Flags, *, has_audio: bool = True, bridge_s: float = 0.5
) -> Flags:
    """Where somebody speaks: the mouth is open, or shut for less than `bridge_s` (paper, section 3.1).

    Shape: (T,), (T,) -> (T,).

    A closure of exactly `bridge_s` cuts. A short closure at either end of the recording counts as speaking
    too, as in the authors' code; a recording whose mouth never opens has nothing to bridge.

    Args:
        time_s: rising time stamps of the flags, any rate.
        mouth_open: open or not; a frame without a face is closed.
        has_audio: false for a video without audio: nothing is speaking then.
        bridge_s: the shortest closure that ends a segment.

    Raises:
        ValueError: the lengths differ, the times don't rise, or bridge_s is negative.
    """
    opened = np.array(mouth_open, dtype=bool)
    edges_s = step_edges_s(time_s)
    if opened.shape != (len(edges_s) - 1,):
        raise ValueError(f"{opened.shape} mouth flags for {len(edges_s) - 1} time stamps; they must pair up")
    if bridge_s < 0:
        raise ValueError(f"bridge_s is {bridge_s}, must be 0 or more")
    if not (has_audio and opened.any()):
        return np.zeros_like(opened)
    for first, stop in runs(~opened):
        if edges_s[stop] - edges_s[first] < bridge_s - EPSILON_S:
            opened[first:stop] = True
    return opened


def kept_runs(time_s: Floats, keep: Flags, *, min_run_s: float = 2.0) -> Floats:
    """Unbroken runs of kept samples that last at least `min_run_s`. (T,), (T,) -> (R, 2) seconds.

    Raises:
        ValueError: the lengths differ, or the times don't rise.
    """
    edges_s = step_edges_s(time_s)
    if np.shape(keep) != (len(edges_s) - 1,):
        raise ValueError(f"{np.shape(keep)} flags for {len(edges_s) - 1} time stamps; they must pair up")
    found = edges_s[runs(keep)]
    return found[found[:, 1] - found[:, 0] >= min_run_s - EPSILON_S]


def windows_over(
    bounds_s: Floats, *, window_s: float = 4.0, hop_s: float = 2.0, step_s: float = 0.2
) -> Floats:
    """Windows of `window_s` every `hop_s` inside every run, a last one flush with the run's end.

    Shape: (R, 2) -> (W, 2), seconds; rising within a run, no window twice.

    A run shorter than `window_s` is one window of its own length: the reader pads it with zeros, and its
    padded steps count nowhere. A flush window starts on the run's own grid of `step_s` (the first point
    at or after end − window_s), so that overlapping windows share their steps exactly.

    Raises:
        ValueError: a length is not positive, or a run ends before it begins.
    """
    if min(window_s, hop_s, step_s) <= 0:
        raise ValueError(f"window_s {window_s}, hop_s {hop_s} and step_s {step_s} must all be > 0")
    windows: list[tuple[float, float]] = []
    for start_s, end_s in np.asarray(bounds_s, dtype=np.float64).reshape(-1, 2).tolist():
        if end_s < start_s:
            raise ValueError(f"a run from {start_s} s to {end_s} s ends before it begins")
        whole = int(np.floor((end_s - start_s - window_s) / hop_s + EPSILON_S)) + 1
        windows += [(start_s + k * hop_s, start_s + k * hop_s + window_s) for k in range(max(whole, 0))]
        if whole <= 0 or windows[-1][1] < end_s - EPSILON_S:
            late_s = max(end_s - start_s - window_s, 0.0)
            windows.append((start_s + step_s * np.ceil(late_s / step_s - EPSILON_S), end_s))
    return np.array(windows, dtype=np.float64).reshape(-1, 2)


def gated_windows(
    time_s: Floats,
    speaking: Flags,
    labelled: Flags,
    *,
    window_s: float = 4.0,
    hop_s: float = 2.0,
    min_run_s: float = 2.0,
    step_s: float = 0.2,
) -> Floats:
    """Training windows: speaking, labelled and consecutive throughout. (T,), (T,), (T,) -> (W, 2) seconds."""
    keep = np.asarray(speaking, dtype=bool) & np.asarray(labelled, dtype=bool)
    kept = kept_runs(time_s, keep, min_run_s=min_run_s)
    return windows_over(kept, window_s=window_s, hop_s=hop_s, step_s=step_s)


def tiling_windows(
    duration_s: float, *, window_s: float = 4.0, hop_s: float = 2.0, step_s: float = 0.2
) -> Floats:
    """Inference windows over [0, duration_s), silence included. -> (W, 2) seconds.

    A recording shorter than `window_s` is one window. See `windows_over` for the flush one.
    """
    if not duration_s >= 0:
        raise ValueError(f"duration_s is {duration_s}, must be 0 or more")
    whole = np.array([[0.0, duration_s]]) if duration_s > 0 else np.zeros((0, 2))
    return windows_over(whole, window_s=window_s, hop_s=hop_s, step_s=step_s)


def speaking_share(bounds_s: Floats, time_s: Floats, speaking: Flags) -> Floats:
    """Share of speaking time, 0–1, of every window or step. (W, 2), (T,), (T,) -> (W,) float32.

    Time before the first and after the last sample is silence. An empty window has share 0.
    """
    bounds = np.asarray(bounds_s, dtype=np.float64).reshape(-1, 2)
    edges_s = step_edges_s(time_s)
    if len(edges_s) < 2:
        return np.zeros(len(bounds), dtype=np.float32)
    speaking_s = np.concatenate([[0.0], np.cumsum(np.diff(edges_s) * np.asarray(speaking, dtype=np.float64))])
    inside_s = np.diff(np.interp(bounds, edges_s, speaking_s), axis=1)[:, 0]
    length_s = bounds[:, 1] - bounds[:, 0]
    share = np.divide(inside_s, length_s, out=np.zeros_like(inside_s), where=length_s > 0)
    return share.clip(0.0, 1.0).astype(np.float32)


def window_targets(
    windows_s: Floats, time_s: Floats, valence_arousal: Floats, *, window_s: float = 4.0, step_s: float = 0.2
) -> tuple[Floats, Flags]:
    """Labels at the left edge of every step of every window: 0.0, 0.2, … 3.8 s after its start.

    Shape: (W, 2), (T,), (T, 2) -> targets (W, S, 2) float32, valid (W, S) with S = window_s / step_s.

    Each step takes the label that stands at its time. It is not valid past the end of its window (there
    the audio is padding), outside the labelled times, or where the label is missing (NaN); targets are 0
    there.
    """
    labels = np.asarray(valence_arousal, dtype=np.float32)
    windows = np.asarray(windows_s, dtype=np.float64).reshape(-1, 2)
    offsets_s = step_s * np.arange(round(window_s / step_s))
    wanted_s = windows[:, :1] + offsets_s
    valid: Flags = wanted_s < windows[:, 1:] - EPSILON_S
    edges_s = step_edges_s(time_s)
    standing = np.searchsorted(edges_s, wanted_s + EPSILON_S, side="right") - 1
    valid &= (standing >= 0) & (standing < len(labels))
    if len(labels) == 0:
        return np.zeros((*wanted_s.shape, 2), dtype=np.float32), valid
    targets = labels[standing.clip(0, len(labels) - 1)]
    valid &= np.isfinite(targets).all(axis=2)
    return np.where(valid[..., None], targets, np.float32(0.0)), valid
