"""The mouth signal: area by geometry, flags against the authors' own, the mesh on a free portrait."""

import csv
import pickle
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from stages.audio.mouth import (
    FACE_OVAL,
    LOWER_LIP,
    UPPER_LIP,
    MouthMeter,
    areas_within,
    face_area,
    lip_area,
    mouth_open,
    moving,
    open_by_rows,
    open_by_time,
)

FACE = astronaut()[40:230, 150:300]
TRACKS = ["1-30-1280x720", "10-60-1280x720_right", "102", "135-24-1920x1080_left", "374", "video67"]


def _lips(x: np.ndarray, upper_y: np.ndarray, lower_y: np.ndarray) -> np.ndarray:
    landmarks = np.full((478, 2), np.nan)  # whatever else is in the mesh doesn't matter
    landmarks[list(UPPER_LIP)] = np.stack([x, upper_y], axis=1)
    landmarks[list(LOWER_LIP)] = np.stack([x, lower_y], axis=1)
    return landmarks


def test_the_area_between_two_curves_is_the_trapezoid_rule() -> None:
    x = np.sort(np.random.default_rng(0).uniform(0, 1, 11))
    opening = np.sin(np.pi * (x - x[0]) / (x[-1] - x[0])) * 0.2
    skew = 0.3 * x
    expected = sum((opening[1:] + opening[:-1]) / 2 * np.diff(x))
    area = lip_area(_lips(x, 0.5 + skew + opening / 3, 0.5 + skew - opening * 2 / 3))
    np.testing.assert_allclose(area, expected, rtol=1e-12)


def test_closed_lips_have_no_area_and_scale_counts_squared() -> None:
    x = np.linspace(0, 1, 11)
    opened = _lips(x, x * (1 - x), -x * (1 - x))
    many = lip_area(np.stack([opened, 3 * opened, _lips(x, 0 * x, 0 * x)]))
    np.testing.assert_allclose(many / many[0], [1, 9, 0])


