import gc
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from stages.core.errors import BadInput
from stages.media.canvas import upright
from stages.media.container import probe
from stages.media.frames import decode_grid
from stages.media.limits import Limits

JUMPY_S = np.cumsum(np.random.default_rng(4).integers(8, 500, 80)) / 1000


@pytest.mark.parametrize("fps_hz", [1.0, 5.0, 7.5, 30.0])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_the_clock_in_every_picture_is_the_nearest_to_the_grid_time(
    make_clip, read_clock, name: str, fps_hz: float
) -> None:
    grid = decode_grid(make_clip(name, JUMPY_S, bframes=3), fps_hz)
    native_s = JUMPY_S - JUMPY_S[0]
    frames = list(grid)
    assert [frame.k for frame in frames] == list(range(len(grid)))
    for frame in frames:
        clock_s = read_clock(frame.image) - JUMPY_S[0]
        assert clock_s == pytest.approx(frame.frame_time_s, abs=1e-3)
        assert abs(clock_s - frame.time_s) <= np.abs(native_s - frame.time_s).min() + 1e-3
        assert frame.time_s == frame.k / fps_hz
    assert (grid.decoded, grid.undecodable, grid.damaged) == (80, 0, 0)


@pytest.mark.parametrize(
    ("times_s", "fps_hz", "count"),
    [([0.0], 5, 1), ([0.0, 0.1], 5, 1), ([0.0, 0.2], 5, 2), ([0.0, 0.999], 1, 1), ([0.0, 1.0], 1, 2)],
)
def test_the_grid_ends_with_the_last_frame(make_clip, times_s: list, fps_hz: float, count: int) -> None:
    grid = decode_grid(make_clip(times_s=times_s), fps_hz)
    assert len(grid) == len(list(grid)) == count


def test_a_tie_goes_to_the_earlier_frame(make_clip) -> None:
    frames = decode_grid(make_clip(times_s=[0.0, 0.1, 0.3, 0.5]), 5)
    assert [frame.frame_time_s for frame in frames] == pytest.approx([0.0, 0.1, 0.3])


def test_damaged_frames_are_passed_over_and_counted(make_clip, damage, read_clock) -> None:
    path = make_clip(options={"g": "1"})
    bad = damage(path, "video", [5, 6, 7, 30, 49])
    grid = decode_grid(path, 25)
    frames = list(grid)
    assert (len(frames), grid.decoded, grid.undecodable) == (50, 50 - bad, bad)
    assert all(read_clock(f.image) == pytest.approx(f.frame_time_s, abs=1e-3) for f in frames)
    taken = [round(frame.frame_time_s * 25) for frame in frames]
    assert taken[4:9] == [4, 4, 4, 8, 8]  # 6 is as far from 4 as from 8
    assert taken[30] == 29
    assert taken[49] == 48


def test_the_damaged_real_clip_still_fills_its_grid(shared: Path) -> None:
    grid = decode_grid(shared / "media/clips/odd/corrupted_colourbars.mp4", 5)
    assert len(list(grid)) == len(grid) == 25
    assert (grid.decoded, grid.undecodable) == (49, 1)


@pytest.mark.parametrize("name", ["12_videoretalking_vfr.mp4", "odd/vp9_no_duration.webm"])
def test_threads_change_nothing_in_an_intact_file(shared: Path, name: str) -> None:
    path = shared / "media/clips" / name
    one, four = (list(decode_grid(path, 2, threads=threads)) for threads in (1, 4))
    assert [frame[:3] for frame in one] == [frame[:3] for frame in four]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(one, four, strict=True))


@pytest.mark.parametrize(
    ("name", "pix_fmt", "tolerance"),
    [
        ("a.mkv", "gray", 0),
        ("a.mkv", "yuv420p10le", 3),
        ("a.mkv", "yuva420p", 3),
        ("a.mkv", "yuv444p16le", 3),
        ("a.mkv", "bgra", 1),
    ],
)
def test_any_pixel_format_becomes_rgb(make_clip, name: str, pix_fmt: str, tolerance: int) -> None:
    colour = (200, 200, 200) if pix_fmt == "gray" else (220, 60, 30)
    path = make_clip(
        name,
        [0.0],
        codec="ffv1",
        pix_fmt=pix_fmt,
        draw=lambda t: np.full((48, 64, 3), colour, dtype=np.uint8),
    )
    (frame,) = decode_grid(path, 5)
    assert (frame.image.shape, frame.image.dtype) == ((48, 64, 3), np.uint8)
    np.testing.assert_allclose(frame.image[24, 32].astype(int), colour, atol=max(tolerance, 1))


CORNERS = np.zeros((32, 64, 3), dtype=np.uint8)
CORNERS[:16, :32], CORNERS[:16, 32:], CORNERS[16:, :32] = 250, 170, 90  # reading order: bright to black


