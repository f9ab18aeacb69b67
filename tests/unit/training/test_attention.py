"""The post-norm layer against closed formulas; parity with the authors' is tested with each model."""

import math

import pytest
import torch

from stages.training.attention import Attention, TransformerLayer, sinusoidal_positions


@pytest.mark.parametrize(("step", "column"), [(0, 0), (0, 1), (3, 0), (3, 1), (7, 4), (199, 5)])
def test_positions_follow_the_formula(step, column):
    wave = math.sin if column % 2 == 0 else math.cos
    angle = step / 10_000 ** (2 * (column // 2) / 6)
    assert sinusoidal_positions(200, 6)[step, column].item() == pytest.approx(wave(angle), abs=2e-5)


def test_attention_is_the_softmax_of_scaled_products():
    torch.manual_seed(0)
    attention = Attention(features=4, heads=1)
    query, key, value = torch.randn(3, 1, 5, 4).unbind()
    scores = (attention.query(query) @ attention.key(key).mT / 2.0).softmax(-1)
    expected = attention.out(scores @ attention.value(value))
    assert torch.allclose(attention(query, key, value), expected, atol=1e-6)


def test_projections_have_no_bias_and_heads_must_divide_the_width():
    assert not [name for name, _ in Attention(8, 2).named_parameters() if name.endswith("bias")]
    with pytest.raises(ValueError, match="8 features, 3 heads"):
        Attention(8, 3)


def test_the_residual_carries_the_positions():
    """With both branches silenced the layer is LN(LN(query + positions))."""
    layer = TransformerLayer(8, 2).eval()
    for silenced in (layer.attention.out.weight, layer.contract.weight, layer.contract.bias):
        torch.nn.init.zeros_(silenced)
    x = torch.randn(2, 5, 8)
    norm = torch.nn.LayerNorm(8)
    assert torch.allclose(layer(x), norm(norm(x + sinusoidal_positions(5, 8))), atol=1e-6)


def test_positions_computed_in_inference_serve_training_too():
    layer, x = TransformerLayer(6, 3), torch.randn(1, 41, 6)  # of a size that no other test has
    with torch.inference_mode():
        inferred = layer.eval()(x)
    (trained := layer.train()(x.requires_grad_())).sum().backward()
    assert x.grad is not None
    assert torch.equal(layer.eval()(x), inferred)
    assert not torch.equal(trained, inferred)  # dropout


def test_masked_keys_change_nothing_and_real_ones_do():
    torch.manual_seed(1)
    layer = TransformerLayer(8, 2).eval()
    query, memory = torch.randn(2, 3, 8), torch.randn(2, 4, 8)
    valid = torch.tensor([[True, True, True, False]] * 2)
    before = layer(query, memory, valid)
    memory[:, 3] += 100.0
    assert torch.equal(layer(query, memory, valid), before)
    memory[:, 0] += 1.0
    assert not torch.allclose(layer(query, memory, valid), before)


def test_self_attention_is_cross_attention_to_oneself():
    torch.manual_seed(2)
    layer, x = TransformerLayer(8, 4).eval(), torch.randn(1, 6, 8)
    assert torch.equal(layer(x), layer(x, x))
