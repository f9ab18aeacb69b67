"""From raw video to features: the stages, the networks, and another checkout of the project beside them.

    git worktree add /tmp/before COMMIT && python benchmarks/throughput.py --against /tmp/before
    python benchmarks/throughput.py [--videos 4] [--seconds 20] [--detector retinaface] [--device cuda]

The checkouts take turns on links to one clip of 640 x 480 at 30 Hz, each in a repository of its own; this one
computes in float32 and, where the processor has it, in bfloat16. Stages are whole processes, start and
imports within. The networks are measured by the unit, in a process that has done one before: EfficientNet-B1
at 240 on every face, 12 layers of wav2vec 2.0 over windows of 4 s every 2 s, both with random weights, which
cost the same. `training's input` is a crop's JPEG to an augmented image. Ratios are of processor time,
whatever else the machine does.
"""

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from corpus import CHECKOUT, Project, film
from measure import arguments, before, machine, save
from windows import PAPER

from stages.audio.backbone import build_backbone, plain_config
from stages.audio.model import AudioModel
from stages.core.params import BackboneParams
from stages.core.weights import find_weights
from stages.inference.engines import has_bfloat16
from stages.training.checkpoints import save_model
from stages.vision.architectures import build_static
from stages.vision.backbones import static_config

CORPUS_H, CORPUS_VIDEOS = 28.0, 594
STAGES = ("decode", "faces", "mouth", "voice", "speech", "embed")
BACKBONE = {"architecture": "efficientnet_b1", "input": "face", "image_size": 240, "weights": None}
CHANGES: dict[str, dict[str, Any]] = {
    "finetune": {"compare": ["paper"], "backbones": {"paper": BACKBONE | {"options": {}}}},
    "embed": {"backbone": "paper"},
    "compute": {"jobs": 1},
    "voice": {"backend": "classical"},  # profiles differ
    "submission": {"sample_file": None},
}
EMBEDDING, HEARING, INPUT = "embedding", "wav2vec 2.0", "training's input"
UNITS = """
import importlib, json, time
from stages import embed, predict
from stages.core.corpus import Workspace
from stages.core.params import load_params
try:
    from stages.engine.units import do_unit
except ImportError:  # an earlier checkout
    from stages.core.stage import do_unit
params, place = load_params(), Workspace()
corpus, compute = place.corpus(), [params.compute] if hasattr(params.compute, "engine") else []
faces = embed.units(place, place, corpus, params.embed, *compute)
voices = predict.audio_units(place, place, corpus.subjects, params.audio.version, *compute)
works = {"embedding": (embed.embed_subject, faces, params.embed),
         "wav2vec 2.0": (predict.predict_audio, voices, None)}
took = {}
for name, (work, units, settings) in works.items():
    for unit in units:
        for path in unit.writes.values():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
        wall, cores = time.perf_counter(), time.process_time()
        do_unit(work, unit, settings)
        took.setdefault(name, []).append([time.perf_counter() - wall, time.process_time() - cores])
import cv2, numpy, torch
from stages.media.jpeg import pack_jpegs, unpack_jpeg
from stages.vision.augmentation import build_augmentation
try:
    from stages.vision.crops import shown
except ImportError:  # an earlier checkout
    from stages.vision.crops import letterbox
    shown = lambda crop, box, size: letterbox(crop, size)
cv2.setNumThreads(1)
noise = numpy.random.default_rng(0).integers(0, 256, (12, 10, 3), numpy.uint8)
blob, offset = pack_jpegs([cv2.resize(noise, (300, 360), interpolation=cv2.INTER_CUBIC)] * 60)
chosen = params.finetune.augmentation
augment = build_augmentation(chosen.names, chosen.probability)
for turn in range(3):
    wall, cores = time.perf_counter(), time.process_time()
    for k in range(60):
        torch.manual_seed(k)
        augment(torch.from_numpy(shown(unpack_jpeg(blob, offset, k), None, 240)).permute(2, 0, 1))
    took.setdefault("training's input", []).append(
        [time.perf_counter() - wall, time.process_time() - cores])
print(json.dumps({name: times[1:] or times for name, times in took.items()}))
"""
"""What a project runs to measure its own networks: the names are those of both checkouts."""

Took = dict[str, list[tuple[float, float]]]
"""Wall and processor seconds of every call, by what was called."""


def save_models(folder: Path, layers: int) -> None:
    """The paper's static and audio model, drawn at random."""
    static = static_config(BackboneParams(**CHANGES["finetune"]["backbones"]["paper"]), 0.1, True)
    save_model(folder / "models/static/paper.safetensors", build_static(static), static)
    backbone = build_backbone(PAPER | {"num_hidden_layers": layers})
    head = {"version": "v3", "trainable_layers": 0}
    facts = {"backbone": plain_config(backbone), "head": head, "normalisation": "window"}
    times = {"window_s": 4.0, "hop_s": 2.0, "fps_hz": 5.0}
    save_model(folder / "models/audio/v3.safetensors", AudioModel(backbone, **head), facts | times)


