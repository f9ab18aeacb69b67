"""The training loop as its users meet it: it learns, stops, keeps the best, and survives being killed."""

import math
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from stages.core.errors import ValaroError
from stages.core.optimisation import OptimSettings
from stages.fusion.postprocessing import to_native
from stages.training import loop
from stages.training import threads as threads_module
from stages.training.loop import fit, parts_of
from stages.training.losses import log_cosh_loss

REPOSITORY = Path(__file__).resolve().parents[3]
QUICK = OptimSettings(epochs=5, learning_rate=0.05, warmup_steps=3, patience=5, seed=7)


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch):
    monkeypatch.setenv("VALARO_DEVICE", "cpu")


class Task:
    """A small regression with dropout and batch norm, so that every generator and buffer matters."""

    def __init__(self, scratch: Path) -> None:
        torch.manual_seed(0)
        x = torch.randn(96, 6)
        self.x, self.y = x, torch.tanh(torch.stack([x[:, 0] - x[:, 1], x[:, 2]], 1))
        self.model = nn.Sequential(
            nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1)), nn.Linear(16, 2)
        )
        self.scratch, self.seen, self.orders = scratch, [], []

    def loss(self, model, batch):
        x, y = batch
        self.orders.append(x[:, 0].tolist())
        return log_cosh_loss(model(x), y)

    def validate(self, model):
        error = (model(self.x[64:]) - self.y[64:]).square().mean(0).sqrt()
        error = error.detach()
        return {"valence": float(error[0]), "arousal": float(error[1]), "mean": float(error.mean())}

    def fit(self, settings=QUICK, **changes):
        arguments = {
            "stop_on": "mean", "keep": ("valence", "arousal"), "lower_is_better": True, "run_id": "data",
            "scratch": self.scratch, "after_epoch": self.seen.append, "validate": self.validate,
            "groups": [list(part.parameters()) for part in self.model],
        } | changes  # fmt: skip
        batches = DataLoader(TensorDataset(self.x[:64], self.y[:64]), 16, shuffle=True)
        return fit(self.model, self.loss, batches, settings=settings, **arguments)

    def weights(self):
        return torch.cat([tensor.flatten().double() for tensor in self.model.state_dict().values()])


class Killed(BaseException):
    """What a kill looks like from inside."""


def kill_after(epoch):
    def after_epoch(record):
        if record.epoch == epoch:
            raise Killed

    return after_epoch


def test_it_learns_and_the_best_weights_are_those_of_the_best_epoch(tmp_path):
    task = Task(tmp_path)
    fitted = task.fit()
    assert fitted.history == task.seen
    assert fitted.history[-1].train_loss < 0.5 * fitted.history[0].train_loss
    for name in ("valence", "arousal", "mean"):
        scores = [record.scores[name] for record in fitted.history]
        best = fitted.best[name]
        assert best.score == min(scores)
        assert best.epoch == scores.index(min(scores)) + 1
        assert task.validate(fitted.restore(task.model, name))[name] == pytest.approx(best.score, abs=1e-7)
    assert {best.weights for best in fitted.best.values()} == set(tmp_path.glob("*.safetensors"))


@pytest.mark.parametrize("killed_after", [1, 3, 5])
@pytest.mark.parametrize("schedule", ["cyclic", "one_cycle"])
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, monkeypatch, killed_after, schedule):
    monkeypatch.setattr(loop, "SAVED_EVERY_S", 0)
    settings = QUICK.model_copy(update={"schedule": schedule, "unfrozen_groups": 1})
    straight, killed, resumed = (Task(tmp_path / folder) for folder in ("straight", "killed", "killed"))
    expected = straight.fit(settings)
    with pytest.raises(Killed):
        killed.fit(settings, after_epoch=kill_after(killed_after))
    fitted = resumed.fit(settings)
    assert fitted.history == expected.history
    assert resumed.seen == straight.seen  # past epochs are reported again
    assert len(resumed.orders) == (5 - killed_after) * 4
    assert torch.equal(resumed.weights(), straight.weights())
    for name, best in expected.best.items():
        assert fitted.best[name].weights.read_bytes() == best.weights.read_bytes()


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_short_epochs_are_saved_now_and_then_and_the_result_is_the_same(tmp_path, monkeypatch, ema):
    seldom, always = (Task(tmp_path / folder) for folder in ("seldom", "always"))
    clock = iter(range(100))  # asked at the start, after every epoch, and after every state
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: 0.4 * next(clock)))
    states = []

    def keep_state(_):
        file = seldom.scratch / "state.pt"
        states.append(len(torch.load(file)["history"]) if file.exists() else 0)

    expected = seldom.fit(QUICK.model_copy(update={"ema": ema}), after_epoch=keep_state)
    assert states == [0, 0, 3, 3, 3]
    keep_state(None)
    assert states[-1] == 5
    monkeypatch.setattr(loop, "SAVED_EVERY_S", 0)
    fitted = always.fit(QUICK.model_copy(update={"ema": ema}))
    assert fitted.history == expected.history
    for name, best in expected.best.items():
        assert fitted.best[name].weights.read_bytes() == best.weights.read_bytes()
    for task in (seldom, always):
        assert {best.weights.name for best in fitted.best.values()} == {
            path.name for path in task.scratch.glob("*.safetensors")
        }
    finished = Task(tmp_path / "seldom")
    assert finished.fit(QUICK.model_copy(update={"ema": ema})).history == expected.history
    assert not finished.orders


