"""From a recording to the grid: which window says what about which step, and padding that says nothing."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stages.audio import recording as audio_recording
from stages.audio.backbone import build_backbone
from stages.audio.model import AudioModel
from stages.audio.networks import TorchAudio
from stages.audio.recording import predict_recording
from stages.audio.speaking import tiling_windows

from .conftest import SMALL_WAV2VEC

RATE_HZ = 1000


class Clock(nn.Module):
    """Predicts every step's place in its window, and as valence the share of real samples."""

    def __init__(self, steps: int = 20) -> None:
        super().__init__()
        self.steps, self.seen = nn.Parameter(torch.arange(steps) / steps), []

    def forward(self, waveform, sample_mask):
        self.seen.append((waveform, sample_mask))
        share = sample_mask.float().mean(1, keepdim=True).expand(-1, len(self.steps))
        place = self.steps.expand(len(waveform), -1)
        return torch.stack([share, place], dim=-1), torch.stack([place, share, place], dim=-1)


def run(seconds: float, model: Clock | None = None, **options):
    waveform = np.random.default_rng(0).standard_normal(round(seconds * RATE_HZ)).astype(np.float32) + 3
    steps = int(np.ceil(seconds / 0.2 - 1e-9))
    windows = tiling_windows(seconds)
    return predict_recording(
        TorchAudio(model or Clock()), waveform, windows, steps=steps, rate_hz=RATE_HZ, **options
    )


def test_overlapping_windows_are_averaged_step_by_step():
    predicted = run(8.0)  # windows at 0, 2, 4 s
    place = np.arange(20) / 20
    expected = np.concatenate(
        [place[:10], (place[10:] + place[:10]) / 2, (place[10:] + place[:10]) / 2, place[10:]]
    )
    np.testing.assert_allclose(predicted.valence_arousal[:, 1], expected, atol=1e-6)
    np.testing.assert_allclose(predicted.features[:, 0], expected, atol=1e-6)
    assert predicted.valence_arousal.shape == (40, 2)
    assert predicted.features.shape == (40, 3)
    assert predicted.valence_arousal.dtype == np.float32


@pytest.mark.parametrize("seconds", [0.1, 0.2, 1.37, 3.99, 4.0, 4.05, 6.13, 9.0, 33.33])
def test_every_step_of_any_length_gets_a_finite_value(seconds):
    predicted = run(seconds)
    assert len(predicted.valence_arousal) == np.ceil(seconds / 0.2 - 1e-9)
    assert np.isfinite(predicted.valence_arousal).all()


def test_a_short_recording_is_padded_and_masked():
    model = Clock()
    predicted = run(3.0, model)
    waveform, mask = model.seen[0]
    assert mask.sum() == 3000
    assert not waveform[0, 3000:].any()
    np.testing.assert_allclose(predicted.valence_arousal[:, 0], 0.75)
    np.testing.assert_allclose(predicted.valence_arousal[:, 1], np.arange(15) / 20, atol=1e-6)


def test_windows_are_normalised_one_by_one_and_batches_change_nothing():
    model = Clock()
    whole = run(20.0, model)
    for waveform, mask in model.seen:
        assert mask.all()
        np.testing.assert_allclose(waveform.mean(1), 0, atol=1e-5)
        np.testing.assert_allclose(waveform.std(1), 1, atol=1e-3)
    one_by_one = run(20.0, batch=1)
    np.testing.assert_array_equal(whole.valence_arousal, one_by_one.valence_arousal)


def test_steps_that_no_window_covers_are_not_invented():
    waveform = np.ones(8 * RATE_HZ, np.float32)
    predicted = predict_recording(
        TorchAudio(Clock()), waveform, np.array([[4.0, 8.0]]), steps=50, rate_hz=RATE_HZ
    )
    told = np.isfinite(predicted.valence_arousal).all(axis=1)
    assert told.tolist() == [20 <= k < 40 for k in range(50)]