def ways_of(place: Path, against: str, detector: dict[str, Any]) -> dict[str, Project]:
    """A repository for every way to compute."""
    now = {"now, float32": {"engine": "auto", "precision": "float32"}}
    if has_bfloat16():
        now["now, bfloat16"] = {"engine": "auto", "precision": "bfloat16"}
    changes = CHANGES | {"faces": detector}
    ways = {"before": Project(place / "before", changes, Path(against))} if against else {}
    return ways | {
        name: Project(place / f"now{number}", changes | {"compute": CHANGES["compute"] | compute}, CHECKOUT)
        for number, (name, compute) in enumerate(now.items())
    }


def measure(project: Project, took: Took) -> None:
    """Every stage from nothing, then the networks; adds to what was taken before."""
    for part in (*(f"data/{stage}" for stage in STAGES), "data/embeddings", ".valaro/memo", ".valaro/blobs"):
        shutil.rmtree(project.folder / part, ignore_errors=True)
    for stage in STAGES:
        wall, cores = time.perf_counter(), sum(os.times()[2:4])
        project.run(sys.executable, "-m", f"stages.{stage}")
        took[stage].append((time.perf_counter() - wall, sum(os.times()[2:4]) - cores))
    for name, calls in json.loads(project.run(sys.executable, "-c", UNITS).splitlines()[-1]).items():
        took[name] += [tuple(call) for call in calls]


def rows_of(took: dict[str, Took], videos: int) -> tuple[list[str], dict[str, float]]:
    """A row of medians for every part, and processor seconds from raw video to features of every way."""
    first, names = next(iter(took)), list(took)
    head = [f"processor s, {name}" for name in names] + [f"wall s, {name}" for name in names]
    ratios = [f"{name}: times less" for name in names[1:]]
    lines = [f"| | {' | '.join(head + ratios)} |", "|---" * (1 + len(head) + len(ratios)) + "|"]
    whole = dict.fromkeys(names, 0.0)
    for part in took[first]:
        medians = {
            name: [statistics.median(call[k] for call in took[name][part]) for k in (0, 1)] for name in names
        }
        cells = [f"{medians[name][k]:.2f}" for k in (1, 0) for name in names]
        cells += [f"{medians[first][1] / medians[name][1]:.2f}" for name in names[1:]]
        lines.append(f"| {part} | {' | '.join(cells)} |")
        times = {HEARING: videos, EMBEDDING: 0, INPUT: 0}.get(part, 1)  # embedding is in the stage embed
        for name in names:
            whole[name] += times * medians[name][1]
    return lines, whole


def main() -> None:
    """Measure, print, and keep."""
    chosen = arguments(
        __doc__,
        against="",
        videos=4,
        seconds=20.0,
        rounds=1,
        layers=12,
        detector="retinaface",
        weights="models/pretrained",
    )
    os.environ["VALARO_DEVICE"] = chosen.device
    detector = {"detector": chosen.detector}
    if chosen.detector == "retinaface":
        found = find_weights("retinaface", Path(chosen.weights)).parent.resolve()
        os.environ["VALARO_WEIGHTS"] = str(found)
        detector["min_score"] = 0.8  # type: ignore[assignment]
    place = Path(tempfile.mkdtemp())
    film(place / "clip.mp4", chosen.seconds)
    save_models(place, chosen.layers)
    ways = ways_of(place, chosen.against, detector)
    took: dict[str, Took] = {name: defaultdict(list) for name in ways}
    for project in ways.values():
        project.lay(place / "clip.mp4", range(chosen.videos))
        shutil.copytree(
            place / "models", project.folder / "models", copy_function=os.link, dirs_exist_ok=True
        )
        project.run(sys.executable, "-m", "stages.index")
        measure(project, defaultdict(list))  # graphs are exported once for every model
    for _ in range(chosen.rounds):
        for name, project in ways.items():
            measure(project, took[name])
    rows, whole = rows_of(took, chosen.videos)
    media_s = chosen.videos * chosen.seconds
    first = next(iter(whole))
    save(
        chosen,
        "throughput",
        "From raw video to features",
        [
            f"{chosen.videos} videos of {chosen.seconds:g} s, 640 x 480 at 30 Hz, {chosen.detector}, "
            f"classical voice, one worker; medians of {chosen.rounds} round(s) in turns after one "
            f"that isn't counted. Stages are of all videos with the start of their process, {EMBEDDING} "
            f"and {HEARING} of one video without it, {INPUT} of 60 crops. "
            f"{before(chosen.against)}{machine(chosen.device)}",
            "",
            *rows,
            "",
            *(
                f"- {name}: raw video to features takes {cores_s / media_s:.3f} s of processor time a second "
                f"of video, **{cores_s / media_s * CORPUS_H:.1f} h** for the {CORPUS_VIDEOS} videos on one "
                f"core{f'; **{whole[first] / cores_s:.2f} x** less than {first}' if name != first else ''}"
                for name, cores_s in whole.items()
            ),
        ],
    )
    shutil.rmtree(place)


if __name__ == "__main__":
    main()
