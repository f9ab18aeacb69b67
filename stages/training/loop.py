"""The training loop: `fit` trains every torch model of the project.

1. Each epoch seeds all random generators from (seed, epoch). Epoch 7 is the same whether or not the run was
   killed after epoch 6, without saving generator states. A data set with a `draw_from` method gets that seed
   too: its random draws depend on seed, epoch and index, whichever process reads the sample.
2. Gradual unfreezing may make one more layer group trainable; frozen layers stay in eval mode.
3. One pass over the training batches: mixed precision, gradient clipping, a schedule per optimiser step.
4. Validation gives named scores, of the weights or of their moving average (`ema`). For every score in `keep`
   the best epoch's weights stay on disk.
5. The state of the run replaces the last one in a single rename, unless it is younger than SAVED_EVERY_S;
   then the epoch is reported.
6. After `patience` epochs without improvement in `stop_on` the run ends.

Hugging Face Accelerate runs it on CUDA and in several processes (`accelerate launch`). The batch size is then
the total over the processes; a loss over a batch (CCC) is computed on each process's part.
"""

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import (
    DataLoaderConfiguration,
    DistributedDataParallelKwargs,
    broadcast_object_list,
    set_seed,
)
from torch import Tensor, nn
from torch.utils.data import DataLoader

from stages.core.errors import NotFinite, ValaroError
from stages.core.optimisation import OptimSettings
from stages.engine.device import torch_device
from stages.engine.lazy_imports import without_compiler
from stages.training.average import Average
from stages.training.freezing import Groups, check_groups, one_group, train_mode, unfreeze_top
from stages.training.run_state import Best, EpochRecord, Fitted, copy_of, load_run, save_run, weights_file
from stages.training.schedule import build_optimizer, build_schedule
from stages.training.threads import threads_for

__all__ = ["EpochRecord", "Fitted", "fit"]

without_compiler()

SEEDS = 2**32
SAVED_EVERY_S = 1.0
"""Epochs of a small network take less time than the disk needs for its state."""
Loss = Callable[[nn.Module, Any], Tensor]
Validate = Callable[[nn.Module], Mapping[str, float]]


def fit(
    model: nn.Module,
    loss: Loss,
    train_batches: DataLoader[Any],
    validate: Validate,
    settings: OptimSettings,
    *,
    stop_on: str,
    scratch: Path,
    run_id: str,
    keep: Sequence[str] = (),
    lower_is_better: bool = False,
    groups: Groups | None = None,
    before_epoch: Callable[[int], None] | None = None,
    after_epoch: Callable[[EpochRecord], None] | None = None,
    after_step: Callable[[], None] | None = None,
    at_once: int | None = None,
) -> Fitted:
    """Train `model`; resume from `scratch` if the same run was interrupted there.

    Args:
        model: trained in place; at the end it has the last epoch's weights.
        loss: (model, batch) -> scalar. It must call the model it is given, which may be a wrapper.
        train_batches: if it shuffles, its order is replaced by one drawn from seed and epoch.
        validate: scores the model, which is in eval mode without gradients, at the training's precision.
        settings: optimiser, schedule, unfreezing, stopping.
        stop_on: name of the score that early stopping watches.
        scratch: folder of this run and process, for its state and the best weights.
        run_id: identifies everything else that decides the result (a hash of data, code and architecture). A
            state with another run_id or other settings is ignored.
        keep: further scores whose best weights to keep.
        lower_is_better: whether all kept scores improve downwards, e.g. RMSE.
        groups: layer groups, bottom to top, for discriminative rates and gradual unfreezing.
        before_epoch: called before every epoch, with its number from 0.
        after_epoch: called with every epoch's record; a resumed run first repeats those of past epochs.
        after_step: called after every optimiser step, e.g. to advance a progress bar.
        at_once: samples of a batch in memory at a time (gradient accumulation), for losses that are means
            over samples. Batch norms see this many samples. None: the whole batch.

    Returns:
        The best epoch by `stop_on` and by each score of `keep`, and the history of all epochs.

    Raises:
        ValueError: `groups` don't fit the model, there is no batch, or `validate` lacks a kept score.
        ValaroError: the loss, the weights or the predictions became infinite or NaN.
    """
    if not len(train_batches):
        raise ValueError("train_batches holds no batch; at least one is needed")
    with _deterministic(torch_device()), threads_for(model):
        wanted = sorted({stop_on, *keep})
        fingerprint = f"{settings.model_dump_json()} {stop_on} {wanted} {lower_is_better} {run_id}"
        run = _Run(model, train_batches, settings, groups or one_group(model), scratch, fingerprint, at_once)
        run.resume()
        for record in run.outcome.history:
            if after_epoch:
                after_epoch(record)
        while not run.is_over(stop_on):
            if before_epoch:
                before_epoch(len(run.outcome.history))
            train_loss = run.train_epoch(loss, after_step)
            scores = run.score(validate)
            record = run.finish_epoch(train_loss, scores, wanted, lower_is_better)
            if after_epoch:
                after_epoch(record)
        run.save()
        run.unwrap()
    return run.outcome


