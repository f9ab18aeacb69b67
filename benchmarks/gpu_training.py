"""Training: an epoch of every training in mixed precision, determinism, a kill and a resumption."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from gpu_networks import Sizes, audio_model, cross_attention, images, static_model
from gpu_report import Finding
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.utils.data import DataLoader

EPOCHS, PATIENCE_S = 6, 300
TOLERANCE = 1e-4


class Batch(NamedTuple):
    """The parameters that the losses here need."""

    given: Tensor
    target: Tensor


class Training(NamedTuple):
    """A model, its loss, and samples to learn from."""

    model: nn.Module
    loss: Callable[[nn.Module, Any], Tensor]
    samples: list[Batch]
    batch_size: int


def trainings(sizes: Sizes) -> Iterator[tuple[str, Callable[[], Training]]]:
    """Every training of the pipeline by the name of its stage."""
    yield "pretrain", lambda: _static(sizes, multi_task=True)
    yield "finetune", lambda: _static(sizes, multi_task=False)
    yield "train_dynamic", dynamic
    yield "train_audio", lambda: _audio(sizes)
    yield "train_cross_attention", lambda: _cross_attention(sizes)


def _targets(count: int, *shape: int) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def _samples(given: Tensor, target: Tensor) -> list[Batch]:
    return [Batch(*pair) for pair in zip(given, target, strict=True)]


def _static(sizes: Sizes, multi_task: bool) -> Training:
    from stages.training.losses import log_cosh_loss, multi_task_loss

    architecture, size_px = next(iter(sizes.architectures.items()))
    count, batch = (8, 4) if sizes.tiny else (512, 64)
    torch.manual_seed(0)
    model = static_model(architecture, size_px)

    def loss(net: nn.Module, batch: Any) -> Tensor:
        output = net(batch.given)
        if not multi_task:
            return log_cosh_loss(output.valence_arousal, batch.target)
        emotion = one_hot((batch.target[:, 0] > 0).long(), 8).float()
        weight = torch.ones(8, device=batch.target.device)
        return multi_task_loss(output.valence_arousal, batch.target, output.emotion, emotion, weight)

    return Training(model, loss, _samples(images(2, count, size_px)[0], _targets(count, 2)), batch)


def dynamic() -> Training:
    """Small enough for a run to be killed and resumed within seconds."""
    from stages.temporal.dynamic import DynamicModel
    from stages.training.losses import ccc_loss

    torch.manual_seed(0)
    given = torch.randn(256, 30, 256, generator=torch.Generator().manual_seed(3))
    target = torch.tanh(given[..., :2] + 0.1 * _targets(256, 30, 2))
    return Training(
        DynamicModel(), lambda net, b: ccc_loss(net(b.given), b.target), _samples(given, target), 32
    )


def _audio(sizes: Sizes) -> Training:
    from stages.audio.augmentation import WaveAugmentation
    from stages.training.losses import ccc_loss

    count, batch = (4, 2) if sizes.tiny else (64, 16)
    augment = WaveAugmentation()

    def loss(net: nn.Module, batch: Any) -> Tensor:
        draws = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
        return ccc_loss(net(augment(batch.given, generator=draws))[0], batch.target)

    given = torch.randn(count, 64_000, generator=torch.Generator().manual_seed(4))
    return Training(audio_model(sizes, "v3"), loss, _samples(given, _targets(count, 20, 2)), batch)


def _cross_attention(sizes: Sizes) -> Training:
    from stages.training.losses import ccc_loss

    width = 2 * 256 + sizes.audio_features
    given = torch.randn(128, 20, width, generator=torch.Generator().manual_seed(5))
    given = torch.cat([given, torch.ones(128, 20, 1)], dim=-1)
    model = cross_attention(sizes)
    return Training(
        model, lambda net, b: ccc_loss(net(b.given), b.target), _samples(given, _targets(128, 20, 2)), 16
    )


def fit_one(
    training: Training,
    scratch: Path,
    precision: str,
    epochs: int,
    after_step: Callable[[], None] | None = None,
) -> Any:
    """Train by the product's own loop."""
    from stages.core.optimisation import OptimSettings
    from stages.training.loop import fit

    settings = OptimSettings(
        learning_rate=5e-4,
        warmup_steps=2,
        epochs=epochs,
        patience=epochs,
        mixed_precision=precision,  # type: ignore[arg-type]
    )
    parameters = [p for p in training.model.parameters() if p.requires_grad]
    frozen = len(parameters) < len(list(training.model.parameters()))
    batches = DataLoader(training.samples, training.batch_size, shuffle=True, drop_last=True)  # type: ignore[arg-type]
    probe = training.samples[: training.batch_size]

    def validate(net: nn.Module) -> dict[str, float]:
        place = next(net.parameters()).device
        batch = Batch(*(torch.stack(part).to(place) for part in zip(*probe, strict=True)))
        torch.manual_seed(0)  # augmentation is part of the audio model's loss
        return {"score": -float(training.loss(net, batch))}

    return fit(
        training.model,
        training.loss,
        batches,
        validate,
        settings,
        stop_on="score",
        scratch=scratch,
        run_id="gpu",
        groups=[parameters] if frozen else None,
        after_step=after_step,
    )


