"""Disk, time and memory of decode, faces and mouth, against another checkout of the project, in turns.

    git worktree add /tmp/before COMMIT && python benchmarks/frames.py --against /tmp/before

Both work on the same videos, one worker and one thread, each stage from nothing; the checkouts take turns, so
that a busy machine slows both. Processor time says what the work is, whatever else the machine does.
"""

import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import av
from corpus import CHECKOUT, Project, film
from measure import arguments, machine, save

STAGES = ("decode", "faces", "mouth")
PICTURES = ("decode", "faces")
SOUND = (".wav", ".flac")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Took(NamedTuple):
    """What a stage took, interpreter and imports included."""

    wall_s: float
    cores_s: float


def run(project: Project, stage: str) -> Took:
    """One stage of a project."""
    began, busy = time.perf_counter(), sum(os.times()[2:4])
    project.run("python", "-m", f"stages.{stage}")
    return Took(time.perf_counter() - began, sum(os.times()[2:4]) - busy)


def forget(project: Project) -> None:
    """Take away what the stages wrote and remember; the run log stays."""
    for place in (*(f"data/{stage}" for stage in STAGES), ".valaro/memo", ".valaro/blobs"):
        shutil.rmtree(project.folder / place, ignore_errors=True)


def megabytes(folder: Path) -> float:
    """Of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def size_of(video: Path) -> str:
    """A video in words."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        length_s = float(container.duration or 0) / 1e6
        return (
            f"{video.name} ({stream.codec_context.name}, {stream.width} x {stream.height}, {length_s:.1f} s)"
        )


def rows_of(took: dict[str, dict[str, list[Took]]], names: tuple[str, str]) -> list[str]:
    """A row per stage and for their sums: medians of both, and how many times less is taken."""
    lines = [
        f"| | wall s, {names[0]} | wall s, {names[1]} | times less | processor s, {names[0]} "
        f"| processor s, {names[1]} | times less |",
        "|---|---|---|---|---|---|---|",
    ]
    for label, stages in {
        **{s: (s,) for s in STAGES},
        "decode + faces": PICTURES,
        "all three": STAGES,
    }.items():
        cells = []
        for k in range(2):
            before, after = (
                statistics.median(
                    sum(of[stage][turn][k] for stage in stages) for turn in range(len(of["decode"]))
                )
                for of in (took[name] for name in names)
            )
            cells += [f"{before:.2f}", f"{after:.2f}", f"{before / after:.2f}"]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Compare, print, and keep."""
    chosen = arguments(
        __doc__, against="", videos="", seconds=10.0, rounds=3, detector="blazeface_short", weights=""
    )
    os.environ |= ONE_THREAD | ({"VALARO_WEIGHTS": chosen.weights} if chosen.weights else {})
    place = Path(tempfile.mkdtemp())
    clips = sorted(Path(chosen.videos).glob("*")) if chosen.videos else [place / "clip.mp4"]
    if not chosen.videos:
        film(clips[0], chosen.seconds, 1920, 1080)
    names = ("before", "now")
    checkouts = dict(zip(names, (Path(chosen.against or CHECKOUT), CHECKOUT), strict=True))
    changes = {
        "faces": {"detector": chosen.detector},
        "compute": {"jobs": 1},
        "submission": {"sample_file": None},
    }
    projects = {name: Project(place / name, changes, checkout) for name, checkout in checkouts.items()}
    for project in projects.values():
        for number, clip in enumerate(clips):
            project.lay(clip, range(number, number + 1))
        project.run("python", "-m", "stages.index")
    took: dict[str, dict[str, list[Took]]] = {name: {stage: [] for stage in STAGES} for name in names}
    for _ in range(chosen.rounds):
        for name, project in projects.items():
            forget(project)
            for stage in STAGES:
                took[name][stage].append(run(project, stage))
    disk = {
        name: {part: megabytes(project.folder / "data" / part) for part in PICTURES}
        for name, project in projects.items()
    }
    sound = {
        name: sum(p.stat().st_size for p in (project.folder / "data/decode").iterdir() if p.suffix in SOUND)
        / 1e6
        for name, project in projects.items()
    }
    peaks = {
        name: {stage: max(r.peak_mb for r in project.last_runs() if r.stage == stage) for stage in STAGES}
        for name, project in projects.items()
    }
    before, now = (sum(disk[name].values()) for name in names)
    pictures = [total - sound[name] for total, name in zip((before, now), names, strict=True)]
    save(
        chosen,
        "frames",
        "Frames from the videos",
        [
            f"{', '.join(map(size_of, clips))}; {chosen.detector}, one worker, one thread, start of the "
            f"interpreter and imports within; medians of {chosen.rounds} rounds in turns. "
            f"{machine(chosen.device)}",
            "",
            *rows_of(took, names),
            "",
            f"- **{before / now:.1f} x** less on the disk, "
            f"**{pictures[0] / pictures[1]:.1f} x** without the sound",
            "",
            "| MB on the disk | before | now | times less |",
            "|---|---|---|---|",
            f"| decode + faces | {before:.1f} | {now:.1f} | {before / now:.1f} |",
            f"| without the sound | {pictures[0]:.1f} | {pictures[1]:.1f} "
            f"| {pictures[0] / pictures[1]:.1f} |",
            *(
                f"| {part} | {disk['before'][part]:.1f} | {disk['now'][part]:.1f} "
                f"| {disk['before'][part] / disk['now'][part]:.1f} |"
                for part in PICTURES
            ),
            f"| sound (in decode) | {sound['before']:.1f} | {sound['now']:.1f} | |",
            "",
            "| peak MB of the process | before | now |",
            "|---|---|---|",
            *(f"| {stage} | {peaks['before'][stage]:.0f} | {peaks['now'][stage]:.0f} |" for stage in STAGES),
        ],
    )
    shutil.rmtree(place)


if __name__ == "__main__":
    main()