def epoch_seed(seed: int, epoch: int) -> int:
    """Seed of an epoch, counted from 0: for its order, dropout and augmentation."""
    return (seed * 100_003 + epoch) % SEEDS


class _Run:
    """A run in progress: everything that changes between epochs."""

    def __init__(
        self,
        model: nn.Module,
        train_batches: DataLoader[Any],
        settings: OptimSettings,
        groups: Groups,
        scratch: Path,
        fingerprint: str,
        at_once: int | None,
    ) -> None:
        check_groups(model, groups)
        self.data, self.at_once = train_batches.dataset, at_once
        self.model, self.settings, self.groups = model, settings, groups
        self.scratch, self.fingerprint = scratch, fingerprint
        self.accelerator = _accelerator(settings)
        self.batches = self.accelerator.prepare_data_loader(train_batches)
        model.to(self.accelerator.device)
        optimizer = build_optimizer(groups, settings)
        self.schedule = build_schedule(optimizer, len(self.batches), settings)
        self.optimizer = self.accelerator.prepare_optimizer(optimizer)
        self.wrapped: nn.Module = model
        self.trained_groups = 0
        self.outcome = Fitted({}, [])
        self.average = Average(model, settings.ema) if settings.ema else None
        self.new_weights: dict[Path, dict[str, Tensor]] = {}
        self.saved_epochs, self.saved_at_s = 0, time.monotonic()

    def is_over(self, stop_on: str) -> bool:
        """Whether all epochs are done, or `stop_on` hasn't improved for `patience` epochs."""
        done = len(self.outcome.history)
        stale = done - self.outcome.best[stop_on].epoch if done else 0
        return done >= self.settings.epochs or stale >= self.settings.patience

    def train_epoch(self, loss: Loss, after_step: Callable[[], None] | None) -> float:
        """Train for one pass over the batches; return the mean loss."""
        epoch = len(self.outcome.history)
        seed = epoch_seed(self.settings.seed, epoch)
        set_seed(seed, device_specific=True)
        if hasattr(self.data, "draw_from"):  # Accelerate calls `set_epoch` of a data set, without a seed
            self.data.draw_from(seed)
        self._unfreeze(epoch)
        train_mode(self.wrapped)
        self.batches.set_epoch(epoch)
        total = torch.zeros((), device=self.accelerator.device)
        for batch in self.batches:
            total += self._step(loss, batch)
            if after_step:
                after_step()
        return self._checked(float(total) / len(self.batches))

    def _unfreeze(self, epoch: int) -> None:
        """Wrap the model again when more of it trains: data-parallel wrappers fix the trained parameters."""
        first, before = self.settings.unfrozen_groups, self.trained_groups
        self.trained_groups = unfreeze_top(self.groups, None if first is None else first + epoch)
        if self.trained_groups != before:
            self.unwrap()
            self.wrapped = self.accelerator.prepare_model(self.model) if self._wraps else self.model

    def unwrap(self) -> None:
        """Remove the wrapper that mixed precision put around the model's forward method."""
        if self._wraps:
            self.accelerator.unwrap_model(self.wrapped, keep_fp32_wrapper=False)

    @property
    def _wraps(self) -> bool:
        """Whether Accelerate must wrap the model; without need, the call would import sympy (2 s)."""
        return self.settings.mixed_precision != "no" or self.accelerator.num_processes > 1

    def _step(self, loss: Loss, batch: Any) -> Tensor:
        """Do one optimiser step; return the loss of the batch."""
        self.optimizer.zero_grad()
        total = torch.zeros((), device=self.accelerator.device)
        for part, share in parts_of(batch, self.at_once):
            value = loss(self.wrapped, part) * share if share < 1 else loss(self.wrapped, part)
            self.accelerator.backward(value)
            total += value.detach().float()
        if self.settings.max_grad_norm > 0:
            self.accelerator.unscale_gradients()  # its own clipping would import DTensor, and sympy (1 s)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.max_grad_norm)
        self.optimizer.step()
        self.schedule.step()
        if self.average:
            self.average.update(self.model)
        return total

    def _checked(self, mean_loss: float) -> float:
        if not math.isfinite(mean_loss):
            raise self._diverged(f"training loss became {mean_loss}")
        if not all(bool(weight.isfinite().all()) for weight in self.model.parameters()):  # by the last step
            raise self._diverged("weights became infinite or NaN")
        return mean_loss

    def _diverged(self, what: str) -> ValaroError:
        epoch, settings = len(self.outcome.history) + 1, self.settings
        return ValaroError(
            f"the {what} in epoch {epoch}: lower learning_rate (now {settings.learning_rate}) or lengthen "
            f"warmup_steps ({settings.warmup_steps})"
        )

    def score(self, validate: Validate) -> dict[str, float]:
        """Validate in every process; all take the first one's scores, so that all stop at the same epoch."""
        self.model.eval()
        with torch.no_grad(), self.average.in_place(self.model) if self.average else nullcontext():
            try:
                scores = [{name: float(value) for name, value in validate(self.model).items()}]
            except NotFinite:
                raise self._diverged("predictions became infinite or NaN") from None
        broadcast_object_list(scores)
        return scores[0]

    def finish_epoch(
        self, train_loss: float, scores: dict[str, float], keep: list[str], lower_is_better: bool
    ) -> EpochRecord:
        """Record the epoch, and keep its weights if they are the best by some score."""
        if missing := set(keep) - scores.keys():
            raise ValueError(f"validate gave {sorted(scores)}, without {sorted(missing)}")
        history, best = self.outcome.history, self.outcome.best
        rate = float(self.schedule.get_last_lr()[-1])
        record = EpochRecord(len(history) + 1, train_loss, scores, rate, self.trained_groups)
        history.append(record)
        for name in keep:
            if name not in best or best[name].beaten_by(scores[name], lower_is_better):
                best[name] = Best(record.epoch, scores[name], weights_file(self.scratch, record.epoch))
        wanted = {each.weights for each in best.values()}
        if (file := weights_file(self.scratch, record.epoch)) in wanted:
            weights = self.average.weights() if self.average else self.model.state_dict()
            self.new_weights[file] = copy_of(weights)
        self.new_weights = {file: self.new_weights[file] for file in wanted & self.new_weights.keys()}
        if time.monotonic() - self.saved_at_s >= SAVED_EVERY_S:
            self.save()
        self.accelerator.wait_for_everyone()
        return record

    def save(self) -> None:
        """Save the state where it isn't yet. Every process does: each has a scratch folder of its own."""
        if self.saved_epochs == len(self.outcome.history):
            return
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        save_run(self.scratch, self.fingerprint, self.outcome, self.model, parts, self.new_weights)
        self.new_weights, self.saved_at_s = {}, time.monotonic()
        self.saved_epochs = len(self.outcome.history)

    def resume(self) -> None:
        """Load the state in the scratch folder, if it belongs to this run."""
        if saved := load_run(self.scratch, self.fingerprint, self.model):
            self.outcome, states = saved
            self.saved_epochs = len(self.outcome.history)
            for name, part in self._parts().items():
                part.load_state_dict(states[name])

    def _parts(self) -> dict[str, Any]:
        """What has a state besides the model; a gradient scaler only in half precision."""
        parts = {"optimizer": self.optimizer, "schedule": self.schedule, "scaler": self.accelerator.scaler}
        parts["average"] = self.average
        return {name: part for name, part in parts.items() if part is not None}


