"""Model-based fusion: the authors' size, padding that leaves no trace, silence, gradients."""

import math

import pytest
import torch

from stages.fusion.cross_attention import AttentionFusion, CrossAttentionModel, aggregate, fill_silence

SMALL = {"video_features": 6, "audio_features": 5, "d_model": 8, "heads": 2}
WIDTH = 2 * 6 + 5 + 1


def model(**changes: object) -> CrossAttentionModel:
    torch.manual_seed(0)
    return CrossAttentionModel(**{**SMALL, **changes}).eval()


def windows(batch: int = 3, steps: int = 7) -> torch.Tensor:
    features = torch.randn(batch, steps, WIDTH, generator=torch.Generator().manual_seed(1))
    features[..., -1] = (features[..., -1] > 0).float()
    return features


@pytest.mark.parametrize(
    ("aggregation", "published"), [("stp", 3.689e6), ("mean", 3.558e6), ("concat", 3.689e6)]
)
def test_it_has_the_authors_parameters(aggregation: str, published: float) -> None:
    """Theirs holds 8 more layer norms, which nothing uses, and 2 biases that a batch norm undoes."""
    ours = sum(weight.numel() for weight in CrossAttentionModel(aggregation=aggregation).parameters())
    assert ours + 8 * 512 + 2 * 256 == pytest.approx(published, abs=500)


@pytest.mark.parametrize("aggregation", ["stp", "mean", "concat"])
@pytest.mark.parametrize("silence", ["speaking_mean", "as_heard"])
def test_estimates_lie_within_the_scale_for_every_variant(aggregation: str, silence: str) -> None:
    estimate = model(aggregation=aggregation, silence=silence)(50 * windows())
    assert estimate.shape == (3, 7, 2)
    assert estimate.isfinite().all() and estimate.abs().max() <= 1


def test_two_streams_become_one() -> None:
    first, second = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    pair = torch.stack([first, second])
    expected = torch.cat([pair.mean(dim=0), pair.std(dim=0)], dim=-1)
    assert torch.allclose(aggregate(first, second, "stp"), expected, atol=1e-6)
    assert torch.equal(aggregate(first, second, "concat"), torch.cat([first, second], dim=-1))
    assert torch.allclose(aggregate(first, second, "mean"), (first + second) / 2)


def test_each_modality_counts() -> None:
    """The voice flag too: it decides what is silence."""
    net, features = model(), windows()
    estimate = net(features)
    for column in (0, 6, 12, WIDTH - 1):  # of the valence model's, the arousal model's, the audio's, the flag
        changed = features.clone()
        changed[..., column] = 1 - changed[..., column]
        assert not torch.allclose(net(changed), estimate, atol=1e-4), column


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("silence", ["speaking_mean", "as_heard"])
def test_what_stands_in_the_padding_is_never_seen(silence: str, training: bool) -> None:
    nets = [model(silence=silence, dropout=0.0).train(training) for _ in range(2)]
    features, valid = windows(), torch.ones(3, 7, dtype=torch.bool)
    valid[1, :4] = False
    spoilt = features.clone()
    spoilt[1, :4] = 1e3
    before, after = (net(x, valid) for net, x in zip(nets, (features, spoilt), strict=True))
    assert torch.equal(before[valid], after[valid])
    for name, value in nets[0].state_dict().items():  # the batch norms' statistics too
        assert torch.equal(value, nets[1].state_dict()[name]), name


def test_a_padded_window_is_heard_as_its_real_steps() -> None:
    """Without positions: attention over the real steps alone gives what the bare window gives."""
    fusion = AttentionFusion(8, 2, 0.0, "stp").eval()
    first, second = torch.randn(2, 5, 8), torch.randn(2, 5, 8)
    valid = torch.tensor([[True] * 5, [True, True, True, False, False]])
    bare = fusion(first[1:, :3], second[1:, :3], torch.ones(1, 3, dtype=torch.bool))
    assert torch.allclose(fusion(first, second, valid)[1:, :3], bare, atol=1e-6)
    assert (fusion(first, second, valid)[1, 3:] == 0).all()


def test_silence_is_filled_with_the_speaking_mean_of_its_window_or_of_training() -> None:
    audio = torch.tensor([[[1.0], [3.0], [100.0]], [[7.0], [8.0], [9.0]]])
    speaking = torch.tensor([[True, True, False], [False, False, False]])
    filled = fill_silence(audio, speaking, torch.tensor([0.5]))
    assert filled.squeeze(-1).tolist() == [[1.0, 3.0, 2.0], [0.5, 0.5, 0.5]]


def test_filled_silence_is_not_heard_and_as_heard_is() -> None:
    features = windows()
    features[0, 2, -1] = 0
    changed = features.clone()
    changed[0, 2, 12:-1] += 5
    for silence, same in (("speaking_mean", True), ("as_heard", False)):
        net = model(silence=silence)
        assert torch.equal(net(features), net(changed)) == same


@pytest.mark.parametrize("aggregation", ["stp", "mean", "concat"])
def test_gradients_are_finite_even_where_the_streams_are_equal(aggregation: str) -> None:
    """The deviation of two equal streams has no slope of its own; it must not become a NaN."""
    streams = torch.zeros(1, 2, 4, requires_grad=True)
    aggregate(streams, streams * 1, aggregation).sum().backward()
    assert streams.grad is not None and streams.grad.isfinite().all()
    net = model(aggregation=aggregation).train()
    features = torch.zeros(2, 5, WIDTH)  # nothing at all, and nobody speaks
    net(features).sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in net.parameters())


def test_every_parameter_is_used() -> None:
    net = model().train()
    net(windows()).square().sum().backward()
    assert [name for name, weight in net.named_parameters() if weight.grad is None] == []


def test_misuse_is_refused() -> None:
    with pytest.raises(ValueError, match="'median'"):
        model(aggregation="median")
    with pytest.raises(ValueError, match="'zeros'"):
        model(silence="zeros")
    assert math.isclose(float(model().speaking_mean.sum()), 0)
