"""What the user gets for a recording: a table, a summary, a picture, a film.

A notice (see `Trained.notice`) is in each of them; in the table it is a last column, since comment lines
break CSV readers and a file beside the table gets lost.
"""

import csv
import importlib.metadata
from pathlib import Path
from typing import Any

import numpy as np

from stages import __version__
from stages.core.arrays import Flags, Floats, Integers
from stages.core.artefacts import write_json
from stages.recordings.chain import Findings
from stages.recordings.trained import Trained

LIBRARIES = ("av", "mediapipe", "numpy", "timm", "torch", "transformers")
MAX_TITLE = 45  # letters; the notice is on the same line
COLUMNS = {
    "frame": "native frame, from 0",
    "time_s": "its time stamp, seconds from the first frame",
    "valence": "-1 (unpleasant) to 1 (pleasant)",
    "arousal": "-1 (calm) to 1 (excited)",
    "detected": "1: the face was found at the nearest time looked at; 0: it wasn't, the last one stands in",
    "voiced": "1: the person seems to speak at the nearest time looked at (there is sound, the mouth moves)",
}


def write_outputs(
    folder: Path, name: str, video: Path, found: Findings, trained: Trained, *, overlay: bool
) -> dict[str, Any]:
    """Write `<name>.csv`, `.json`, `.png` and, if wanted, `.mp4` into a new folder; return the summary."""
    from stages.media.plot import plot_trace

    folder.mkdir()
    write_table(folder / f"{name}.csv", found, trained.notice)
    plot_trace(
        folder / f"{name}.png",
        name if len(name) <= MAX_TITLE else f"{name[: MAX_TITLE - 1]}…",
        found.time_s,
        found.valence_arousal,
        flag_time_s=found.grid_time_s,
        detected=found.detected,
        voiced=found.voiced,
        notice=trained.notice,
    )
    if overlay:
        _film(folder / f"{name}.mp4", video, found, trained.notice)
    summary = summarise(video, found, trained)
    write_json(folder / f"{name}.json", summary)
    return summary


def write_table(path: Path, found: Findings, notice: str) -> None:
    """One row per native frame."""
    k = nearest(found.grid_time_s, found.time_s)
    detected, voiced = found.detected[k].astype(int).tolist(), found.voiced[k].astype(int).tolist()
    rows = zip(found.time_s.tolist(), found.valence_arousal.tolist(), detected, voiced, strict=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, *(["notice"] if notice else [])])
        for frame, (time_s, (valence, arousal), *flags) in enumerate(rows):
            values = [f"{time_s:.6f}", f"{valence:.6f}", f"{arousal:.6f}"]
            writer.writerow([frame, *values, *flags, *([notice] if notice else [])])


def summarise(video: Path, found: Findings, trained: Trained) -> dict[str, Any]:
    """The recording in figures. Means are over the frames whose face was really seen."""
    seen = found.detected[nearest(found.grid_time_s, found.time_s)]
    facts = {
        name: found.facts[name] for name in ("duration_s", "width", "height", "has_audio", "variable_rate")
    }
    return {
        "file": str(video),
        **facts,
        "frames": len(found.time_s),
        "rate_hz": found.facts["average_rate_hz"],
        "detected_share": float(found.detected.mean()),
        "voiced_share": float(found.voiced.mean()),
        "valence": _moments(found.valence_arousal[:, 0], seen),
        "arousal": _moments(found.valence_arousal[:, 1], seen),
        "mean_over": "frames with a face",
        "notes": [*trained.notes, *found.notes, *_few_faces(found.detected)],
        "notice": trained.notice or None,
        **trained.facts(),
        "columns": COLUMNS,
        "versions": {"valaro": __version__} | {name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def nearest(grid_time_s: Floats, time_s: Floats) -> Integers:
    """Index of the grid time nearest to each time; a tie goes to the earlier one. (T,), (N,) -> (N,)."""
    halfway_s = (grid_time_s[:-1] + grid_time_s[1:]) / 2
    return np.searchsorted(halfway_s, time_s, side="left")


def _moments(values: Floats, seen: Flags) -> dict[str, float | None]:
    if not seen.any():
        return {"mean": None, "sd": None}
    return {"mean": float(values[seen].mean(dtype=float)), "sd": float(values[seen].std(dtype=float))}


def _few_faces(detected: Flags) -> list[str]:
    share = float(detected.mean())
    return (
        [f"a face in {share:.0%} of the time only; elsewhere the last one stands in"] if share < 0.5 else []
    )


def _film(path: Path, video: Path, found: Findings, notice: str) -> None:
    from stages.media.overlay import render_overlay
    from stages.media.panel import Findings as Drawn

    drawn = Drawn(
        found.time_s, found.valence_arousal, found.grid_time_s, found.box_xyxy, found.detected, notice
    )
    render_overlay(video, path, drawn)