def parts_of(batch: Any, at_once: int | None) -> Iterator[tuple[Any, float]]:
    """Split a batch (tensors of equal length) into parts of at most `at_once`, each with its share."""
    size = len(batch[0]) if at_once else 0
    if at_once is None or size <= at_once:
        yield batch, 1.0
        return
    parts = -(-size // at_once)  # of nearly equal sizes: a batch norm can't train on a remainder of one
    bounds = [size * k // parts for k in range(parts + 1)]
    for first, stop in pairwise(bounds):
        part = [tensor[first:stop] for tensor in batch]
        named = type(batch)(*part) if hasattr(batch, "_fields") else type(batch)(part)
        yield named, (stop - first) / size


def _accelerator(settings: OptimSettings) -> Accelerator:
    """A new accelerator; the state of an earlier fit, which Accelerate keeps per process, is reset."""
    AcceleratorState._reset_state(reset_partial_state=int(os.environ.get("WORLD_SIZE", "1")) == 1)
    # A loss may not use all outputs of the model (fine-tuning doesn't use the emotions).
    parallel = DistributedDataParallelKwargs(find_unused_parameters=True)
    loading = DataLoaderConfiguration(split_batches=True, use_seedable_sampler=True, data_seed=settings.seed)
    device = torch.device(torch_device())
    if device.index is not None:
        torch.cuda.set_device(device)  # Accelerate takes the current one
    return Accelerator(
        cpu=device.type == "cpu",
        mixed_precision=settings.mixed_precision,
        dataloader_config=loading,
        kwargs_handlers=[parallel],
    )


@contextmanager
def _deterministic(device: str) -> Iterator[None]:
    """Use deterministic CUDA kernels where they exist; torch warns where they don't.

    On the CPU the operations used here are deterministic for a given number of threads, and the switch would
    import torch's compiler (4 s).
    """
    if device == "cpu":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
