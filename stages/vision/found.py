"""The faces that a search found, ready to be linked: `search_video` writes them, this reads them."""

from pathlib import Path

import numpy as np

from stages.core.arrays import Flags, Floats
from stages.core.artefacts import Arrays, read_arrays, read_facts
from stages.vision.detection import Detections
from stages.vision.people import Faces

CUT = 0.5
"""Change of the picture from one step to the next, 0 to 1, from which it may be a cut."""
CUT_RATIO = 2.5
"""A cut changes the picture more than this many times as much as the steps around it."""
AROUND = 5
"""Steps on either side that a cut is compared with."""


def cuts_of(change: Floats) -> Flags:
    """Where the picture cuts: it changes much, and much more than around it. (T,) -> (T,)."""
    cut = np.zeros(len(change), bool)
    for step in np.flatnonzero(change >= CUT):
        around = np.concatenate([change[max(1, step - AROUND) : step], change[step + 1 : step + 1 + AROUND]])
        cut[step] = not len(around) or change[step] > CUT_RATIO * float(np.median(around))
    return cut


def read_found(path: Path) -> tuple[Faces, Arrays]:
    """What `search_video` wrote: the faces of a video, and the arrays as they lie in the file."""
    arrays, facts = read_arrays(path), read_facts(path)
    ends = np.searchsorted(arrays["step"], np.arange(len(arrays["time_s"])), side="right")[:-1]
    boxes, scores = np.split(arrays["box_xyxy"], ends), np.split(arrays["score"], ends)
    steps = [Detections(box, score) for box, score in zip(boxes, scores, strict=True)]
    patches = np.split(arrays["patch"], ends)
    cut = cuts_of(arrays["change"])
    return Faces(steps, arrays["time_s"], cut, facts["width"], facts["height"], patches), arrays
