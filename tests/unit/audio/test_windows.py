"""Windows out of WAV files: the right samples, normalised over what is real, with masks that leave padding out."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.data import DataLoader

from stages.audio import samples as audio_samples
from stages.audio.samples import level_of, level_of_file, normalised, read_samples, sample_range
from stages.audio.windows import AudioWindows
from stages.core.errors import BadInput

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> tuple[Path, np.ndarray]:
    file = tmp_path_factory.mktemp("voice") / "päivä 1.wav"
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 10 * RATE_HZ).astype(np.float32)
    soundfile.write(file, samples, RATE_HZ, subtype="PCM_16")
    return file, samples


def windows_of(file: Path, bounds: list, **options) -> AudioWindows:
    count = len(bounds)
    targets = np.arange(count * 40).reshape(count, 20, 2) / 100
    valid = np.ones((count, 20), bool)
    return AudioWindows([file] * count, np.array(bounds, float), targets, valid, **options)


def test_a_full_window_holds_exactly_its_own_samples(recording):
    file, samples = recording
    item = windows_of(file, [(1.3, 5.3)])[0]
    own = samples[20_800:84_800].astype(np.float64)
    expected = (own - own.mean()) / own.std()
    np.testing.assert_allclose(item.waveform.numpy(), expected, atol=2e-4)  # 16-bit rounding
    assert item.waveform.dtype == torch.float32
    assert item.sample_mask.all()
    assert item.valid.all()
    assert item.targets.dtype == torch.float32


def test_a_short_window_is_padded_and_normalised_over_its_real_samples(recording):
    item = windows_of(recording[0], [(2.0, 4.6)])[0]
    real = item.waveform[: round(2.6 * RATE_HZ)]
    assert item.waveform.shape == (64_000,)
    assert int(item.sample_mask.sum()) == len(real)
    assert not item.waveform[len(real) :].any()
    assert float(real.mean()) == pytest.approx(0, abs=1e-5)
    assert float(real.std()) == pytest.approx(1, abs=1e-3)
    assert item.valid.tolist() == [k < 13 for k in range(20)]


def test_windows_by_the_level_of_their_recording_are_cuts_of_it(recording):
    file, samples = recording
    item = windows_of(file, [(8.0, 12.0)], normalisation="recording")[0]
    expected = (samples - samples.mean()) / samples.std()
    np.testing.assert_allclose(item.waveform[: 2 * RATE_HZ].numpy(), expected[8 * RATE_HZ :], atol=2e-4)
    assert not item.waveform[2 * RATE_HZ :].any()


def test_the_level_of_a_file_is_that_of_its_samples_block_by_block(recording, monkeypatch):
    file, _ = recording
    level_of_file.cache_clear()
    monkeypatch.setattr(audio_samples, "BLOCK", 999)
    np.testing.assert_allclose(level_of_file(file), level_of(soundfile.read(file)[0]), atol=1e-9)


def test_a_missing_file_has_no_level(tmp_path):
    with pytest.raises(BadInput, match="not a readable WAV file"):
        level_of_file(tmp_path / "missing.wav")


def test_past_the_end_of_the_file_there_is_nothing_to_hear(recording):
    half, none = windows_of(recording[0], [(8.0, 12.0), (11.0, 15.0)])
    assert int(half.sample_mask.sum()) == 2 * RATE_HZ
    assert half.valid.tolist() == [k < 10 for k in range(20)]
    assert not none.sample_mask.any()
    assert not none.valid.any()
    assert not none.waveform.any()


def test_labels_that_are_not_valid_stay_so(recording):
    valid = np.ones((1, 20), bool)
    valid[0, 7] = False
    windows = AudioWindows([recording[0]], np.array([[0.0, 4.0]]), np.zeros((1, 20, 2)), valid)
    assert windows[0].valid.tolist() == [k != 7 for k in range(20)]


def test_batches_keep_the_names_of_their_parts(recording):
    batch = next(iter(DataLoader(windows_of(recording[0], [(0, 4), (1, 4), (2, 6)]), batch_size=3)))
    assert batch.waveform.shape == batch.sample_mask.shape == (3, 64_000)
    assert batch.targets.shape == (3, 20, 2)
    assert batch.sample_mask.sum(1).tolist() == [64_000, 48_000, 64_000]


def test_other_lengths_and_rates_are_parameters(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(8000, np.float32), 8000)
    assert windows_of(tmp_path / "a.wav", [(0, 1)], window_s=2.0, rate_hz=8000)[0].waveform.shape == (16_000,)


@pytest.mark.parametrize("start_s", [0.0, 0.2, 6.13, 1234.56789])
def test_a_window_is_never_longer_than_its_length(start_s):
    first, stop = sample_range(start_s, start_s + 4.0, RATE_HZ, 64_000)
    assert first == round(start_s * RATE_HZ)
    assert 63_999 <= stop - first <= 64_000


def test_normalising_silence_and_nothing_and_nan():
    assert not normalised(np.zeros(10, np.float32), 20)[0].any()
    waveform, mask = normalised(np.zeros(0, np.float32), 5)
    assert waveform.tolist() == [0.0] * 5
    assert not mask.any()
    assert np.isfinite(normalised(np.array([np.nan, 1.0, np.inf]), 4)[0]).all()
    with pytest.raises(ValueError, match="at most 3"):
        normalised(np.zeros(4), 3)


def test_normalising_undoes_gain_and_offset():
    samples = np.random.default_rng(1).standard_normal(500).astype(np.float32)
    np.testing.assert_allclose(
        normalised(samples, 800)[0], normalised(0.1 * samples + 0.2, 800)[0], atol=1e-4
    )


@pytest.mark.parametrize(
    ("rate_hz", "channels", "message"), [(8000, 1, "8000 Hz and 1"), (16_000, 2, "2 channels")]
)
def test_a_file_of_another_kind_is_refused_by_name(tmp_path, rate_hz, channels, message):
    file = tmp_path / "other.wav"
    soundfile.write(file, np.zeros((100, channels), np.float32), rate_hz)
    with pytest.raises(BadInput, match=message) as caught:
        windows_of(file, [(0, 4)])[0]
    assert caught.value.file == str(file)


@pytest.mark.parametrize("content", [None, b"", b"no sound at all"])
def test_an_unreadable_file_is_bad_input(tmp_path, content):
    file = tmp_path / "broken.wav"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadInput, match=r"broken\.wav"):
        read_samples(file, 0, 10, RATE_HZ)


def test_misuse_is_refused(recording):
    for bounds in ([(0, 4.1)], [(-1, 3)], [(3, 2)]):
        with pytest.raises(ValueError, match="windows must start"):
            windows_of(recording[0], bounds)
    with pytest.raises(ValueError, match=r"\[2, 1, 1, 1\]"):
        AudioWindows([recording[0]] * 2, np.zeros((1, 2)), np.zeros((1, 20, 2)), np.ones((1, 20), bool))
