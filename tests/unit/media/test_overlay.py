from pathlib import Path

import av
import numpy as np
import pytest

from stages.engine.advance import watched
from stages.media.container import probe
from stages.media.frames import decode_grid
from stages.media.movie import Movie
from stages.media.overlay import render_overlay
from stages.media.panel import Findings
from stages.media.sound import decode_sound

JUMPY_S = np.cumsum(np.random.default_rng(4).integers(10, 200, 40)) / 1000


def findings(time_s: np.ndarray, box: tuple[float, ...] = (8, 8, 40, 40), notice: str = "") -> Findings:
    box_time_s = np.arange(int(time_s[-1] * 5) + 1) / 5
    return Findings(
        time_s,
        np.column_stack([np.sin(time_s), np.cos(time_s)]),
        box_time_s,
        np.tile(np.float32(box), (len(box_time_s), 1)),
        np.ones(len(box_time_s), dtype=bool),
        notice,
    )


def test_every_frame_keeps_its_time_and_picture_and_the_sound_its_place(
    make_clip, draw_clock, read_clock, tmp_path: Path
) -> None:
    length = round(JUMPY_S[-1] * 16_000)
    sound = np.zeros((length, 1), np.float32)
    sound[20_000:24_000] = 0.3 * np.sin(np.arange(4000) * 0.2)[:, None]
    clip = {"sound_rate_hz": 16_000, "sound_codec": "pcm_s16le", "sound_layout": "mono"}
    path = make_clip("a.mkv", JUMPY_S, draw=lambda t: draw_clock(t, 400, 32), sound=sound, **clip)
    out = tmp_path / "overlay.partial"
    facts = probe(path)
    render_overlay(path, out, findings(facts.time_s, (100, 350, 140, 390)))
    shown = probe(out)
    np.testing.assert_allclose(shown.time_s, facts.time_s, atol=1e-4)
    assert (shown.width, shown.height) == (512, 400 + 112)
    assert (shown.video_codec, shown.audio_codec) == ("h264", "aac")
    for frame in decode_grid(out, 5):
        clock_s = read_clock(frame.image[-400:][:340]) - JUMPY_S[0]
        assert clock_s == pytest.approx(frame.frame_time_s, abs=1e-3)
    before, after = decode_sound(path), decode_sound(out)
    assert before is not None
    assert after is not None
    size = min(len(before.samples), len(after.samples))
    np.testing.assert_allclose(after.samples[:size], before.samples[:size], atol=0.05)


def test_large_pictures_shrink_small_ones_grow_and_the_box_goes_along(make_clip, tmp_path: Path) -> None:
    for height, limit_px, shown_px in [(800, 480, 480), (100, 720, 360), (400, 720, 400)]:
        grey = np.full((height, height, 3), 128, dtype=np.uint8)
        path = make_clip("a.mp4", [0.0, 0.5], draw=lambda t, grey=grey: grey)
        box = tuple(height * share for share in (0.25, 0.5, 0.75, 0.875))
        render_overlay(path, tmp_path / "o.mp4", findings(np.array([0.0, 0.5]), box), max_height_px=limit_px)
        image = next(iter(decode_grid(tmp_path / "o.mp4", 5))).image
        assert image.shape[1] == shown_px
        off = np.abs(image[-shown_px:].astype(int) - 128).max(axis=2) > 40
        rows, columns = np.nonzero(off)
        found = np.array([columns.min(), rows.min(), columns.max(), rows.max()]) / shown_px
        np.testing.assert_allclose(found, [0.25, 0.5, 0.75, 0.875], atol=0.02)


def test_a_turned_video_comes_out_upright(shared: Path, tmp_path: Path) -> None:
    path = shared / "media/clips/odd/rotated90_3frames.mov"
    render_overlay(path, tmp_path / "o.mp4", findings(np.array([0.0, 0.1])))
    facts = probe(tmp_path / "o.mp4")
    assert (facts.width, facts.rotation_deg, facts.frame_count) == (320, 0, 3)
    source = next(iter(decode_grid(path, 5))).image.astype(int)
    shown = next(iter(decode_grid(tmp_path / "o.mp4", 5))).image.astype(int)
    assert np.abs(source[60:] - shown[-len(source) :][60:]).mean() < 12


def test_it_tells_how_far_it_has_come(make_clip, tmp_path: Path) -> None:
    path, told = make_clip("a.mp4", [0.0, 0.5, 1.0, 1.5]), []
    with watched(told.append):
        render_overlay(path, tmp_path / "o.mp4", findings(probe(path).time_s))
    assert told == [0.25, 0.5, 0.75, 1.0]


def test_a_silent_video_stays_silent_and_two_runs_give_the_same_bytes(make_clip, tmp_path: Path) -> None:
    path = make_clip()
    for name in ("a", "b"):
        render_overlay(path, tmp_path / name, findings(np.arange(50) / 25, notice="An example, no diagnosis"))
    assert not probe(tmp_path / "a").has_audio
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_movie_drops_frames_that_do_not_advance(tmp_path: Path) -> None:
    image = np.full((96, 64), 16, dtype=np.uint8)
    sound = np.zeros((44_100, 2), dtype=np.float32)
    with Movie(tmp_path / "m.mp4", 64, 64, sound=sound) as movie:
        for time_s in (0.0, 0.0, 0.04, 0.04 + 1e-6, 0.1):
            movie.write(time_s, image)
    facts = probe(tmp_path / "m.mp4")
    np.testing.assert_allclose(facts.time_s, [0, 0.04, 0.1])
    with av.open(str(tmp_path / "m.mp4")) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) == pytest.approx(44_100, abs=1024)


@pytest.mark.parametrize(("right", "channels"), [(1.0, 1), (0.99, 2), (0.0, 2)])
def test_channels_that_are_the_same_are_encoded_once(right: float, channels: int, tmp_path: Path) -> None:
    tone = np.sin(np.arange(44_100) * 0.05).astype(np.float32) * 0.4
    sound = np.stack([tone, right * tone], axis=1)
    with Movie(tmp_path / "m.mp4", 64, 64, sound=sound) as movie:
        for time_s in (0.0, 1.0):
            movie.write(time_s, np.full((96, 64), 16, dtype=np.uint8))
    with av.open(str(tmp_path / "m.mp4")) as container:
        assert container.streams.audio[0].channels == channels
    heard = decode_sound(tmp_path / "m.mp4")
    assert heard is not None
    level = np.sqrt((heard.samples[2000:42_000] ** 2).mean(axis=0))
    np.testing.assert_allclose(level, [0.4 / np.sqrt(2), right * 0.4 / np.sqrt(2)], atol=0.01)


def test_without_libx264_the_movie_is_mpeg4(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(av, "codecs_available", set(av.codecs_available) - {"libx264"})
    with Movie(tmp_path / "m.mp4", 64, 64, sound=None) as movie:
        for time_s in (0.0, 0.04, 0.11):
            movie.write(time_s, np.full((96, 64), 128, dtype=np.uint8))
    facts = probe(tmp_path / "m.mp4")
    assert facts.video_codec == "mpeg4"
    np.testing.assert_allclose(facts.time_s, [0, 0.04, 0.11])
