"""From raw video to features in x real time, stage by stage, and what that makes of Aff-Wild2's 594 videos.

    python benchmarks/throughput.py [--videos 4] [--seconds 20] [--detector retinaface] [--device cuda]

Runs `dvc repro` of the per-video stages, then the stage `embed`, on links to one clip of 640 x 480 at 30
Hz, in a repository of its own, and reads the stages' own run log (`valaro speed`). The last row is what the
stage `predict` does with each voice: a model of the paper's shape over windows of 4 s every 2 s. Models are
EfficientNet-B1 at 240 and 12 layers of wav2vec 2.0, with random weights, which cost the same. A second of
video costs each stage so many seconds; the corpus has 28 hours of it.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from corpus import Project, film
from measure import arguments, machine, save
from windows import HOP_S, PAPER, STEP_S, WINDOW_S

from stages.audio.backbone import build_backbone
from stages.audio.model import AudioModel
from stages.audio.networks import TorchAudio
from stages.audio.recording import predict_recording
from stages.audio.speaking import tiling_windows
from stages.core.params import BackboneParams
from stages.core.weights import find_weights
from stages.media.sound import read_wav, to_mono
from stages.training.checkpoints import save_model
from stages.vision.architectures import build_static
from stages.vision.backbones import static_config

CORPUS_H, CORPUS_VIDEOS = 28.0, 594
PER_VIDEO = ("index", "decode", "faces", "mouth", "voice", "speech", "embed")
BACKBONE = {"architecture": "efficientnet_b1", "input": "face", "image_size": 240, "weights": None}
CHANGES: dict[str, dict[str, Any]] = {
    "finetune": {"compare": ["paper"], "backbones": {"paper": BACKBONE | {"options": {}}}},
    "embed": {"backbone": "paper"},
}


def save_static(path: Path) -> None:
    """The paper's static model, drawn at random."""
    config = static_config(BackboneParams(**CHANGES["finetune"]["backbones"]["paper"]), 0.1, True)
    save_model(path, build_static(config), config)


def hear(voice: Path, seconds: float, device: str) -> float:
    """Seconds that the paper's audio model takes for a voice."""
    model = AudioModel(build_backbone(PAPER | {"num_hidden_layers": 12}), "v3", trainable_layers=0)
    model.eval().to(device)
    waveform, rate_hz = read_wav(voice)
    windows_s = tiling_windows(seconds, window_s=WINDOW_S, hop_s=HOP_S, step_s=STEP_S)
    began = time.perf_counter()
    predict_recording(
        TorchAudio(model), to_mono(waveform), windows_s, steps=round(seconds / STEP_S), rate_hz=rate_hz
    )
    return time.perf_counter() - began


def main() -> None:
    """Measure, print, and keep."""
    chosen = arguments(__doc__, videos=4, seconds=20.0, detector="retinaface", weights="models/pretrained")
    os.environ["VALARO_DEVICE"] = chosen.device
    if chosen.detector == "retinaface":
        found = find_weights("retinaface", Path(chosen.weights)).parent.resolve()
        os.environ["VALARO_WEIGHTS"] = str(found)
    place = Path(tempfile.mkdtemp())
    film(place / "clip.mp4", chosen.seconds)
    project = Project(place / "project", CHANGES | {"faces": {"detector": chosen.detector, "min_score": 0.8}})
    project.lay(place / "clip.mp4", range(chosen.videos))
    project.run("dvc", "repro", "mouth", "voice", "speech")
    save_static(project.folder / "models/static/paper.safetensors")
    project.run(sys.executable, "-m", "stages.embed")
    rows, hours = [], 0.0
    media_s = chosen.videos * chosen.seconds
    for run in sorted(project.last_runs(), key=lambda run: PER_VIDEO.index(run.stage)):
        factor = media_s / run.wall_s
        hours += CORPUS_H / factor
        rows.append(
            f"| {run.stage} | {run.wall_s:.1f} | {factor:,.1f} | {run.peak_mb:.0f} | {run.workers} "
            f"| {CORPUS_H / factor:.2f} |"
        )
    voice = next((project.folder / "data/voice").glob("*.wav"))
    heard_s = hear(voice, chosen.seconds, chosen.device)
    hours += CORPUS_H * heard_s / chosen.seconds
    rows.append(
        f"| wav2vec 2.0 (one video) | {heard_s:.1f} | {chosen.seconds / heard_s:,.1f} | | 1 here "
        f"| {CORPUS_H * heard_s / chosen.seconds:.2f} |"
    )
    save(
        chosen,
        "throughput",
        "From raw video to features",
        [
            f"{chosen.videos} videos of {chosen.seconds:g} s, 640 x 480 at 30 Hz, {chosen.detector}, "
            f"classical voice. Worker start-up is within. {machine(chosen.device)}",
            "",
            f"| stage | s | x real time | peak MB | workers | h for {CORPUS_H:g} h of video |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            f"- together **{CORPUS_H / hours:.1f} x** real time: **{hours:.1f} h** for the "
            f"{CORPUS_VIDEOS} videos on this machine",
        ],
    )


if __name__ == "__main__":
    main()
