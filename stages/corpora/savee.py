"""SAVEE (Haq and Jackson 2009): four men act seven emotions, 480 clips.

    DC/a01.avi, .../KL/su15.avi, or DC_a01.avi      anywhere below the folder

Speakers DC, JE, JK, KL; letters a anger, d disgust, f fear, h happiness, n neutral, sa sadness, su surprise;
then the sentence's number: the corpus' own convention. All frames of a clip have its emotion.
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
    """See `table.Adapter`."""
    from stages.media.container import probe

    for path in below(folder, VIDEOS):
        match = NAME.fullmatch(path.stem)
        places = [match[1], *path.parent.relative_to(folder).parts[::-1]] if match else []
        speaker = next((str(place).upper() for place in places if str(place).upper() in SPEAKERS), None)
        if match is None or speaker is None:
            problems.add(path, "the name tells no speaker and emotion", "Name it like DC/a01.avi")
            continue
        try:
            last_s = float(probe(path).time_s[-1])
        except BadInput as error:
            problems.add(path, error.problem, error.remedy)
            continue
        source, felt = path.relative_to(folder).as_posix(), emotion(LETTERS[match[2].lower()])
        for k in range(int(last_s * frames_hz + END_S) + 1):
            yield Sample(source, speaker, "any", time_s=k / frames_hz, emotion=felt)
