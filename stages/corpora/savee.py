"""SAVEE (Haq and Jackson 2009): 480 clips of four men who act seven emotions.

    DC/a01.avi, .../KL/su15.avi, or DC_a01.avi      anywhere below the folder

File names, by the corpus' own convention: speaker DC, JE, JK or KL; a anger, d disgust, f fear, h happiness,
n neutral, sa sadness, su surprise; number of the sentence. All frames of a clip have the emotion of its name.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from stages.core.errors import BadInput
from stages.corpora.table import VIDEOS, Problems, Sample, below, emotion
from stages.corpora.traces import END_S

NAME = re.compile(r"(?:(DC|JE|JK|KL)_?)?(sa|su|a|d|f|h|n)\d+", re.IGNORECASE)
SPEAKERS = ("DC", "JE", "JK", "KL")
LETTERS = {
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "sa": "sadness",
    "su": "surprise",
}


def samples(folder: Path, frames_hz: float, problems: Problems) -> Iterator[Sample]:
    """Read the corpus; see `table.Adapter`."""
    from stages.media.container import probe

    for path in below(folder, VIDEOS):
        match = NAME.fullmatch(path.stem)
        places = [match[1], *path.parent.relative_to(folder).parts[::-1]] if match else []
        speaker = next((str(place).upper() for place in places if str(place).upper() in SPEAKERS), None)
        if match is None or speaker is None:
            problems.add(path, "its name has no speaker or no emotion", "Name it like DC/a01.avi")
            continue
        try:
            last_s = float(probe(path).time_s[-1])
        except BadInput as error:
            problems.add(path, error.problem, error.remedy)
            continue
        source, acted = path.relative_to(folder).as_posix(), emotion(LETTERS[match[2].lower()])
        for k in range(int(last_s * frames_hz + END_S) + 1):
            yield Sample(source, speaker, "any", time_s=k / frames_hz, emotion=acted)
