"""Two streams are paired by their times, whatever their ordinals are."""

from pathlib import Path

import numpy as np
import pytest

from stages.core.artefacts import write_arrays
from stages.fusion.streams import pairs, read_streams

STEP_S = 0.2


def lay(folder: Path, steps: np.ndarray, heard: np.ndarray, shift_s: float = 0.0) -> list[Path]:
    """Files of one subject: video at `steps`, audio at `heard`; every feature says its own time, in steps."""
    paths = [folder / f"{kind}.h5" for kind in ("dynamic", "audio", "speech")]
    video = np.repeat(steps, 4).reshape(len(steps), 2, 2).astype(np.float16)
    write_arrays(paths[0], {"features": video, "time_s": steps * STEP_S}, fps_hz=1 / STEP_S)
    sound = np.repeat(heard, 3).reshape(len(heard), 3).astype(np.float16)
    write_arrays(paths[1], {"features": sound, "time_s": heard * STEP_S + shift_s}, fps_hz=1 / STEP_S)
    write_arrays(paths[2], {"speaking": steps % 3 == 0, "time_s": steps * STEP_S})
    return paths


@pytest.mark.parametrize("shift_s", [0.0, 0.07, -0.07])
@pytest.mark.parametrize(
    "heard",
    [
        np.arange(20),
        np.arange(5, 20),  # begins a second later
        np.arange(12),  # ends before the video
        np.array([0, 1, 2, 7, 8, 15]),  # with holes
        np.arange(40),  # outlasts the video
    ],
)
def test_a_step_meets_the_sound_of_its_own_time(heard: np.ndarray, shift_s: float, tmp_path: Path) -> None:
    streams = read_streams(*lay(tmp_path, np.arange(20), heard, shift_s))
    common = heard[heard < 20]
    np.testing.assert_array_equal(streams.seen[:, 0, 0], common)
    np.testing.assert_array_equal(streams.heard[:, 0], common)
    np.testing.assert_array_equal(streams.speaking, common % 3 == 0)
    np.testing.assert_allclose(streams.time_s, common * STEP_S)


def test_the_columns_are_valence_models_arousal_models_audio_and_voice(tmp_path: Path) -> None:
    streams = read_streams(*lay(tmp_path, np.arange(4), np.arange(4)))
    scaled = streams.scaled(lambda features: features + 100)
    assert scaled.shape == (4, 2 * 2 + 3 + 1)
    assert scaled.dtype == np.float32
    assert scaled[2].tolist() == [102] * 7 + [0]
    assert scaled[3].tolist() == [103] * 7 + [1]


def test_nothing_in_common_is_no_pair() -> None:
    for times, others in (([0.0, 0.2], [5.0]), ([], [0.0]), ([0.0], [])):
        assert [part.size for part in pairs(np.array(times), np.array(others), 0.1)] == [0, 0]
