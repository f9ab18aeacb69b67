"""The average of the weights: by hand, through a kill, and as what a run keeps."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from stages.core.optimisation import OptimSettings
from stages.training.average import Average
from stages.training.loop import fit


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALARO_DEVICE", "cpu")


def test_it_is_the_weighted_mean_of_the_steps() -> None:
    model = nn.BatchNorm1d(1)
    average, values = Average(model, 0.5), [1.0, 3.0, 2.0]
    for value in values:
        with torch.no_grad():
            model.weight.fill_(value)
        average.update(model)
    weight = average.weights()["weight"].item()
    assert weight == pytest.approx((0.25 * 1 + 0.5 * 3 + 1 * 2) / 1.75)
    again = Average(model, 0.5)
    again.load_state_dict(average.state_dict())
    assert again.weights()["weight"].item() == pytest.approx(weight)
    with average.in_place(model):
        assert model.weight.item() == pytest.approx(weight)
    assert model.weight.item() == 2.0


def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
    value: Tensor = ((model(batch[0]) - batch[1]) ** 2).mean()
    return value


def test_a_noisy_run_is_scored_and_kept_by_its_average(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = torch.randn(256, 4)
    y = x @ torch.tensor([[1.0], [-1.0], [0.5], [2.0]]) + 2 * torch.randn(256, 1)
    found = {}
    for ema in (0.0, 0.98):
        torch.manual_seed(1)
        model = nn.Linear(4, 1)
        settings = OptimSettings(
            schedule="constant", learning_rate=0.1, warmup_steps=0, epochs=6, patience=6, ema=ema
        )
        fitted = fit(
            model,
            loss,
            DataLoader(TensorDataset(x, y), batch_size=4, shuffle=True),
            lambda net: {"error": float((net.weight - torch.tensor([1.0, -1.0, 0.5, 2.0])).norm())},
            settings,
            stop_on="error",
            lower_is_better=True,
            scratch=tmp_path / str(ema),
            run_id="",
        )
        found[ema] = [record.scores["error"] for record in fitted.history][2:]
        kept = fitted.restore(model, "error")
        assert (kept.weight - torch.tensor([1.0, -1.0, 0.5, 2.0])).norm().item() == pytest.approx(
            fitted.best["error"].score, abs=1e-6
        )
    assert max(found[0.98]) < sum(found[0.0]) / len(found[0.0])
