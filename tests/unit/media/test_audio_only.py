"""Sound files as videos without pictures: the times of a grid, and the extent of the sound."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from stages.core.errors import BadInput
from stages.media.audio_only import probe_sound
from stages.media.limits import Limits

RATE_HZ = 16_000


def write(path: Path, seconds: float, level: float = 0.3) -> Path:
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    soundfile.write(path, level * np.sin(2 * np.pi * 440 * time_s), RATE_HZ)
    return path


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".aiff", ".caf", ".w64", ".au"])
def test_its_times_are_a_grid_over_the_sound(tmp_path: Path, suffix: str) -> None:
    facts = probe_sound(write(tmp_path / f"a{suffix}", 1.3), 25)
    assert facts.duration_s == pytest.approx(1.3, abs=0.02), "but for a block of the codec"
    np.testing.assert_allclose(facts.time_s, np.arange(33) / 25)
    assert (facts.has_audio, facts.audio_rate_hz, facts.audio_channels, facts.audio_track) == (
        True,
        RATE_HZ,
        1,
        1,
    )
    assert (facts.width, facts.height, facts.video_streams) == (0, 0, 0)


def test_the_shortest_sound_has_one_time(tmp_path: Path) -> None:
    assert probe_sound(write(tmp_path / "a.wav", 0.02), 25).time_s.tolist() == [0.0]


def test_silence_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="only silence"):
        probe_sound(write(tmp_path / "a.wav", 1.0, level=0.0), 25)


def test_a_sound_over_the_limits_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", 1.0)
    with pytest.raises(BadInput, match="more than the 15999 allowed"):
        probe_sound(path, 25, Limits(max_audio_samples=RATE_HZ - 1))
    with pytest.raises(BadInput, match="s, more than the 0 s allowed"):
        probe_sound(path, 25, Limits(max_duration_s=0.5))


def test_a_film_without_sound_is_refused(make_clip) -> None:
    with pytest.raises(BadInput, match="sound"):
        probe_sound(make_clip(), 25)
