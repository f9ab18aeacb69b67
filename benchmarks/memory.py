"""Peak memory of every per-video stage for a long track, beside that for a short one.

    python benchmarks/memory.py

The long video is the short one's packets over and over, so that the tracks differ in length alone. One
worker, one thread, a process per stage and length. A stage's network and its libraries are in both peaks.
"""

import os
import shutil
import tempfile
from pathlib import Path

import av
from corpus import Project, film
from measure import arguments, machine, save

STAGES = ("index", "decode", "faces", "mouth", "voice", "speech", "embed")
EXPORTING = "embed, the first time: PyTorch exports its network"
LIMIT_MB = 500
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


def peaks(place: Path, clip: Path, voice: str) -> dict[str, float]:
    """MB of every stage on one video, by the run log."""
    changes = {"compute": {"jobs": 1}, "voice": {"backend": voice}, "submission": {"sample_file": None}}
    project = Project(place, changes)
    project.lay(clip, range(1))
    save_network(project.folder / "models/static/test_resnet.safetensors")
    for stage in STAGES:
        project.run("python", "-m", f"stages.{stage}")
    runs = project.last_runs()
    found = {stage: max(run.peak_mb for run in runs if run.stage == stage) for stage in STAGES}
    shutil.rmtree(project.folder / ".valaro/memo/embed")
    project.run("python", "-m", "stages.embed")
    again = next(run.peak_mb for run in project.last_runs() if run.stage == "embed")
    return {**found, "embed": again, EXPORTING: found["embed"]}


def save_network(path: Path) -> None:
    """The sample's static model, drawn at random."""
    from stages.core.params import load_params
    from stages.training.checkpoints import save_model
    from stages.vision.architectures import build_static
    from stages.vision.backbones import describe, static_config

    settings = load_params(Path(__file__).resolve().parents[1] / "profiles" / "sample.yaml").finetune
    config = static_config(describe(settings, "test_resnet"), settings.dropout, settings.tanh_output)
    save_model(path, build_static(config), config)


def main() -> None:
    """Measure, print, and keep."""
    chosen = arguments(__doc__, minutes=26.0, width=640, height=480, voice="classical")
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    place = Path(tempfile.mkdtemp())
    film(place / "short.mp4", 10.0, chosen.width, chosen.height)
    repeat(place / "short.mp4", place / "long.mp4", max(1, round(chosen.minutes * 6)))
    short = peaks(place / "a", place / "short.mp4", chosen.voice)
    long = peaks(place / "b", place / "long.mp4", chosen.voice)
    growth = max(long[stage] - short[stage] for stage in short)
    over = [stage for stage in short if long[stage] > LIMIT_MB]
    save(
        chosen,
        "memory",
        "Memory of a long track",
        [
            f"{chosen.width} x {chosen.height} at 30 Hz with stereo sound, {chosen.minutes:g} min beside "
            f"10 s; {chosen.voice} voice, BlazeFace, a small network. {machine(chosen.device)}",
            "",
            "| stage | peak MB, 10 s | peak MB, long | more |",
            "|---|---|---|---|",
            *(
                f"| {stage} | {short[stage]:.0f} | {long[stage]:.0f} | {long[stage] - short[stage]:.0f} |"
                for stage in short
            ),
            "",
            f"- the long track takes at most {growth:.0f} MB more, **{growth / max(short.values()):.0%}** of "
            f"what the largest takes; over {LIMIT_MB} MB: {', '.join(over) or 'none'}",
        ],
    )
    shutil.rmtree(place)


if __name__ == "__main__":
    main()
