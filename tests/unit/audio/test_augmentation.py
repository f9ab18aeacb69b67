"""Augmentation of normalised waveforms: measured ratios and gains, identity, determinism."""

import pytest
import torch

from stages.audio.augmentation import WaveAugmentation

OFF = {"polarity": 0.0, "noise": 0.0, "volume": 0.0}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def waveform() -> torch.Tensor:
    x = torch.randn(64, 4000, generator=generator(9))
    return (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)


def test_with_all_off_nothing_changes(waveform):
    assert torch.equal(WaveAugmentation(**OFF)(waveform, generator=generator()), waveform)


def test_polarity_is_a_sign_and_hits_its_share_of_windows(waveform):
    altered = WaveAugmentation(**OFF | {"polarity": 0.25})(waveform.repeat(20, 1), generator=generator())
    flipped = (altered == -waveform.repeat(20, 1)).all(1)
    assert (flipped | (altered == waveform.repeat(20, 1)).all(1)).all()
    assert flipped.float().mean() == pytest.approx(0.25, abs=0.04)  # 1280 draws: 3.3 standard errors


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 30.0])
def test_noise_has_the_ratio_asked_for_whatever_the_level(waveform, snr_db):
    for gain in (1.0, 0.01):
        augment = WaveAugmentation(**OFF | {"noise": 1.0, "noise_snr_db": (snr_db, snr_db)})
        noise = augment(gain * waveform, generator=generator()) - gain * waveform
        measured = 10 * torch.log10((gain * waveform).square().mean(1) / noise.square().mean(1))
        assert (measured - snr_db).abs().max() < 0.5
        assert abs(float((noise * waveform).mean())) < 0.01 * gain


def test_volume_lies_evenly_in_its_range(waveform):
    augment = WaveAugmentation(**OFF | {"volume": 1.0, "volume_db": (-20.0, -1.0)})
    gain_db = 20 * torch.log10((augment(waveform, generator=generator()) / waveform).mean(1))
    assert -20.01 <= gain_db.min() < -17
    assert -4 < gain_db.max() <= -0.99
    assert float(gain_db.mean()) == pytest.approx(-10.5, abs=2.5)


def test_padding_is_neither_altered_nor_counted(waveform):
    mask = torch.arange(4000) < 1000
    padded = torch.where(mask, waveform, 0.0)
    augment = WaveAugmentation(1.0, 1.0, (10.0, 10.0), 1.0, (-6.0, -6.0))
    altered = augment(padded, mask.expand(64, -1), generator=generator())
    assert not altered[:, 1000:].any()
    noise = altered[:, :1000] * -(10 ** (6 / 20)) - waveform[:, :1000]
    ratio_db = 10 * torch.log10(waveform[:, :1000].square().mean(1) / noise.square().mean(1))
    assert (ratio_db - 10).abs().max() < 1


def test_silence_stays_silence():
    assert not WaveAugmentation(1, 1, (10, 10), 1, (-3, -3))(torch.zeros(3, 50), generator=generator()).any()


def test_the_generator_decides_all_and_the_input_is_left_alone(waveform):
    augment, before = WaveAugmentation(), waveform.clone()
    once = augment(waveform, generator=generator(3))
    torch.manual_seed(1)
    assert torch.equal(once, augment(waveform, generator=generator(3)))
    assert not torch.equal(once, augment(waveform, generator=generator(4)))
    assert torch.equal(waveform, before)
    untouched = (once == waveform).all(1).float().mean()
    assert float(untouched) == pytest.approx((2 / 3) ** 3, abs=0.18)  # identity is among the outcomes


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"polarity": 1.2}, "polarity is 1.2"),
        ({"noise": -0.1}, "noise is -0.1"),
        ({"noise_snr_db": (30, 10)}, "noise_snr_db"),
        ({"volume_db": (0, -20)}, "volume_db"),
    ],
)
def test_impossible_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        WaveAugmentation(**settings)