@pytest.mark.parametrize(("small", "threads"), [(True, 1), (False, 2)])
def test_a_small_network_trains_on_one_thread(tmp_path, monkeypatch, small, threads):
    monkeypatch.setattr(threads_module, "SMALL", 1_000 if small else 10)
    before, seen, task = torch.get_num_threads(), [], Task(tmp_path)
    torch.set_num_threads(2)
    try:
        task.fit(after_step=lambda: seen.append(torch.get_num_threads()))
        assert set(seen) == {threads}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_it_imports_neither_the_compiler_nor_sympy(tmp_path):
    code = (
        "import sys; from pathlib import Path; from tests.unit.training.test_loop import Task;"
        "Task(Path(sys.argv[1])).fit();"
        "sys.exit('sympy' in sys.modules or 'torch.distributed.tensor' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, check=False)
    assert done.returncode == 0


def test_a_state_of_other_settings_or_data_is_ignored(tmp_path):
    Task(tmp_path).fit()
    for settings, run_id in ((QUICK, "other data"), (QUICK.model_copy(update={"weight_decay": 0.5}), "data")):
        task = Task(tmp_path)
        task.fit(settings, run_id=run_id)
        assert len(task.orders) == 20, "all five epochs were trained anew"


def test_seeds_decide_everything_and_epochs_differ(tmp_path):
    first, second, other = (Task(tmp_path / name) for name in "abc")
    first.fit()
    second.fit()
    other.fit(QUICK.model_copy(update={"seed": 8}))
    assert torch.equal(first.weights(), second.weights())
    assert first.orders == second.orders != other.orders
    assert first.orders[:4] != first.orders[4:8]
    assert sorted(value for order in first.orders[:4] for value in order) == sorted(first.x[:64, 0].tolist())


@pytest.mark.parametrize(
    ("gains", "expected"), [([3, 1], 4), ([1], 3), ([4, 3, 2, 1], 6), ([math.nan, 2, 3], 4)]
)
def test_patience_counts_epochs_without_gain(tmp_path, gains, expected):
    scores = iter([*gains, *[9] * 20])
    settings = QUICK.model_copy(update={"epochs": 20, "patience": 2})
    fitted = Task(tmp_path).fit(settings, keep=(), validate=lambda model: {"mean": next(scores)})
    assert len(fitted.history) == expected


def test_higher_is_better_unless_said_otherwise(tmp_path):
    scores = iter([0.1, 0.4, 0.2, 0.4, 0.3])
    fitted = Task(tmp_path).fit(keep=(), lower_is_better=False, validate=lambda model: {"mean": next(scores)})
    assert (fitted.best["mean"].epoch, fitted.best["mean"].score) == (2, 0.4)


def test_gradual_unfreezing_leaves_frozen_layers_alone_until_their_turn(tmp_path):
    task = Task(tmp_path)
    start = task.model[0][0].weight.clone()
    frozen_until = []

    def validate(model):
        frozen_until.append(torch.equal(model[0][0].weight, start))
        return {"mean": -len(frozen_until)}

    history = task.fit(QUICK.model_copy(update={"unfrozen_groups": 1}), keep=(), validate=validate).history
    assert frozen_until == [True, False, False, False, False]
    assert [record.trained_groups for record in history] == [1, 2, 2, 2, 2]


def test_validation_sees_an_eval_model_without_gradients(tmp_path):
    def validate(model):
        assert not model.training
        assert not torch.is_grad_enabled()
        return {"mean": 0.0}

    Task(tmp_path).fit(keep=(), validate=validate)


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_mixed_precision_leaves_an_ordinary_model_behind(tmp_path, precision):
    task = Task(tmp_path)
    fitted = task.fit(QUICK.model_copy(update={"mixed_precision": precision}))
    assert fitted.history[-1].train_loss < 0.5 * fitted.history[0].train_loss
    fresh = Task(tmp_path).model
    fresh.load_state_dict(load_file(fitted.best["mean"].weights))
    assert torch.equal(fitted.restore(task.model, "mean")(task.x), fresh.eval()(task.x))


def test_gradients_are_clipped(tmp_path):
    """What the last step left in the gradients is within the limit, however steep the loss."""
    task = Task(tmp_path)
    gentle = task.loss
    task.loss = lambda model, batch: 1e6 * gentle(model, batch)
    task.fit(QUICK.model_copy(update={"max_grad_norm": 0.5, "epochs": 1}))
    norm = math.hypot(*(p.grad.norm().item() for p in task.model.parameters()))
    assert norm == pytest.approx(0.5, rel=1e-3)


def test_a_loss_that_explodes_says_what_to_do(tmp_path):
    task = Task(tmp_path)
    task.loss = lambda model, batch: log_cosh_loss(model(batch[0]), batch[1]) * math.inf
    with pytest.raises(ValaroError, match=r"became (inf|nan) in epoch 1: lower learning_rate \(now 0.05\)"):
        task.fit()


@pytest.mark.parametrize("what", ["weights", "predictions"])
def test_a_last_step_that_spoils_them_says_the_same(tmp_path, what):
    """The loss of an epoch is that of before its last step."""
    task, steps, times_s = Task(tmp_path), [], np.arange(2.0)

    def spoil():
        steps.append(1)
        if len(steps) == 4:
            nn.init.constant_(task.model[1].weight, math.nan)

    unusable = {
        "weights": {"after_step": spoil},
        "predictions": {"validate": lambda _: to_native(np.full((2, 2), math.nan), times_s, times_s)},
    }
    with pytest.raises(ValaroError, match=f"{what} became infinite or NaN in epoch 1: lower learning_rate"):
        task.fit(**unusable[what])


def test_misuse_is_named(tmp_path):
    task = Task(tmp_path)
    with pytest.raises(ValueError, match=r"without \['rmse'\]"):
        task.fit(stop_on="rmse")
    with pytest.raises(ValueError, match="no batch"):
        fit(
            task.model,
            task.loss,
            DataLoader([]),
            task.validate,
            QUICK,
            stop_on="mean",
            scratch=tmp_path,
            run_id="",
        )


TWO_PROCESSES = """
import os, sys, torch
from pathlib import Path
from stages.training.loop import fit, parts_of
from stages.training.losses import log_cosh_loss
from stages.core.optimisation import OptimSettings
from stages.training import threads as threads_module
from torch import distributed, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

class Half(nn.Module):  # one of its parts is of no use to the loss, another is frozen at first
    def __init__(self):
        super().__init__()
        self.stem, self.top, self.unused = nn.Linear(6, 8), nn.Linear(8, 2), nn.Linear(8, 3)
    def forward(self, x):
        x = self.stem(x).tanh()
        return self.top(x), self.unused(x)

torch.manual_seed(0)
x = torch.randn(64, 6)
y = x[:, :2].tanh()
model = Half()
groups = [list(model.stem.parameters()), [*model.top.parameters(), *model.unused.parameters()]]
settings = OptimSettings(epochs=3, learning_rate=0.05, warmup_steps=0, unfrozen_groups=1, max_grad_norm=0)
seen = []
def loss(net, batch):
    seen.extend(batch[0][:, 0].tolist())
    return log_cosh_loss(net(batch[0])[0], batch[1])
fitted = fit(
    model, loss, DataLoader(TensorDataset(x, y), 16, shuffle=True),
    lambda net: {"rmse": (net(x)[0] - y).square().mean().sqrt().item()}, settings,
    stop_on="rmse", lower_is_better=True, scratch=Path(sys.argv[1], os.environ.get("RANK", "0")), run_id="", groups=groups,
)
rank = distributed.get_rank() if distributed.is_initialized() else 0
scores = [record.scores["rmse"] for record in fitted.history]
torch.save({"weights": model.state_dict(), "seen": seen, "scores": scores}, f"{sys.argv[1]}/rank{rank}.pt")
"""


@pytest.mark.slow
def test_two_processes_share_each_batch_and_learn_what_one_does(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(TWO_PROCESSES)
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    for folder, launcher in ((alone, []), (shared, launch)):
        folder.mkdir()
        subprocess.run([sys.executable, *launcher, script, folder], env=environment, check=True)
    one, first, second = (
        torch.load(path) for path in (alone / "rank0.pt", shared / "rank0.pt", shared / "rank1.pt")
    )
    assert sorted(first["seen"] + second["seen"]) == sorted(one["seen"])
    assert len(first["seen"]) == len(second["seen"])
    for name, weight in one["weights"].items():
        assert torch.equal(first["weights"][name], second["weights"][name])
        assert torch.allclose(first["weights"][name], weight, atol=1e-5), "half the gradients each, averaged"
    assert first["scores"] == pytest.approx(one["scores"], abs=1e-5)


@pytest.mark.gpu
def test_it_learns_on_a_gpu_in_half_precision(tmp_path, monkeypatch, cuda):
    monkeypatch.setenv("VALARO_DEVICE", cuda)
    task = Task(tmp_path)
    task.x, task.y = task.x.to(cuda), task.y.to(cuda)
    fitted = task.fit(QUICK.model_copy(update={"mixed_precision": "fp16"}))
    assert fitted.history[-1].train_loss < 0.5 * fitted.history[0].train_loss


@pytest.mark.parametrize(
    ("size", "at_once", "expected"),
    [(8, None, [8]), (8, 8, [8]), (8, 3, [2, 3, 3]), (64, 16, [16] * 4), (5, 2, [1, 2, 2]), (2, 16, [2])],
)
def test_a_batch_in_parts_is_the_batch(size: int, at_once: int | None, expected: list[int]) -> None:
    batch = [torch.arange(size), torch.arange(size) * 2]
    parts = list(parts_of(batch, at_once))
    assert sorted(len(part[0]) for part, _ in parts) == expected
    assert torch.equal(torch.cat([part[1] for part, _ in parts]), batch[1])
    assert sum(share for _, share in parts) == pytest.approx(1)


def test_gradients_of_parts_add_up_to_those_of_the_batch(tmp_path: Path) -> None:
    """Without batch norm and dropout the parts of a batch train as the whole of it does."""
    x = torch.randn(96, 6, generator=torch.Generator().manual_seed(1))
    data, trained = TensorDataset(x, torch.tanh(x[:, :2])), []
    for at_once in (None, 5):
        torch.manual_seed(0)
        model = nn.Linear(6, 2)
        fit(
            model,
            lambda net, batch: log_cosh_loss(net(batch[0]), batch[1]),
            DataLoader(data, batch_size=16, shuffle=True),
            lambda net: {"loss": float(log_cosh_loss(net(data.tensors[0]), data.tensors[1]))},
            QUICK,
            stop_on="loss",
            lower_is_better=True,
            scratch=tmp_path / str(at_once),
            run_id="",
            at_once=at_once,
        )
        trained.append(model.weight.detach().clone())
    torch.testing.assert_close(*trained, rtol=1e-4, atol=1e-5)


class Noisy(Dataset[Any]):
    """Samples with noise of their own, drawn in whatever process reads them."""

    def __init__(self) -> None:
        self._seed = torch.zeros((), dtype=torch.int64).share_memory_()

    def __len__(self) -> int:
        return 24

    def draw_from(self, seed: int) -> None:
        self._seed.fill_(seed)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        noise = np.random.default_rng([int(self._seed), index]).standard_normal(3)
        return torch.tensor(noise, dtype=torch.float32), torch.tensor([float(index)])


def batches_seen(
    scratch: Path, workers: int, seed: int = 7, killed_after: int | None = None
) -> list[torch.Tensor]:
    """Every batch of a training of three epochs, or of what is left of it."""
    seen: list[torch.Tensor] = []

    def loss(net: nn.Module, batch: Any) -> torch.Tensor:
        seen.append(torch.cat(batch, dim=1))
        output: torch.Tensor = net(batch[0])
        return output.square().mean()

    def after(record: Any) -> None:
        if record.epoch == killed_after:
            raise Killed

    torch.manual_seed(0)
    loader = DataLoader(
        Noisy(), batch_size=8, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )
    settings = QUICK.model_copy(update={"epochs": 3, "seed": seed})
    arguments: dict[str, Any] = {"stop_on": "score", "scratch": scratch, "run_id": "", "after_epoch": after}
    with suppress(Killed):
        fit(nn.Linear(3, 1), loss, loader, lambda net: {"score": 0.0}, settings, **arguments)
    return seen


def test_what_a_sample_draws_follows_from_seed_epoch_and_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit the same with worker processes, and after a kill; another seed draws otherwise."""
    monkeypatch.setattr(loop, "SAVED_EVERY_S", 0)
    whole = batches_seen(tmp_path / "whole", workers=0)
    assert len(whole) == 9

    def by_index(epoch: list[torch.Tensor]) -> torch.Tensor:
        rows = torch.cat(epoch)
        return rows[rows[:, 3].argsort(), :3]

    assert not torch.equal(by_index(whole[:3]), by_index(whole[3:6])), "each epoch draws anew"
    before = batches_seen(tmp_path / "killed", workers=2, killed_after=2)
    after = batches_seen(tmp_path / "killed", workers=2)
    assert [len(before), len(after)] == [6, 3]
    assert all(torch.equal(one, other) for one, other in zip(whole, [*before, *after], strict=True))
    other = batches_seen(tmp_path / "other", workers=0, seed=8)
    assert not torch.equal(by_index(whole[:3]), by_index(other[:3]))
