"""Recordings that came out wrong in other tools: a file for each kind, and what should come out."""

from pathlib import Path

import numpy as np
import pytest

from stages.core.arrays import Floats
from stages.media.container import probe
from stages.media.frames import decode_grid
from stages.media.oddities import oddities
from stages.media.sound import decode_sound, to_mono

RATE_HZ = 16_000
SILENT = "no sound in its audio stream"
CASES = {
    "concat_two_takes.ts": ({"frame_count": 141, "duration_s": 5.96}, "start anew at 2.9 s"),
    "webm_two_takes_jitter.webm": ({"frame_count": 166, "duration_s": 6.97}, "start anew at 3.9 s"),
    "silent_sound_track.mp4": ({"has_audio": False, "audio_streams": 1}, SILENT),
    "first_track_silent.mov": (
        {"has_audio": True, "audio_track": 2},
        "audio track 2 of 2 is taken; no sound in 1",
    ),
    "polarity_inverted.mov": ({"has_audio": True}, "the right channel is the left one inverted"),
    "video_starts_late.mp4": ({"video_start_s": 1.5, "audio_start_s": -1.5}, None),
    "anamorphic_sar.mp4": ({"width": 320, "height": 320, "coded_width": 176}, None),
    "size_changes.webm": ({"width": 320, "height": 240}, "between 320 × 240 and 240 × 320 at 3.0 s"),
    "hdr_pq.mov": ({"dynamic_range": "PQ"}, "HDR (PQ)"),
    "still_picture_11_minutes.mp4": ({"frame_count": 150, "duration_s": 666.0}, "no new frame for 11 min"),
}


@pytest.mark.parametrize("name", CASES)
def test_every_case_is_read_and_said(shared: Path, name: str) -> None:
    facts_wanted, said = CASES[name]
    path = shared / "cases" / name
    facts = probe(path)
    for key, value in facts_wanted.items():
        assert getattr(facts, key) == (pytest.approx(value, abs=0.02) if isinstance(value, float) else value)
    grid = decode_grid(path, 1, facts=facts)
    for _ in grid:
        pass
    problems = [problem for problem, _ in oddities(facts, grid, decode_sound(path, RATE_HZ, facts))]
    assert any(said in problem for problem in problems) if said else True
    assert not any("damaged" in problem for problem in problems)


def test_frames_that_come_out_of_order_are_not_called_damaged(shared: Path) -> None:
    """The recorder's gap makes the decoder give two frames after later ones: both were decoded."""
    path = shared / "cases" / "still_picture_11_minutes.mp4"
    facts = probe(path)
    grid = decode_grid(path, 1, facts=facts)
    for _ in grid:
        pass
    assert (grid.decoded, grid.out_of_order, grid.undecodable) == (148, 2, 0)
    said = [problem for problem, _ in oddities(facts, grid, None)]
    assert any(problem.startswith("2 of 150 frames come after a later one") for problem in said)
    assert not any("can't be decoded" in problem for problem in said)


def pitch_hz(samples: Floats, start_s: float, end_s: float) -> float:
    part = to_mono(samples)[round(start_s * RATE_HZ) : round(end_s * RATE_HZ)]
    return float(np.fft.rfftfreq(len(part), 1 / RATE_HZ)[np.abs(np.fft.rfft(part)).argmax()])


def test_both_takes_are_heard_where_they_are_seen(shared: Path) -> None:
    sound = decode_sound(shared / "cases/concat_two_takes.ts", RATE_HZ)
    assert sound is not None
    for start_s in np.arange(0.1, 2.7, 0.2):
        assert pitch_hz(sound.samples, start_s, start_s + 0.1) == pytest.approx(440, abs=12)
    for start_s in np.arange(3.1, 5.5, 0.2):
        assert pitch_hz(sound.samples, start_s, start_s + 0.1) == pytest.approx(1200, abs=12)


def test_inverted_channels_do_not_cancel(shared: Path) -> None:
    sound = decode_sound(shared / "cases/polarity_inverted.mov", RATE_HZ)
    assert sound is not None
    assert to_mono(sound.samples).std() == pytest.approx(sound.samples[:, 0].std(), rel=0.01)
