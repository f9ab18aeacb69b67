"""From raw video to features in x real time, stage by stage, and what that makes of Aff-Wild2's 594 videos.

    python benchmarks/throughput.py [--videos 4] [--seconds 20] [--detector retinaface] [--device cuda]

Runs `dvc repro` of the per-video stages on links to one clip of 640 x 480 at 30 Hz, in a repository of its
own, then reads the stages' own run log (`valaro speed`). A second of video costs each stage so many seconds;
the corpus has 28 hours of it. Embeddings and wav2vec 2.0 have benchmarks of their own (embedding.py,
windows.py).
"""

import os
import tempfile
from pathlib import Path

from corpus import Project, film
from measure import arguments, machine, save

from stages.core.weights import find_weights

CORPUS_H, CORPUS_VIDEOS = 28.0, 594
PER_VIDEO = ("index", "decode", "faces", "mouth", "voice", "speech")


def main() -> None:
    """Measure, print, and keep."""
    chosen = arguments(__doc__, videos=4, seconds=20.0, detector="retinaface", weights="models/pretrained")
    os.environ["VALARO_DEVICE"] = chosen.device
    if chosen.detector == "retinaface":
        found = find_weights("retinaface", Path(chosen.weights)).parent.resolve()
        os.environ["VALARO_WEIGHTS"] = str(found)
    place = Path(tempfile.mkdtemp())
    film(place / "clip.mp4", chosen.seconds)
    project = Project(place / "project", {"faces": {"detector": chosen.detector, "min_score": 0.8}})
    project.lay(place / "clip.mp4", range(chosen.videos))
    project.run("dvc", "repro", "mouth", "voice", "speech")
    rows, hours = [], 0.0
    media_s = chosen.videos * chosen.seconds
    for run in sorted(project.last_runs(), key=lambda run: PER_VIDEO.index(run.stage)):
        factor = media_s / run.wall_s
        hours += CORPUS_H / factor
        rows.append(
            f"| {run.stage} | {run.wall_s:.1f} | {factor:,.1f} | {run.peak_mb:.0f} | {run.workers} "
            f"| {CORPUS_H / factor:.2f} |"
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
