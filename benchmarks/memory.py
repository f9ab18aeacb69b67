"""Peak memory of every per-video stage for a long track, beside that for a short one.

    python benchmarks/memory.py --weights models/pretrained

The long video is the short one's packets over and over, so that the tracks differ in length alone. One
worker, one thread, a process per stage and length. A stage's network and its libraries are in both peaks.
The folder holds the weights of RetinaFace and Spleeter; what is missing there is left out of the report.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import av
import yaml
from corpus import CHECKOUT, Project, film
from measure import arguments, machine, save
from ruamel.yaml import YAML

LIMIT_MB = 500


class Part(NamedTuple):
    """A stage with some of its parameters.

    Args:
        label: in the report.
        stage: its name.
        changes: of the sample profile's parameters, by section.
        weights: a file that it needs in `models/pretrained/`.
        network: whether it exports one.
    """

    label: str
    stage: str
    changes: dict[str, dict[str, Any]]
    weights: str = ""
    network: bool = False


RETINAFACE, SPLEETER = "mobilenet0.25_Final.pth", "spleeter_2stems.safetensors"
EFFICIENTNET = {"backbone": "efficientnet_b1", "batch_size": 256}
"""As the profiles for Aff-Wild2 have it."""
PARTS = (
    *(Part(stage, stage, {}) for stage in ("index", "decode")),
    Part("faces, BlazeFace", "faces", {"faces": {"detector": "blazeface_short"}}),
    Part("mouth", "mouth", {}),
    Part("voice, classical", "voice", {"voice": {"backend": "classical"}}),
    Part("speech", "speech", {}),
    Part("embed, a small network", "embed", {"embed": {"backbone": "test_resnet"}}, network=True),
    Part("embed, EfficientNet-B1", "embed", {"embed": EFFICIENTNET}, network=True),
    Part(
        "voice, Spleeter",
        "voice",
        {"voice": {"backend": "spleeter_torch"}},
        "spleeter_2stems.safetensors",
        True,
    ),
    Part("faces, RetinaFace", "faces", {"faces": {"detector": "retinaface"}}, RETINAFACE),
)
RUN = """
import resource, time
from stages.engine.stage import main

main("{stage}")
time.sleep({wait_s})
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""
WAIT_S = 8
"""Until the process that exports has ended: only then it is counted."""
PAUSE_S = 0.2
"""Between one turn and the next: packets are stamped for decoding ahead of their time."""


def repeat(clip: Path, out: Path, times: int) -> None:
    """The packets of a clip, many times over."""
    with av.open(str(out), "w") as target, av.open(str(clip)) as first:
        streams = {s.index: target.add_stream_from_template(s) for s in first.streams}
        length_s = float(first.duration or 0) / 1e6 + PAUSE_S
        for turn in range(times):
            with av.open(str(clip)) as source:
                for packet in source.demux():
                    if packet.dts is None or packet.pts is None:
                        continue
                    shift = round(turn * length_s / packet.time_base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = streams[packet.stream.index]
                    target.mux(packet)


class Peaks(NamedTuple):
    """MB of a stage, and of the process that exported its network; 0 without one."""

    stage: float
    export: float


def peaks(place: Path, clip: Path, weights: Path) -> dict[str, Peaks]:
    """Of every part whose weights are in that folder, on one video, from nothing."""
    backbones = {
        name: described | {"weights": None}
        for profile in ("sample", "affwild2")
        for name, described in profile_of(profile)["finetune"]["backbones"].items()
        if name in ("test_resnet", "efficientnet_b1")
    }
    project = Project(
        place,
        {
            "compute": {"jobs": 1},
            "submission": {"sample_file": None},
            "finetune": {"compare": [*backbones], "backbones": backbones},
        },
    )
    project.lay(clip, range(1))
    for backbone in backbones:
        save_network(project, backbone)
    (project.folder / "models/pretrained").mkdir(parents=True)
    plain = (project.folder / "params.yaml").read_text()
    found = {}
    for part in PARTS:
        if part.weights:
            if not (weights / part.weights).is_file():
                continue
            shutil.copy(weights / part.weights, project.folder / "models/pretrained")
        params = yaml.safe_load(plain)
        for section, values in part.changes.items():
            params[section] |= values
        (project.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        code = RUN.format(stage=part.stage, wait_s=WAIT_S if part.network else 0)
        said = project.run("python", "-c", code)
        peak = max(run.peak_mb for run in project.last_runs() if run.stage == part.stage)
        found[part.label] = Peaks(peak, float(said.split()[-1]) if part.network else 0.0)
    return found


def profile_of(name: str) -> dict[str, Any]:
    """A profile's parameters."""
    read = YAML(typ="safe", pure=True).load((CHECKOUT / "profiles" / f"{name}.yaml").read_text())
    return dict(read)


def save_network(project: Project, backbone: str) -> None:
    """A static model of a project, drawn at random."""
    from stages.core.params import load_params
    from stages.training.checkpoints import save_model
    from stages.vision.architectures import build_static
    from stages.vision.backbones import describe, static_config

    settings = load_params(project.folder / "params.yaml").finetune
    config = static_config(describe(settings, backbone), settings.dropout, settings.tanh_output)
    save_model(project.folder / f"models/static/{backbone}.safetensors", build_static(config), config)


def main() -> None:
    """Measure, print, and keep."""
    chosen = arguments(__doc__, minutes=26.0, width=640, height=480, weights="models/pretrained")
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    place = Path(tempfile.mkdtemp())
    film(place / "short.mp4", 10.0, chosen.width, chosen.height)
    repeat(place / "short.mp4", place / "long.mp4", max(1, round(chosen.minutes * 6)))
    short, long = (
        peaks(place / name, place / f"{name}.mp4", Path(chosen.weights)) for name in ("short", "long")
    )
    growth = {label: long[label].stage - short[label].stage for label in short}
    most = max(growth.values())
    over = [label for label in long if long[label].stage > LIMIT_MB]
    exports = [
        f"{label.partition(', ')[2]} {peak.export:.0f} MB" for label, peak in long.items() if peak.export
    ]
    save(
        chosen,
        "memory",
        "Memory of a long track",
        [
            f"{chosen.width} x {chosen.height} at 30 Hz with stereo sound, {chosen.minutes:g} min beside "
            f"10 s; networks drawn at random, but for published ones. {machine(chosen.device)}",
            "",
            "| stage | peak MB, 10 s | peak MB, long | more |",
            "|---|---|---|---|",
            *(
                f"| {label} | {short[label].stage:.0f} | {long[label].stage:.0f} | {more:.0f} |"
                for label, more in growth.items()
            ),
            "",
            f"- the long track takes at most {most:.0f} MB more, "
            f"**{most / max(peak.stage for peak in short.values()):.0%}** of what the largest takes; "
            f"over {LIMIT_MB} MB: {', '.join(over) or 'none'}",
            f"- PyTorch exports each network once, in a process of its own: {', '.join(exports)}",
        ],
    )
    shutil.rmtree(place)


if __name__ == "__main__":
    main()
