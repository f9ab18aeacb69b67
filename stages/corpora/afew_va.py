"""AFEW-VA (Kossaifi et al. 2017): 600 clips of feature films, valence and arousal of every frame.

    001/00000.png, 00001.png, ...
    001/001.json    {"actor": ..., "frames": {"00000": {"landmarks": [[x, y], ... 68], "valence": 0.0,
                    "arousal": 2.0}, ...}, "video_id": "001"}     in [-10, 10]

The layout follows public code that reads the corpus, including that of the paper's authors. The speaker is
the actor, else the clip. The frame rate isn't given; 25 frames/s is assumed, as the authors do. The bounding
box of a frame's landmarks says which of several faces is annotated.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.measures import TARGETS
from stages.corpora.table import Box, Problems, Sample, below, box_of, existing, scaled

RATE_HZ = 25.0
RANGE = (-10.0, 10.0)
"""Of the labels."""


def samples(folder: Path, frames_hz: float, problems: Problems) -> Iterator[Sample]:
    """Read the corpus; see `table.Adapter`."""
    step = max(1, round(RATE_HZ / frames_hz))
    for path in below(folder, {".json"}):
        try:
            clip = json.loads(path.read_text(encoding="utf-8"))
            frames = sorted(clip["frames"].items())[::step]
            speaker = str(clip.get("actor") or path.parent.name).strip().lower()
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            problems.add(path, f"not a clip's annotation ({error!r:.80})")
            continue
        for frame, labels in frames:
            try:
                yield _sample(folder, path.parent / f"{frame}.png", speaker, labels)
            except (ValueError, TypeError, KeyError, OverflowError) as error:
                problems.add(f"{path}: frame {frame}", str(error))


def _sample(folder: Path, picture: Path, speaker: str, labels: dict[str, Any]) -> Sample:
    source = existing(folder, picture.relative_to(folder).as_posix())
    valence, arousal = (scaled(float(labels[name]), *RANGE) for name in TARGETS)
    box = _box(labels.get("landmarks") or [])
    return Sample(source, speaker, "face" if box else "any", box, valence=valence, arousal=arousal)


def _box(landmarks: list[list[float]]) -> Box | None:
    if not landmarks:
        return None
    points = np.array(landmarks, dtype=float).reshape(-1, 2)
    return box_of(*points.min(0).tolist(), *points.max(0).tolist())
