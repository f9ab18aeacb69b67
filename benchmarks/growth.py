"""A corpus that grows: one video added to many, against that video alone; and the memory of few and of many.

    python benchmarks/growth.py [--few 10] [--many 200] [--seconds 3] [--jobs 1]

`dvc repro` of the per-video stages from raw video to audio windows (index, decode, faces, mouth, voice,
speech) runs in repositories of its own, on links to one clip. The detector is BlazeFace, so that start-up and
bookkeeping, which this is about, weigh as much as they can.
"""

import tempfile
import time
from pathlib import Path

from corpus import Project, film
from measure import arguments, machine, save

STAGES = ("mouth", "voice", "speech")  # and what they need


def repro(project: Project) -> float:
    """Seconds that `dvc repro` takes."""
    began = time.perf_counter()
    project.run("dvc", "repro", *STAGES)
    return time.perf_counter() - began


def main() -> None:
    """Measure, print, and keep."""
    chosen = arguments(__doc__, few=10, many=200, seconds=3.0, jobs=1)
    place = Path(tempfile.mkdtemp())
    clip = place / "clip.mp4"
    film(clip, chosen.seconds, 320, 240)
    peaks: dict[int, dict[str, float]] = {}
    times: dict[int, float] = {}
    for count in (1, chosen.few, chosen.many):
        project = Project(place / str(count), {"compute": {"jobs": chosen.jobs}})
        project.lay(clip, range(count))
        times[count] = repro(project)
        peaks[count] = {run.stage: run.peak_mb for run in project.last_runs()}
    project.lay(clip, range(chosen.many, chosen.many + 1))
    added_s = repro(project)
    computed = {run.stage: run.computed for run in project.last_runs()}
    nothing_s = repro(project)
    rows = [
        f"| {stage} | {peak:.0f} | {peaks[chosen.few][stage]:.0f} | {peaks[chosen.many][stage]:.0f} |"
        for stage, peak in peaks[1].items()
    ]
    growth = max(peaks[chosen.many][stage] / peaks[chosen.few][stage] for stage in peaks[1])
    save(
        chosen,
        "growth",
        "A corpus that grows",
        [
            f"Clips of {chosen.seconds:g} s, 320 x 240, {chosen.jobs} worker process(es). {machine()}",
            "",
            f"| peak memory, MB | 1 video | {chosen.few} videos | {chosen.many} videos |",
            "|---|---|---|---|",
            *rows,
            "",
            f"- from nothing: 1 video {times[1]:.1f} s, {chosen.few} videos {times[chosen.few]:.1f} s, "
            f"{chosen.many} videos {times[chosen.many]:.1f} s",
            f"- one more to {chosen.many}: {added_s:.1f} s, **{added_s / times[1]:.2f} x** that video alone "
            f"(units computed: {computed})",
            f"- nothing to do with {chosen.many + 1}: {nothing_s:.1f} s",
            f"- peak memory from {chosen.few} to {chosen.many} videos: at most **{growth:.2f} x**",
        ],
    )


if __name__ == "__main__":
    main()