@pytest.mark.parametrize(
    ("turn", "shown"),
    [
        (None, CORNERS),
        ((-90, False), np.rot90(CORNERS, -1)),  # degrees are counterclockwise, as in FFmpeg
        ((90, False), np.rot90(CORNERS)),
        ((180, False), np.rot90(CORNERS, 2)),
        ((0, True), np.fliplr(CORNERS)),
        ((180, True), np.flipud(CORNERS)),
    ],
)
def test_pictures_stand_upright(make_clip, turn, shown: np.ndarray) -> None:
    path = make_clip("turned.mov", [0.0], turn=turn, draw=lambda t: CORNERS)
    (frame,) = decode_grid(path, 5)
    assert frame.image.flags.c_contiguous
    np.testing.assert_allclose(frame.image.astype(int), shown.astype(int), atol=60)
    facts = probe(path)
    assert (facts.height, facts.width) == shown.shape[:2]


def test_a_picture_is_freed_as_soon_as_it_is_let_go(make_clip) -> None:
    """Without waiting for the collector of circles, which may come hundreds of pictures later."""
    import av

    path = make_clip("film.mp4", np.arange(30) / 5)
    gc.collect()
    gc.disable()
    try:
        assert sum(1 for _ in decode_grid(path, 5)) == 30
        assert sum(type(thing) is av.VideoFrame for thing in gc.get_objects(generation=0)) <= 1
    finally:
        gc.enable()


def test_every_turn_and_mirror_is_its_matrix_applied_to_the_corners() -> None:
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    for a, b, c, d in [
        (1, 0, 0, 1),
        (0, 1, -1, 0),
        (-1, 0, 0, -1),
        (0, -1, 1, 0),
        (-1, 0, 0, 1),
        (0, 1, 1, 0),
    ]:
        matrix = (np.array([a, b, 0, c, d, 0, 0, 0, 16384], dtype=np.int32) * 65536).tobytes()
        rows, columns = np.indices(image.shape[:2])
        x, y = a * columns + c * rows, b * columns + d * rows
        shown = np.empty((y.max() - y.min() + 1, x.max() - x.min() + 1, 3), dtype=np.uint8)
        shown[y - y.min(), x - x.min()] = image
        np.testing.assert_array_equal(upright(image, matrix), shown)


def test_a_real_phone_recording_is_turned_clockwise(shared: Path) -> None:
    import av

    path = shared / "media/clips/odd/rotated90_3frames.mov"
    (frame,) = decode_grid(path, 5)
    with av.open(str(path)) as container:
        coded = next(container.decode(video=0)).to_ndarray(format="rgb24")
    np.testing.assert_array_equal(frame.image, np.rot90(coded, -1))


def test_a_change_of_size_is_scaled_into_the_first_frame_and_padded(
    make_clip, read_clock, draw_clock
) -> None:
    """512 x 96 in 256 x 64: half the size, 8 black rows above and below."""
    grid = decode_grid(two_sizes(make_clip, draw_clock), 5)
    frames = list(grid)
    assert {frame.image.shape for frame in frames} == {(64, 256, 3)}
    assert len(frames) == 20
    for frame in frames:
        padded = frame.frame_time_s >= 2
        assert read_clock(frame.image[8:56]) == pytest.approx(frame.frame_time_s, abs=1e-3)
        assert (frame.image[:7].max() < 5) == padded
        assert (frame.image[-7:].max() < 5) == padded
    assert grid.changes == [(pytest.approx(2.0, abs=1e-3), 512, 96)]


def test_a_change_of_size_over_the_limit_is_bad_input(make_clip, draw_clock) -> None:
    path = two_sizes(make_clip, draw_clock)
    with pytest.raises(BadInput, match="512 × 96 pixels"):
        list(decode_grid(path, 5, limits=Limits(max_pixels=256 * 64)))


def two_sizes(make_clip, draw_clock) -> Path:
    tick = Fraction(1, 90_000)
    first = make_clip("first.ts", np.arange(50) / 25, tick=tick)
    second = make_clip(
        "second.ts", np.arange(50, 100) / 25, tick=tick, draw=lambda t: draw_clock(t, height=96, bar_px=32)
    )
    first.write_bytes(first.read_bytes() + second.read_bytes())
    return first


@pytest.mark.parametrize(
    ("max_side_px", "shape"), [(128, (32, 128, 3)), (1000, (64, 256, 3)), (1, (1, 1, 3))]
)
def test_pictures_are_scaled_down_never_up(make_clip, max_side_px: int, shape: tuple) -> None:
    (frame,) = decode_grid(make_clip(times_s=[0.0]), 5, max_side_px=max_side_px)
    assert frame.image.shape == shape


def test_a_scaled_down_clock_still_shows_its_time(make_clip, read_clock) -> None:
    for frame in decode_grid(make_clip(), 5, max_side_px=128):
        assert read_clock(frame.image) == pytest.approx(frame.frame_time_s, abs=1e-3)


@pytest.mark.parametrize(("fps_hz", "max_side_px"), [(0, None), (-5, None), (5, 0), (float("nan"), None)])
def test_a_rate_or_size_that_makes_no_sense_is_refused(make_clip, fps_hz: float, max_side_px) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        decode_grid(make_clip(), fps_hz, max_side_px=max_side_px)