def epochs(sizes: Sizes, device: str) -> Iterator[Finding]:
    """One epoch of every training in bfloat16, and of the static model in float16 with scaled gradients."""
    for name, build in trainings(sizes):
        for precision in (
            ("bf16", "fp16") if name in ("finetune", "train_dynamic") and device != "cpu" else ("bf16",)
        ):
            training = build()
            began = time.perf_counter()
            with tempfile.TemporaryDirectory() as place:
                fitted = fit_one(training, Path(place), precision, epochs=1)
            took, loss = time.perf_counter() - began, fitted.history[0].train_loss
            value = f"loss {loss:.3f}, {len(training.samples) / took:,.0f} samples/s, start-up included"
            yield Finding(f"{name}, {precision}", value, "a finite loss", math.isfinite(loss))


def determinism() -> Iterator[Finding]:
    """Two runs from one seed, float32."""
    weights = []
    for _ in range(2):
        training = dynamic()
        with tempfile.TemporaryDirectory() as place:
            fit_one(training, Path(place), "no", epochs=2)
        weights.append({name: value.cpu() for name, value in training.model.state_dict().items()})
    difference = _difference(*weights)
    yield Finding(
        "two runs, largest difference of the weights", f"{difference:.1e}", "<= 1e-6", difference <= 1e-6
    )


def kill_and_resume(device: str) -> Iterator[Finding]:
    """A run killed after its first epochs, resumed, against one that ran through."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        through = _child(place / "through", device).wait(PATIENCE_S)
        killed = _child(place / "killed", device, slow=True)
        history = place / "killed/epochs.json"
        deadline = time.monotonic() + PATIENCE_S
        while not history.is_file() and killed.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        killed.send_signal(signal.SIGKILL)
        killed.wait(PATIENCE_S)
        before = json.loads(history.read_text()) if history.is_file() else 0
        resumed = _child(place / "killed", device).wait(PATIENCE_S)
        if through or resumed or not 0 < before < EPOCHS:
            raise RuntimeError(
                f"exit status {through} and {resumed}; killed after epoch {before} of {EPOCHS}"
            )
        ends = [torch.load(place / run / "end.pt", weights_only=True) for run in ("through", "killed")]
    difference = _difference(*ends)
    value = f"killed after epoch {before} of {EPOCHS}; weights differ by {difference:.1e}"
    yield Finding(
        "killed, resumed, against run through", value, f"<= {TOLERANCE:.0e}", difference <= TOLERANCE
    )


def _child(scratch: Path, device: str, slow: bool = False) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(Path(__file__).with_name("gpu.py")), "--train-child", str(scratch)]
    return subprocess.Popen([*command, "--device", device, *(["--slow"] if slow else [])])


def train_child(scratch: Path, slow: bool) -> None:
    """What the killed process does: train, note every epoch, leave the weights."""
    from stages.training.run_state import STATE_FILE

    scratch.mkdir(parents=True, exist_ok=True)
    training = dynamic()

    def note() -> None:
        """Slow enough to be killed between two epochs."""
        time.sleep(0.02)
        if (scratch / STATE_FILE).is_file() and not (scratch / "epochs.json").is_file():
            kept = torch.load(scratch / STATE_FILE, map_location="cpu", weights_only=True)
            partial = scratch / "epochs.part"
            partial.write_text(json.dumps(len(kept["history"])))
            partial.replace(scratch / "epochs.json")

    fit_one(training, scratch, "no", EPOCHS, after_step=note if slow else None)
    torch.save({name: value.cpu() for name, value in training.model.state_dict().items()}, scratch / "end.pt")


def _difference(first: dict[str, Tensor], second: dict[str, Tensor]) -> float:
    return max(float((first[name].double() - second[name].double()).abs().max()) for name in first)
