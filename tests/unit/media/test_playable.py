"""Which files browsers play, by clips that are what they are, whatever they are called."""

from typing import Any

import numpy as np
import pytest

from stages.media.playable import Media, obstacle
from valaro.recordings.page import obstacle_of

from .conftest import ClipMaker

TONE = np.sin(np.arange(44_100))[:, None].repeat(2, axis=1)
TIMES_S = (0.0, 0.04, 0.08)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("a.mp4", {}),
        ("a.M4V", {}),
        ("a.mp4", {"sound": TONE}),
        ("a.webm", {"codec": "libvpx"}),
        ("a.webm", {"codec": "libvpx-vp9"}),
        ("a.webm", {"codec": "libvpx", "sound": TONE, "sound_rate_hz": 48_000, "sound_codec": "libopus"}),
    ],
    ids=str,
)
def test_what_all_browsers_play(make_clip: ClipMaker, name: str, settings: dict[str, Any]) -> None:
    assert obstacle_of(make_clip(name, TIMES_S, **settings)) == ""


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("hevc.mp4", {"codec": "libx265"}, "HEVC (H.265) video"),
        ("hevc.mov", {"codec": "libx265"}, "neither an MP4 nor a WebM"),
        ("phone.mov", {}, "neither an MP4 nor a WebM"),
        ("old.mp4", {"codec": "mpeg4"}, "MPEG-4 part 2 video"),
        ("deep.mp4", {"pix_fmt": "yuv420p10le"}, "H.264 video with pixels of the kind yuv420p10le"),
        ("loud.mp4", {"sound": TONE, "sound_codec": "ac3"}, "AC-3 sound"),
        ("film.mkv", {}, "neither an MP4 nor a WebM"),
        ("film.avi", {}, "neither an MP4 nor a WebM"),
    ],
)
def test_what_some_do_not(make_clip: ClipMaker, name: str, settings: dict[str, Any], said: str) -> None:
    assert said in obstacle_of(make_clip(name, TIMES_S, **settings))


@pytest.mark.parametrize(
    ("made", "called", "said"),
    [
        ("clip.mov", "clip.mp4", "is a QuickTime file"),
        ("clip.avi", "clip.mp4", "is neither an MP4 nor a WebM file"),
        ("clip.mkv", "clip.webm", "holds H.264 video"),
    ],
)
def test_a_name_changes_nothing(make_clip: ClipMaker, made: str, called: str, said: str) -> None:
    path = make_clip(made, TIMES_S)
    assert said in obstacle_of(path.rename(path.with_name(called)))


def test_what_is_not_known_speaks_against_nothing() -> None:
    """The index of a run knows no container, one from before there were codecs not even these."""
    assert obstacle(Media(".mp4", "")) == obstacle(Media(".mp4", "h264", "yuv420p", "aac")) == ""
    assert "HEVC" in obstacle(Media(".mp4", "hevc", "yuv420p"))