def test_a_window_past_the_sound_says_nothing_there():
    waveform = np.ones(3 * RATE_HZ, np.float32)
    predicted = predict_recording(
        TorchAudio(Clock()), waveform, np.array([[0.0, 4.0]]), steps=20, rate_hz=RATE_HZ
    )
    assert np.isfinite(predicted.valence_arousal[:, 0]).tolist() == [k < 15 for k in range(20)]


@pytest.mark.parametrize("windows", [np.zeros((0, 2)), np.array([[0.0, 5.0]])])
def test_no_window_or_too_long_a_one_is_misuse(windows):
    with pytest.raises(ValueError, match="windows; there must be"):
        predict_recording(TorchAudio(Clock()), np.zeros(9000, np.float32), windows, steps=5, rate_hz=RATE_HZ)


def test_the_model_evaluates_and_keeps_no_gradient():
    model = Clock().train()
    run(5.0, model)
    assert not model.training
    assert model.steps.grad is None


@pytest.fixture
def hears(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Predict a recording by a real model; what came out, and how many samples its convolutions took."""

    def predict(seconds: float, share: bool = True, **changed: Any) -> tuple[Any, int]:
        model = AudioModel(
            build_backbone(SMALL_WAV2VEC | changed), "v3", heads=[2, 2], trainable_layers=0
        ).eval()
        torch.manual_seed(0)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        taken = []
        model.backbone.feature_extractor.register_forward_pre_hook(
            lambda _, given: taken.append(given[0].numel())
        )
        rng = np.random.default_rng(1)
        waveform = rng.standard_normal(round(seconds * RATE_HZ)) * np.linspace(
            0.1, 2, round(seconds * RATE_HZ)
        )
        with monkeypatch.context() as patched:
            if not share:
                patched.setattr(audio_recording, "_shared", lambda *_: None)
            predicted = predict_recording(
                TorchAudio(model),
                waveform.astype(np.float32),
                tiling_windows(seconds),
                steps=int(np.ceil(seconds / 0.2 - 1e-9)),
                rate_hz=RATE_HZ,
                batch=3,
                normalisation="recording",
            )
        return predicted, sum(taken)

    return predict


@pytest.mark.parametrize("family", ["wav2vec2", "hubert", "wavlm", "unispeech-sat"])
@pytest.mark.parametrize("seconds", [3.1, 12.0, 13.36])
def test_windows_that_share_their_convolutions_say_what_they_would_alone(
    hears: Any, seconds: float, family: str
) -> None:
    alone, all_samples = hears(seconds, share=False, model_type=family)
    shared, samples = hears(seconds, model_type=family)
    np.testing.assert_allclose(shared.valence_arousal, alone.valence_arousal, atol=1e-5)
    np.testing.assert_allclose(shared.features, alone.features, atol=1e-4)
    if seconds == 12.0:  # windows of 4 s at 0, 2 ... 8 s, three of them a batch
        assert (samples, all_samples) == ((8 + 6) * RATE_HZ, 5 * 4 * RATE_HZ)


def test_a_norm_over_all_frames_of_a_window_shares_nothing(hears: Any) -> None:
    changed = {"feat_extract_norm": "group", "do_stable_layer_norm": False}
    alone, all_samples = hears(12.0, share=False, **changed)
    shared, samples = hears(12.0, **changed)
    np.testing.assert_array_equal(shared.valence_arousal, alone.valence_arousal)
    assert samples == all_samples


def test_windows_by_the_level_of_their_recording_keep_their_loudness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_recording, "_shared", lambda *_: None)
    waveform = np.random.default_rng(0).standard_normal(8000).astype(np.float32)
    waveform[4000:] *= 5
    loud = {}
    for normalisation in ("window", "recording"):
        model, windows = Clock(), np.array([[0.0, 4.0], [4.0, 8.0]])
        predict_recording(
            TorchAudio(model), waveform, windows, steps=40, rate_hz=RATE_HZ, normalisation=normalisation
        )
        loud[normalisation] = model.seen[0][0].std(1).tolist()
    assert loud["window"] == pytest.approx([1, 1], abs=0.01)
    assert loud["recording"][1] / loud["recording"][0] == pytest.approx(5, rel=0.05)
