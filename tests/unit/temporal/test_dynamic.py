"""The dynamic model: the authors' outputs, padding that leaves no trace, whole recordings."""

import numpy as np
import pytest
import torch

from stages.temporal.dynamic import DynamicModel, dynamic_from_authors, saying
from stages.temporal.recording import predict_sequence
from stages.training.checkpoints import load_model, save_model
from valaro.recordings.state_dicts import state_dict_of

SMALL = {"features": 12, "d_model": 16, "layers": 2, "heads": 4}


@pytest.fixture(params=["transformer", "gru"])
def model(request):
    torch.manual_seed(0)
    return DynamicModel(request.param, **SMALL).eval()


def test_the_authors_weights_give_the_authors_estimates(shared):
    golden = np.load(shared / "golden" / "dynamic_v3_io.npz")
    model, _ = dynamic_from_authors(state_dict_of(shared / "golden" / "dynamic_v3.safetensors"))
    with torch.no_grad():
        estimate = model(torch.from_numpy(golden["embedding"]).float()).numpy()
    assert np.abs(estimate - golden["valence_arousal"]).max() < 1e-5
    assert golden["valence_arousal"].std() > 0.1


def test_a_missing_parameter_is_named(shared):
    state = state_dict_of(shared / "golden" / "dynamic_v3.safetensors")
    del state["second_transformer.feed_forward.layer_1.bias"]
    with pytest.raises(KeyError, match=r"second_transformer\.feed_forward\.layer_1\.bias"):
        dynamic_from_authors(state)


@pytest.mark.parametrize("padded", [1, 3, 7])
def test_what_stands_in_the_padding_is_never_seen(model, padded):
    embedding = torch.randn(3, 8, 12)
    valid = torch.ones(3, 8, dtype=torch.bool)
    valid[1, :padded] = False
    before = model(embedding, valid)
    embedding[1, :padded] = 1e3
    after = model(embedding, valid)
    assert torch.equal(before[valid], after[valid])
    assert after.isfinite().all()
    assert torch.allclose(model(embedding)[[0, 2]], after[[0, 2]], atol=1e-6), "other rows don't care"


def test_padding_stays_out_of_the_batch_statistics(model):
    embedding = torch.randn(4, 8, 12)
    valid = torch.arange(8) >= torch.tensor([[0], [3], [0], [5]])
    embedding[~valid] = 1e3
    model.train()(embedding, valid)
    assert torch.allclose(model.start_norm.running_mean, 0.1 * embedding[valid].mean(0), atol=1e-6)


def test_a_forward_recurrence_hears_a_padded_sequence_as_the_bare_one():
    torch.manual_seed(1)
    model = DynamicModel("gru", **SMALL).eval()
    sequence = torch.randn(1, 5, 12)
    padded = torch.cat([torch.randn(1, 3, 12), sequence], dim=1)
    valid = torch.tensor([[False] * 3 + [True] * 5])
    assert torch.allclose(model(padded, valid)[:, 3:], model(sequence), atol=1e-6)


def test_estimates_lie_within_the_scale_and_order_matters(model):
    embedding = 50 * torch.randn(2, 10, 12)
    estimate = model(embedding)
    assert estimate.shape == (2, 10, 2)
    assert estimate.abs().max() <= 1
    assert not torch.allclose(model(embedding.flip(1)).flip(1), estimate, atol=1e-3)


@pytest.mark.parametrize(("steps", "window"), [(5, 8), (8, 8), (9, 8), (41, 8), (1, 8)])
def test_a_recording_is_the_average_of_its_windows(model, steps, window):
    embedding = np.random.default_rng(0).standard_normal((steps, 12)).astype(np.float32)
    estimate = predict_sequence(saying(model), embedding, window, window // 2, batch_size=3)
    assert estimate.shape == (steps, 2)
    assert estimate.dtype == np.float32
    starts = sorted({*range(0, max(steps - window, 0) + 1, window // 2), max(steps - window, 0)})
    votes = [[] for _ in range(steps)]
    for start in starts:
        if steps < window:
            padded = torch.zeros(1, window, 12)
            padded[0, window - steps :] = torch.from_numpy(embedding)
            with torch.no_grad():
                said = model(padded, (torch.arange(window) >= window - steps)[None])[0, window - steps :]
        else:
            with torch.no_grad():
                said = model(torch.from_numpy(embedding[start : start + window])[None])[0]
        for offset, row in enumerate(said.numpy()):
            votes[start + offset].append(row)
    assert np.allclose(estimate, [np.mean(rows, axis=0) for rows in votes], atol=1e-6)


def test_it_comes_back_from_disk(model, tmp_path):
    kind = "gru" if hasattr(model.temporal, "gru") else "transformer"
    save_model(tmp_path / "m.safetensors", model, {"kind": kind, **SMALL})
    loaded = load_model(tmp_path / "m.safetensors", lambda config: DynamicModel(**config))
    embedding = torch.randn(1, 6, 12)
    assert torch.equal(loaded(embedding), model(embedding))


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="'lstm'"):
        DynamicModel("lstm")
