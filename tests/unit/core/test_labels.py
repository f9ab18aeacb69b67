"""Annotation files good and bad, and labels on other time axes."""

from pathlib import Path

import numpy as np
import pytest

from stages.core.errors import BadInput
from stages.core.labels import align_labels, match_rows, read_labels, resample_labels, trace_of_rows


def written(folder: Path, content: bytes) -> Path:
    path = folder / "10-60-1280x720_right.txt"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        b"valence,arousal\n0.1,-0.25\n-5,-5\n1,-1\n",
        b"\xef\xbb\xbfvalence,arousal\r\n0.1,-0.25\r\n-5,-5\r\n1,-1",
        b"valence,arousal\n0.1,-0.25\n-5.0,0.3\n1.0,-1.0\n\n  \n",
        b"valence,arousal\r0.1,-0.25\r-5,-5\r1,-1\r",
        b"valence,arousal\n1e-1,-2.5e-01\n-5,-5\n1,-1\n",
        b"Valence, Arousal\n0.1, -0.25\n0.3,-5\n1e0,-1\n",
    ],
)
def test_accepted_spellings(tmp_path: Path, content: bytes) -> None:
    rows = read_labels(written(tmp_path, content))
    assert rows.dtype == np.float32
    expected = np.array([[0.1, -0.25], [np.nan, np.nan], [1, -1]], np.float32)
    np.testing.assert_array_equal(rows, expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"valence,arousal\n", "no label"),
        (b"arousal,valence\n0,0\n", "line 1 is 'arousal,valence'"),
        (b"0.1,0.2\n0,0\n", "line 1 is '0.1,0.2'"),
        (b"valence,arousal\n0,0\n0.1\n", r"line 3: '0.1' has 1 values"),
        (b"valence,arousal\n0,0,0\n", r"line 2: '0,0,0' has 3 values"),
        (b"valence,arousal\n0,0\n\n0,0\n", "line 3: '' has 0 values"),
        (b"valence,arousal\n0,0\nhappy,0\n", "line 3: 'happy,0' is not numeric"),
        (b"valence,arousal\n0,\n", "line 2: '0,' is not numeric"),
        (b"valence,arousal\n0_1,0\n", "line 2: '0_1,0' is not numeric"),
        (b"valence,arousal\n0,nan\n", "line 2: arousal is nan"),
        (b"valence,arousal\n0,0\n-inf,0\n", "line 3: valence is -inf"),
        (b"valence,arousal\n0,0\n0,0\n1.0001,0\n", r"line 4: valence is 1.0001, outside \[-1, 1\]"),
        (b"valence,arousal\n-5,-4\n", "line 2: arousal is -4"),
        ("valence,arousal\n0,0\n".encode("utf-16"), "byte 0 is not UTF-8"),
    ],
)
def test_errors_name_the_line_the_value_and_the_remedy(tmp_path: Path, content: bytes, message: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(BadInput, match=message) as caught:
        read_labels(path)
    assert caught.value.file == str(path)
    assert caught.value.remedy


def test_a_missing_file_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="can't be read"):
        read_labels(tmp_path / "nowhere.txt")


ROWS = np.array([[0.1, 0.2], [np.nan, np.nan], [0.3, 0.4]], np.float32)


@pytest.mark.parametrize(
    ("frames", "flags"),
    [(3, [1, 0, 1]), (2, [1, 0]), (5, [1, 0, 1, 0, 0]), (0, [])],
)
def test_row_i_is_frame_i(frames: int, flags: list[int]) -> None:
    aligned, labelled = align_labels(ROWS, np.arange(frames))
    assert labelled.tolist() == [bool(flag) for flag in flags]
    kept = min(frames, 3)
    np.testing.assert_array_equal(aligned[:kept], ROWS[:kept])
    assert np.isnan(aligned[3:]).all() and aligned.shape == (frames, 2)


