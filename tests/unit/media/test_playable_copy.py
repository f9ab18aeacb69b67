"""A copy for browsers: what every browser plays, at the times of the original."""

from pathlib import Path

import numpy as np
import pytest

from stages.core.errors import BadInput
from stages.media.container import probe
from stages.media.frames import decode_grid
from stages.media.playable_copy import write_playable_copy

JUMPY_S = np.cumsum([0.0, 0.02, 0.06, 0.04] * 8)


def grey(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def test_frames_keep_their_times_and_the_sound_its_place(make_clip, tmp_path: Path) -> None:
    sound = 0.3 * np.sin(np.arange(20_000) * 0.2, dtype=np.float32)[:, None]
    clip = {"sound_rate_hz": 16_000, "sound_codec": "pcm_s16le", "sound_layout": "mono"}
    video = make_clip("a.mkv", 0.5 + JUMPY_S, codec="libx265", sound=sound, **clip)
    facts = probe(video)
    write_playable_copy(video, tmp_path / "copy.mp4", facts)
    shown = probe(tmp_path / "copy.mp4")
    np.testing.assert_allclose(shown.time_s, facts.time_s, atol=1e-4)
    assert (shown.video_codec, shown.pixel_format, shown.audio_codec) == ("h264", "yuv420p", "aac")
    assert shown.video_start_s == pytest.approx(facts.video_start_s, abs=1e-3)


def test_a_tall_picture_shrinks_and_a_turned_one_stands_upright(make_clip, tmp_path: Path) -> None:
    picture = grey(400, 1000)
    picture[:200, :500] = 255  # one quarter tells which way up
    video = make_clip("a.mp4", [0.0, 0.5], draw=lambda _: picture, turn=(90, False))
    write_playable_copy(video, tmp_path / "copy.mp4", probe(video))
    ours, copied = (next(iter(decode_grid(path, 5))).image for path in (video, tmp_path / "copy.mp4"))
    corners = [
        [image[y * len(image) // 4, x * image.shape[1] // 4].mean() for y in (1, 3) for x in (1, 3)]
        for image in (ours, copied)
    ]
    np.testing.assert_allclose(*corners, atol=4)
    assert max(corners[0]) > min(corners[0]) + 100
    shown = probe(tmp_path / "copy.mp4")
    assert (shown.width, shown.height, shown.rotation_deg) == (288, 720, 0)
    assert not shown.has_audio


@pytest.mark.parametrize(("transfer", "level"), [(16, 148), (18, 191), (16, 100), (18, 110)])
def test_hdr_becomes_sdr(make_clip, tmp_path: Path, transfer: int, level: int) -> None:
    """As bright as what the analysis sees, and coded as SDR; the first two levels are SDR's white.

    That is 203 cd/m² (ITU-R BT.2408); levels are in eight bits.
    """
    params = f"log-level=0:colorprim=9:transfer={transfer}:colormatrix=9"
    video = make_clip(
        "hdr.mkv",
        [0.0, 0.5],
        codec="libx265",
        options={"preset": "ultrafast", "x265-params": params},
        draw=lambda _: np.full((64, 64, 3), level, np.uint8),
    )
    facts = probe(video)
    assert facts.dynamic_range == {16: "PQ", 18: "HLG"}[transfer]
    write_playable_copy(video, tmp_path / "copy.mp4", facts)
    shown = probe(tmp_path / "copy.mp4")
    assert shown.dynamic_range == "SDR"
    picture = next(iter(decode_grid(tmp_path / "copy.mp4", 5))).image
    seen = next(iter(decode_grid(video, 5))).image.mean()
    assert seen > (60 if level < 120 else 200)
    assert picture.mean() == pytest.approx(seen, rel=0.12)


def test_a_file_whose_clock_starts_anew_is_refused(make_clip, tmp_path: Path) -> None:
    parts = [make_clip(name, sound=None) for name in ("a.ts", "b.ts")]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    facts = probe(joined)
    assert facts.joints_s
    with pytest.raises(BadInput, match="clock starts anew"):
        write_playable_copy(joined, tmp_path / "copy.mp4", facts)
    assert not (tmp_path / "copy.mp4").exists()


def test_what_ffmpeg_refuses_is_said(make_clip, tmp_path: Path) -> None:
    video = make_clip()
    facts = probe(video)
    with pytest.raises(BadInput, match="FFmpeg can't convert it"):
        write_playable_copy(video, tmp_path / "no such folder" / "copy.mp4", facts)
