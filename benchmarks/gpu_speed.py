"""Speed on the GPU, each against its target: detection, embeddings, windows of sound, separation, KELM."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_networks import Sizes, audio_model, images, retinaface_state, spleeter_net, static_model
from gpu_report import Finding

CANDIDATES = 100
"""Anchors of a frame over the threshold where RetinaFace's weights are random: more than a photograph has."""


def fastest_s(call: Callable[[], Any], device: str, rounds: int = 3) -> float:
    """Seconds of the fastest of some calls after one that warms up."""
    times = []
    for round_ in range(rounds + 1):
        began = time.perf_counter()
        call()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        if round_:
            times.append(time.perf_counter() - began)
    return min(times)


def detection(sizes: Sizes, device: str, weights: Path | None) -> Iterator[Finding]:
    """RetinaFace from frames in memory to boxes: the network, decoding, overlaps removed on the device."""
    from stages.vision.retinaface import RetinaFace

    count, batch = (8, 4) if sizes.tiny else (1024, 64)
    rng = np.random.default_rng(0)
    shown = [rng.integers(0, 256, (*sizes.frame_px, 3), dtype=np.uint8) for _ in range(min(count, 64))]
    frames = [shown[k % len(shown)] for k in range(count)]
    with tempfile.TemporaryDirectory() as place:
        path, kind = weights, "published weights"
        threshold = 0.8
        if path is None:
            path, kind = Path(place) / "random.pth", f"random weights, {CANDIDATES} candidates a frame"
            torch.save(retinaface_state(), path)
            threshold = _threshold(path, device, frames[0])
        # The tiny run takes the GPU's code path on a processor, too.
        precision = torch.bfloat16 if device == "cpu" else None
        detector = RetinaFace(path, device, threshold, 0.4, batch, precision, scales="native")
        found = detector.detect(frames[:batch])
    seconds = fastest_s(lambda: detector.detect(frames), device)
    rate = count / seconds
    what = f"RetinaFace at {sizes.frame_px[1]} x {sizes.frame_px[0]}, {kind}, batches of {batch}"
    yield Finding(what, f"{rate:,.0f} frames/s", ">= 3,000 frames/s", rate >= 3000)
    yield Finding("faces kept a frame", f"{sum(map(len, found)) / batch:.1f}")
    batch_of = detector._batch(frames[:batch])

    @torch.inference_mode()
    def bare() -> None:
        with torch.autocast(torch.device(device).type, detector.precision, enabled=device != "cpu"):
            detector.net(batch_of)

    yield Finding("its bare network", f"{batch / fastest_s(bare, device):,.0f} frames/s")


def _threshold(path: Path, device: str, frame: np.ndarray) -> float:
    """The score that CANDIDATES anchors of a frame exceed."""
    from stages.vision.retinaface import RetinaFace

    probe = RetinaFace(path, device, 0.5, 0.4, 1, torch.float32, scales="native")
    with torch.inference_mode():
        logits = probe.net(probe._batch([frame]))[0].flatten().float()
    level = float(logits.sort(descending=True).values[min(CANDIDATES, len(logits) - 1)])
    return min(max(1 / (1 + math.exp(-level)), 1e-6), 1 - 1e-6)


def embeddings(sizes: Sizes, device: str) -> Iterator[Finding]:
    """The compiled network of the stage `embed`, from pictures in memory, against its bare compiled pass."""
    from stages.vision.embedding import TorchNetwork

    architecture, size_px = next(iter(sizes.architectures.items()))
    batch, batches = (4, 2) if sizes.tiny else (256, 16)
    model = static_model(architecture, size_px).eval().to(device)
    model.compile(backend="eager" if device == "cpu" else "inductor")  # there, only: does it run?
    network = TorchNetwork(model, "fp16")
    pictures = np.ascontiguousarray(images(0, batch, size_px)[0].permute(0, 2, 3, 1).numpy())
    on_device = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(device)

    @torch.no_grad()
    def bare() -> None:
        with torch.autocast(torch.device(device).type, torch.float16, enabled=device != "cpu"):
            for _ in range(batches):
                model(on_device)

    limit = batch * batches / fastest_s(bare, device)
    ours = (
        batch
        * batches
        / fastest_s(lambda: network.fetch([network.answer(pictures) for _ in range(batches)]), device)
    )
    what = f"{architecture} at {size_px}, fp16, compiled, batches of {batch}"
    yield Finding(f"{what}: bare pass", f"{limit:,.0f} images/s")
    yield Finding(
        f"{what}: ours", f"{ours:,.0f} images/s, {ours / limit:.0%}", ">= 80 %", ours >= 0.8 * limit
    )