def _authors_track(shared: Path, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with (shared / "golden" / "mouth" / f"{name}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return (
        np.array([int(row["frame"]) for row in rows]),
        np.array([float(row["surface_area_mouth"]) for row in rows]),
        np.array([float(row["mouth_open"]) > 0 for row in rows]),
    )


@pytest.mark.parametrize("name", TRACKS)
def test_the_authors_rule_gives_the_authors_flags(shared: Path, name: str) -> None:
    _, area, flag = _authors_track(shared, name)
    np.testing.assert_array_equal(open_by_rows(area), flag)


@pytest.mark.parametrize("name", TRACKS)
def test_at_30_frames_a_second_our_rule_is_theirs_where_no_frame_is_missing(shared: Path, name: str) -> None:
    frame, area, flag = _authors_track(shared, name)
    ours = open_by_time(area, frame / 30.0, np.ones(len(area), bool))
    whole = np.zeros(len(area), bool)
    whole[29:] = frame[29:] - frame[:-29] == 29
    assert whole.mean() > 0.4
    np.testing.assert_array_equal(ours[whole], flag[whole])


@pytest.mark.parametrize("name", TRACKS)
def test_the_authors_rule_is_a_switch(shared: Path, name: str) -> None:
    """With steps without a face among the rows, which count nowhere."""
    _, area, flag = _authors_track(shared, name)
    seen = np.arange(2 * len(area)) % 2 == 0
    spread, time_s = np.full(2 * len(area), np.nan), np.arange(2 * len(area)) / 30
    spread[seen] = area
    found = mouth_open(spread, spread * 1.7, time_s, seen, rule="authors", window_s=1.0, min_motion=0.15)
    np.testing.assert_array_equal(found[seen], flag)
    assert not found[~seen].any()


@pytest.mark.parametrize("name", TRACKS)
def test_most_of_what_the_authors_call_open_moves(shared: Path, name: str) -> None:
    """Their crops hold a face in some 58 % of their area, as ours do."""
    _, area, flag = _authors_track(shared, name)
    time_s, seen = np.arange(len(area)) / 30, np.ones(len(area), bool)
    moves = moving(area / 0.58, time_s, seen, least=0.15)
    assert moves[flag].mean() > 0.35


def test_motion_against_its_definition() -> None:
    generator = np.random.default_rng(5)
    time_s = np.cumsum(generator.uniform(0.05, 0.3, 200))
    opening = generator.gamma(2.0, 5e-3, 200)
    opening[generator.random(200) < 0.1] = np.nan
    detected = generator.random(200) < 0.8
    seen = detected & np.isfinite(opening)
    expected = []
    for i in range(200):
        window = opening[seen & (np.abs(time_s - time_s[i]) <= 0.5)]
        expected.append(bool(seen[i]) and len(window) >= 3 and window.std() >= 0.25 * (window.mean() + 0.01))
    assert 0.1 < np.mean(expected) < 0.7
    assert moving(opening, time_s, detected, least=0.25).tolist() == expected


@pytest.mark.parametrize("trouble", ["noise", "jpeg", "zoom", "pan"])
def test_a_photograph_never_speaks(trouble: str) -> None:
    """The portrait smiles: its mouth is open and its area jitters about the track's mean."""
    generator = np.random.default_rng(0)

    def spoilt(k: int) -> np.ndarray:
        match trouble:
            case "noise":
                return np.clip(FACE + generator.normal(0, 8, FACE.shape), 0, 255).astype(np.uint8)
            case "jpeg":
                noisy = np.clip(FACE + generator.normal(0, 2, FACE.shape), 0, 255).astype(np.uint8)
                quality = [cv2.IMWRITE_JPEG_QUALITY, int(generator.integers(40, 80))]
                return np.asarray(cv2.imdecode(cv2.imencode(".jpg", noisy, quality)[1], cv2.IMREAD_COLOR))
            case "zoom":
                return np.asarray(cv2.resize(FACE, None, fx=1 + 0.03 * k, fy=1 + 0.03 * k))
        return np.roll(FACE, (round(3 * np.sin(k)), k // 2), (0, 1))

    areas = MouthMeter().measure([spoilt(k) for k in range(15)]).T
    time_s, seen = np.arange(15) / 5, np.ones(15, bool)
    assert open_by_time(areas[0], time_s, seen).any(), "by the area alone it would"
    opening = areas[0] / areas[1]
    assert not mouth_open(areas[0], opening, time_s, seen, rule="motion", window_s=1, min_motion=0.15).any()


def test_lips_outside_the_crop_are_not_measured() -> None:
    landmarks = np.random.default_rng(1).uniform(0.2, 0.8, (478, 2))
    assert areas_within(landmarks).tolist() == [lip_area(landmarks), face_area(landmarks)]
    for point, edge in (
        (UPPER_LIP[3], (0.5, -0.01)),
        (LOWER_LIP[5], (0.5, 1.01)),
        (UPPER_LIP[0], (-0.1, 0.5)),
    ):
        moved = landmarks.copy()
        moved[point] = edge
        assert np.isnan(areas_within(moved)).all()
    above = landmarks.copy()
    above[FACE_OVAL[0]] = (0.5, -0.3)  # the forehead may
    assert np.isfinite(areas_within(above)).all()


def test_a_mouth_cut_off_by_the_crop_has_no_area() -> None:
    whole = MouthMeter().areas([FACE])[0]
    cut = MouthMeter().areas([FACE[: round(share * len(FACE))] for share in (0.55, 0.6, 0.65, 0.7)])
    assert np.isfinite(whole)
    assert all(np.isnan(area) or abs(area / whole - 1) < 1.2 for area in cut)
    assert np.isnan(cut).any()


def test_the_area_of_a_face_is_that_of_its_outline() -> None:
    turn = np.linspace(0, 2 * np.pi, len(FACE_OVAL), endpoint=False)
    landmarks = np.zeros((478, 2))
    landmarks[list(FACE_OVAL)] = np.column_stack([0.5 + 0.3 * np.cos(turn), 0.5 + 0.4 * np.sin(turn)])
    np.testing.assert_allclose(face_area(landmarks), np.pi * 0.3 * 0.4, rtol=6e-3)


def test_our_rule_against_its_definition() -> None:
    generator = np.random.default_rng(3)
    time_s = np.cumsum(generator.uniform(0.01, 0.4, 300))
    area = generator.gamma(2.0, 1e-3, 300).astype(np.float32)
    area[generator.random(300) < 0.1] = np.nan
    detected = generator.random(300) < 0.8
    seen = detected & np.isfinite(area)
    mean = area[seen].astype(float).mean()
    expected = [
        bool(seen[i])
        and area[seen & (time_s > time_s[i] - 1) & (time_s <= time_s[i])].astype(float).mean() > mean
        for i in range(300)
    ]
    assert 0.2 < np.mean(expected) < 0.6
    assert open_by_time(area, time_s, detected).tolist() == expected


def test_reused_crops_change_nothing() -> None:
    time_s = np.arange(50) / 5
    area = np.where(time_s < 5, 1.0, 3.0)
    detected = np.arange(50) % 2 == 0
    wild = np.where(detected, area, 1e6)
    assert open_by_time(wild, time_s, detected).tolist() == open_by_time(area, time_s, detected).tolist()
    assert not open_by_time(wild, time_s, detected)[~detected].any()


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 7e-4])
def test_a_mouth_that_never_moves_is_nowhere_open(value: float) -> None:
    area, time_s = np.full(5000, value), np.arange(5000) / 29.97
    assert not open_by_rows(area).any()
    assert not open_by_time(area, time_s, np.ones(5000, bool)).any()


def test_a_window_is_as_long_at_every_frame_rate() -> None:
    """Closed for ten seconds, then open for ten: half of a window is open after half a second."""
    for fps_hz in (5.0, 7.5, 24.0, 60.0):
        time_s = np.arange(round(20 * fps_hz)) / fps_hz
        is_open = open_by_time((time_s >= 10).astype(float), time_s, np.ones(len(time_s), bool))
        onset_s = time_s[np.argmax(is_open)]
        frames = round((onset_s - 10) * fps_hz) + 1  # open ones in the first window that has more than half
        assert frames == np.floor(np.ceil(fps_hz) / 2) + 1
        assert is_open[time_s >= onset_s].all()


def test_nothing_seen_nothing_open() -> None:
    time_s = np.arange(4.0)
    assert open_by_time(np.full(4, np.nan), time_s, np.ones(4, bool)).tolist() == [False] * 4
    assert open_by_time(np.ones(4), time_s, np.zeros(4, bool)).tolist() == [False] * 4
    assert open_by_rows(np.empty(0)).tolist() == []


def test_inputs_that_do_not_fit_are_refused() -> None:
    area, time_s, detected = np.ones(3), np.arange(3.0), np.ones(3, bool)
    with pytest.raises(ValueError, match="3 areas, 2 times"):
        open_by_time(area, time_s[:2], detected)
    with pytest.raises(ValueError, match="ascending"):
        open_by_time(area, time_s[::-1], detected)
    with pytest.raises(ValueError, match="window_s is 0"):
        open_by_time(area, time_s, detected, window_s=0)
    with pytest.raises(ValueError, match="NaN"):
        open_by_rows(np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match="rows is 0"):
        open_by_rows(area, rows=0)
    with pytest.raises(ValueError, match="least is -1"):
        moving(area, time_s, detected, least=-1)
    with pytest.raises(ValueError, match="threshold"):
        MouthMeter(threshold=1.0)


def test_the_portrait_has_a_mouth_and_noise_has_none() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (120, 90, 3), np.uint8)
    area = MouthMeter().areas([FACE, noise, FACE[:, ::-1]])
    assert area.dtype == np.float32
    assert np.isnan(area).tolist() == [False, True, False]
    assert 0.002 < area[0] < 0.05, "a smile that shows teeth: per cents of the crop"
    np.testing.assert_allclose(area[2], area[0], rtol=0.25)
    assert MouthMeter().areas([]).shape == (0,)


def test_the_same_crop_gives_the_same_area_whatever_came_before() -> None:
    meter = pickle.loads(pickle.dumps(MouthMeter()))  # noqa: S301
    area = meter.areas([FACE, np.zeros_like(FACE), FACE[:, ::-1], FACE])
    assert area[0] == area[3] == MouthMeter().areas([FACE])[0]


def test_a_fresh_process_says_nothing() -> None:
    # MediaPipe announces itself from its own threads, whenever these get there: they are given time to.
    program = (
        "import os, time\n"
        "from skimage.data import astronaut\n"
        "from stages.audio.mouth import MouthMeter, _mesh\n"
        "from stages.vision.blazeface import _graph\n"
        "_mesh(os.getpid(), MouthMeter().threshold)\n"
        "graph = _graph(os.getpid(), 'short')\n"
        "time.sleep(0.3)\n"
        "area = MouthMeter().areas([astronaut()[:90, :90], astronaut()[40:230, 150:300]])\n"
        "assert (area > 0).tolist() == [False, True]\n"
        "assert len(graph.detect(astronaut(), 0.5).score) == 1\n"
        "time.sleep(0.3)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