@pytest.mark.parametrize(("rows", "expected"), [(2, [0, 1]), (3, [0, 1, 2]), (5, [0, 1, 2, 2, 2])])
def test_the_last_frame_serves_surplus_rows(rows: int, expected: list[int]) -> None:
    trace = np.arange(6.0).reshape(3, 2)
    assert trace_of_rows(trace, rows, np.arange(3))[:, 0].tolist() == [2.0 * index for index in expected]


# 10 slots of an AVI's clock, of which 3 and 7 were dropped
SLOTS = np.array([0, 1, 2, 4, 5, 6, 8, 9])


@pytest.mark.parametrize(
    ("rows", "slots", "declared", "by_slot", "off"),
    [
        (8, np.arange(8), 8, False, 0),
        (9, np.arange(8), 9, False, 0),  # the header counts one more, the clock doesn't: no slot is empty
        (10, SLOTS, 10, True, 0),
        (11, SLOTS, 10, True, 0),
        (8, SLOTS, 10, False, 0),
        (9, SLOTS, 10, False, 0),  # as near to the frames as to the slots
        (20, SLOTS, 10, False, 12),
        (3, SLOTS, 10, False, 7),
        (2, np.arange(8), 0, False, 6),
        # the middle of the clock was dropped: were these rows its first ones, the last frame's would be the 40th
        (30, np.r_[0:10, 30:40], 40, False, 20),
    ],
)
def test_rows_belong_to_frames_or_to_slots(
    rows: int, slots: np.ndarray, declared: int, by_slot: bool, off: int
) -> None:
    match = match_rows(rows, slots, declared)
    assert (match.by_slot, match.off_rows) == (by_slot, off)
    assert match.row.tolist() == (slots.tolist() if by_slot else list(range(len(slots))))


def test_rows_by_slot_reach_the_frame_of_their_slot_and_back() -> None:
    labels = np.column_stack([np.arange(10), -np.arange(10)]).astype(np.float32) / 10
    aligned, labelled = align_labels(labels, SLOTS)
    assert labelled.all()
    np.testing.assert_allclose(aligned[:, 0] * 10, SLOTS, rtol=1e-6)
    back = trace_of_rows(aligned, 12, SLOTS)[:, 0] * 10
    np.testing.assert_allclose(back, [0, 1, 2, 2, 4, 5, 6, 6, 8, 9, 9, 9], rtol=1e-6)


def test_a_long_line_is_cut_in_the_message(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        read_labels(written(tmp_path, b"valence,arousal;" * 500))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("rate_hz", [7.5, 24.0, 29.97, 60.0])
def test_the_grid_takes_the_nearest_frame(rate_hz: float) -> None:
    time_s = np.arange(90) / rate_hz
    labels = np.column_stack([time_s / 20, -time_s / 20])
    grid = np.arange(int(time_s[-1] * 5)) / 5
    picked, flags = resample_labels(labels, np.ones(90, bool), time_s, grid)
    assert flags.all()
    brute = np.abs(time_s[None] - grid[:, None]).min(axis=1)
    np.testing.assert_allclose(np.abs(picked[:, 0] * 20 - grid), brute, atol=1e-6)


def test_a_grid_point_is_labelled_only_if_its_frame_is() -> None:
    time_s = np.array([0.0, 0.19, 0.22, 0.5])
    labels = np.array([[0.1, 0.1], [0.2, 0.2], [0.3, 0.3], [0.4, 0.4]])
    picked, flags = resample_labels(
        labels, np.array([1, 0, 1, 1], bool), time_s, np.array([0, 0.2, 0.4, 0.6])
    )
    assert flags.tolist() == [True, False, True, True]
    assert np.isnan(picked[1]).all()
    np.testing.assert_allclose(picked[[0, 2, 3], 0], [0.1, 0.4, 0.4], rtol=1e-6)


def test_time_must_increase() -> None:
    with pytest.raises(ValueError, match="increase"):
        resample_labels(np.zeros((2, 2)), np.ones(2, bool), np.array([0.1, 0.1]), np.zeros(1))