def windows(sizes: Sizes, device: str) -> Iterator[Finding]:
    """A recording through the paper's audio model, against the bare model on as many ready windows."""
    from stages.audio.networks import TorchAudio
    from stages.audio.recording import predict_recording
    from stages.audio.speaking import tiling_windows

    seconds, batch = (12, 4) if sizes.tiny else (240, 16)
    model = audio_model(sizes, "v3").eval().to(device)
    sound = np.random.default_rng(0).standard_normal(seconds * 16_000).astype(np.float32) / 10
    windows_s = tiling_windows(seconds, window_s=4.0, hop_s=2.0, step_s=0.2)
    ready = torch.randn(batch, 64_000, device=device)
    mask = torch.ones_like(ready, dtype=torch.bool)

    @torch.inference_mode()
    def bare() -> None:
        for _ in range(math.ceil(len(windows_s) / batch)):
            model(ready, mask)

    limit = fastest_s(bare, device)
    yield Finding(f"bare model, batches of {batch}", f"{seconds / limit:,.0f} x real time")
    for level in ("window", "recording"):

        def ours(level: str = level) -> None:
            predict_recording(
                TorchAudio(model),
                sound,
                windows_s,
                steps=5 * seconds,
                batch=batch,
                normalisation=level,  # type: ignore[arg-type]
            )

        took = fastest_s(ours, device)
        share, judged = limit / took, level == "window"
        target, met = (">= 80 % of the bare model", share >= 0.8) if judged else ("", None)
        value = f"{seconds / took:,.0f} x real time, {share:.0%} of the bare model"
        yield Finding(f"ours, normalised by {level}", value, target, met)


def separation(sizes: Sizes, device: str) -> Iterator[Finding]:
    """Spleeter on stereo sound, and how far its voice is from the processor's."""
    from stages.separation.spleeter import RATE_HZ, SpleeterTorch

    seconds, short = (4, 2) if sizes.tiny else (600, 12)
    rng = np.random.default_rng(0)
    mixture = (0.1 * rng.standard_normal((seconds * RATE_HZ, 2))).astype(np.float32)
    reference = SpleeterTorch(spleeter_net(sizes), "cpu", segment_frames=sizes.segment_frames)  # type: ignore[arg-type]
    voice = reference.separate(mixture[: short * RATE_HZ], RATE_HZ)
    for precision in ("float32", "bfloat16"):
        ours = SpleeterTorch(
            spleeter_net(sizes),
            device,
            precision=precision,
            segment_frames=sizes.segment_frames,  # type: ignore[arg-type]
        )
        took = fastest_s(lambda ours=ours: ours.separate(mixture, RATE_HZ), device, rounds=2)
        rate = seconds / took
        yield Finding(f"{precision}", f"{rate:,.0f} x real time", ">= 100 x real time", rate >= 100)
        there = ours.separate(mixture[: short * RATE_HZ], RATE_HZ)
        difference = float(np.abs(there - voice).max())
        target, met = ("<= 1e-3 of full scale", difference <= 1e-3) if precision == "float32" else ("", None)
        yield Finding(f"{precision}: largest difference of the voice", f"{difference:.1e}", target, met)


def kelm(sizes: Sizes, device: str) -> Iterator[Finding]:
    """An exact fit at the real corpus's size, and its predictions against the textbook's at a small one."""
    from stages.temporal.kelm import fit_kelm

    place = "cpu:0" if device == "cpu" else device  # as a device: PyTorch's solution, SciPy isn't asked
    windows, width = (300, 16) if sizes.tiny else (28_000, 512)
    rng = np.random.default_rng(0)
    features, targets = rng.standard_normal((windows, width)), rng.uniform(-1, 1, (windows, 2))
    few, gamma = min(windows, 500), 1 / width
    beta = fit_kelm(features[:few], targets[:few], kernel="rbf", c=10.0, gamma=gamma, device=place).beta
    squared = (features[:few] ** 2).sum(axis=1)
    distance = squared[:, None] + squared - 2 * features[:few] @ features[:few].T
    textbook = np.linalg.solve(np.exp(-gamma * distance) + np.eye(few) / 10, targets[:few])
    difference = float(np.abs(beta - textbook).max() / np.abs(textbook).max())
    yield Finding(
        f"beta of {few} windows, relative difference", f"{difference:.1e}", "<= 1e-3", difference <= 1e-3
    )
    began = time.perf_counter()
    fit_kelm(features, targets, kernel="rbf", c=10.0, gamma=gamma, device=place)
    took = time.perf_counter() - began
    yield Finding(f"{windows:,} windows of {width}", f"{took:.1f} s", "< 60 s", took < 60)
