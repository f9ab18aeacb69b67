"""wav2vec 2.0: valence and arousal of a recording, against the bare model on random windows.

    python benchmarks/windows.py [--layers 12] [--seconds 30] [--device cuda]

The model has the paper's shape (12 layers of 1024) and random weights, which cost the same. `ours` cuts
windows of 4 s every 2 s, normalises each by its own level, runs the audio model on them and averages where
they overlap; the bare pass is the same model on as many ready windows. `ours, recording` normalises all by
the level of the recording (audio.normalisation), so that windows that overlap share their convolutions. The
last line says which share of the bare pass the convolutions are.
"""

from typing import Any

import numpy as np
import torch
from measure import arguments, machine, save, synchronise, table, take_turns

from stages.audio.backbone import build_backbone
from stages.audio.model import AudioModel
from stages.audio.networks import TorchAudio
from stages.audio.recording import predict_recording
from stages.audio.speaking import tiling_windows
from stages.engine.runlog import peak_mb

RATE_HZ, WINDOW_S, HOP_S, STEP_S = 16_000, 4.0, 2.0, 0.2
PAPER = {
    "hidden_size": 1024,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "conv_bias": True,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
}


def main() -> None:
    """Compare, print, and keep."""
    chosen = arguments(__doc__, layers=12, seconds=30, batch=8, rounds=3)
    backbone = build_backbone(PAPER | {"num_hidden_layers": chosen.layers})
    model = AudioModel(backbone, "v3", trainable_layers=0).eval().to(chosen.device)
    waveform = np.random.default_rng(0).standard_normal(chosen.seconds * RATE_HZ).astype(np.float32) / 10
    windows_s = tiling_windows(chosen.seconds, window_s=WINDOW_S, hop_s=HOP_S, step_s=STEP_S)
    ready = torch.randn(chosen.batch, round(WINDOW_S * RATE_HZ), device=chosen.device)
    mask = torch.ones_like(ready, dtype=torch.bool)
    sizes = [min(chosen.batch, len(windows_s) - k) for k in range(0, len(windows_s), chosen.batch)]

    @torch.inference_mode()
    def bare() -> None:
        for size in sizes:
            model(ready[:size], mask[:size])

    @torch.inference_mode()
    def convolutions() -> None:
        for size in sizes:
            model.backbone.feature_extractor(ready[:size])

    def ours(normalisation: Any) -> None:
        predict_recording(
            TorchAudio(model),
            waveform,
            windows_s,
            steps=round(chosen.seconds / STEP_S),
            window_s=WINDOW_S,
            step_s=STEP_S,
            rate_hz=RATE_HZ,
            batch=chosen.batch,
            normalisation=normalisation,
        )

    timings = take_turns(
        {
            "bare model": bare,
            "its convolutions alone": convolutions,
            "ours, window": lambda: ours("window"),
            "ours, recording": lambda: ours("recording"),
        },
        chosen.rounds,
        synchronise(chosen.device),
    )
    limit, front, window, recording = timings.values()
    save(
        chosen,
        "windows",
        "wav2vec 2.0 windows",
        [
            f"{chosen.layers} layers of 1024, float32, {chosen.seconds} s of sound in "
            f"{len(windows_s)} windows, batches of {chosen.batch}; peak memory {peak_mb():.0f} MB. "
            f"{machine(chosen.device)}",
            "",
            *table(timings, chosen.seconds, "s of sound"),
            "",
            f"- ours reaches **{limit.fastest_s / window.fastest_s:.0%}** of the bare model, "
            f"**{chosen.seconds / window.fastest_s:.1f} x** real time; with shared convolutions "
            f"**{limit.fastest_s / recording.fastest_s:.0%}**, "
            f"**{chosen.seconds / recording.fastest_s:.1f} x** real time",
            f"- the convolutions are {front.fastest_s / limit.fastest_s:.0%} of the bare model",
        ],
    )


if __name__ == "__main__":
    main()
