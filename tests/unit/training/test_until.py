"""A training that ends at known epochs keeps their weights, also when it is resumed."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from stages.core.optimisation import OptimSettings
from stages.training import loop
from stages.training.loop import EpochRecord, Fitted, fit
from stages.training.until import Until


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALARO_DEVICE", "cpu")


def run(scratch: Path, epochs: dict[str, int], killed_after: int = 99) -> Fitted:
    torch.manual_seed(0)
    rows = TensorDataset(torch.randn(8, 2), torch.randn(8, 1))
    settings = OptimSettings(epochs=20, patience=1, warmup_steps=0)
    until = Until(epochs, "rising")

    def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
        value: Tensor = ((model(batch[0]) - batch[1]) ** 2).mean()
        return value

    def count(record: EpochRecord) -> None:
        until.note(record)
        if record.epoch == killed_after:
            raise KeyboardInterrupt

    batches = DataLoader(rows, batch_size=4)
    return fit(
        nn.Linear(2, 1), loss, batches, until, settings, stop_on="rising", keep=tuple(epochs),
        scratch=scratch, run_id="", after_epoch=count,
    )  # fmt: skip


def test_the_wanted_epochs_are_kept_and_the_run_ends_behind_them(tmp_path: Path) -> None:
    found = run(tmp_path, {"valence": 3, "arousal": 5})
    assert (found.best["valence"].epoch, found.best["arousal"].epoch) == (3, 5)
    assert len(found.history) == 6


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SAVED_EVERY_S", 0)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", {"valence": 3, "arousal": 5}, killed_after=4)
    again = run(tmp_path / "killed", {"valence": 3, "arousal": 5})
    whole = run(tmp_path / "whole", {"valence": 3, "arousal": 5})
    for target in ("valence", "arousal"):
        assert again.best[target].epoch == whole.best[target].epoch
        assert again.best[target].weights.read_bytes() == whole.best[target].weights.read_bytes()
