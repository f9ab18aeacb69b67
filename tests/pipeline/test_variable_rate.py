"""In a video of variable rate, labels, native frames and grid frames stay together in time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.core.artefacts import read_arrays, read_facts
from stages.core.labels import resample_labels
from stages.media.pictures import open_pictures

BITS = 13
BAR_PX = 24


def clock(time_s: float) -> np.ndarray:
    """(96, 312, 3): milliseconds as vertical bars, white = 1, the lowest bit on the left."""
    bits = (round(time_s * 1000) >> np.arange(BITS)) & 1
    row = np.repeat(np.where(bits, 235, 20).astype(np.uint8), BAR_PX)
    return np.ascontiguousarray(np.broadcast_to(row[None, :, None], (96, len(row), 3)))


def read_clock(image: np.ndarray) -> float:
    """Seconds that a decoded frame shows."""
    middles = image.mean(axis=(0, 2)).reshape(BITS, BAR_PX)[:, BAR_PX // 4 : -BAR_PX // 4].mean(axis=1)
    return float(((middles > 128) << np.arange(BITS)).sum()) / 1000


def intervals(kind: str) -> np.ndarray:
    """Seconds between neighbouring frames, whole milliseconds."""
    rng = np.random.default_rng(7)
    if kind == "a camera in the dark":  # 30 frames/s, then 15, then 30
        return np.repeat([0.033, 0.067, 0.033], [40, 30, 40])
    if kind == "a telephone":
        return rng.choice([0.033, 0.034, 0.066, 0.1], size=80, p=[0.4, 0.3, 0.2, 0.1])
    return np.concatenate([np.full(30, 0.04), [1.3], np.full(30, 0.04)])  # a stalled stream


@pytest.mark.parametrize(
    ("kind", "count", "keep"),
    [
        ("a camera in the dark", "packets", False),
        ("a telephone", "decoding", False),
        ("a stall", "packets", False),
        ("a stall", "packets", True),
    ],
)
def test_labels_and_frames_stay_together(
    workspace: Any, film: Callable[..., Path], kind: str, count: str, keep: bool
) -> None:
    times_s = np.concatenate([[0.0], np.cumsum(intervals(kind))])
    video = film(f"{kind}.mp4", times_s=tuple(times_s), draw=clock)
    workspace.lay(video, "Train", rows=0)
    labels = workspace / "corpus/annotations/VA_Estimation_Challenge/Train_Set" / f"{kind}.txt"
    # The label of a frame tells the time that its clock shows.
    labels.write_text("valence,arousal\n" + "".join(f"{t / 10:.4f},{-t / 10:.4f}\n" for t in times_s))
    workspace.set({"index": {"test_list": None, "count_frames": count}})
    workspace.set({"decode": {"fps_hz": 5, "keep_frames": keep}})
    workspace.stage("index")
    workspace.stage("decode")

    index = read_arrays(workspace / f"data/index/{kind}.h5")
    np.testing.assert_allclose(index["time_s"], times_s, atol=1e-4)
    np.testing.assert_allclose(index["valence_arousal"][:, 0] * 10, times_s, atol=1e-3)
    assert read_facts(workspace / f"data/index/{kind}.h5")["variable_rate"]

    decoded = read_arrays(workspace / f"data/decode/{kind}.h5")
    grid_s = decoded["time_s"]
    np.testing.assert_allclose(grid_s, np.arange(len(grid_s)) / 5)
    assert ("jpeg" in decoded) == keep
    with open_pictures(workspace / f"data/decode/{kind}.h5", None if keep else video) as pictures:
        every, look = np.arange(len(grid_s)), lambda _, image: read_clock(image)
        shown_s = np.concatenate(list(pictures.batches(every, look, 4)))
    np.testing.assert_allclose(index["time_s"][decoded["frame"]], shown_s, atol=1e-3)
    np.testing.assert_allclose(
        decoded["frame_time_s"], shown_s, atol=1e-3, err_msg="frames say when they are from"
    )
    nearest_s = np.abs(times_s[None, :] - grid_s[:, None]).min(axis=1)
    np.testing.assert_allclose(
        np.abs(shown_s - grid_s), nearest_s, atol=1.1e-3, err_msg="the nearest frame is shown"
    )

    told, labelled = resample_labels(index["valence_arousal"], index["labelled"], index["time_s"], grid_s)
    assert labelled.all()
    half_a_frame_s = np.median(np.diff(times_s)) / 2
    np.testing.assert_allclose(
        told[:, 0] * 10, shown_s, atol=half_a_frame_s, err_msg="label and picture agree"
    )

    by_number_s = np.arange(len(times_s)) * np.median(np.diff(times_s))
    assert np.abs(by_number_s - times_s).max() > 10 * half_a_frame_s, "counting frames would be far off"
