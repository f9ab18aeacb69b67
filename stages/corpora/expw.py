"""ExpW, Expression in-the-Wild (Zhang et al. 2018): pictures from the web, an emotion per face.

    label/label.lst     one line per face:
        image_name face_id_in_image face_box_top face_box_left face_box_right face_box_bottom
        face_box_cofidence expression_label
    image/origin/<image_name>     (the pictures may lie in any folder)

Expressions: 0 angry, 1 disgust, 2 fear, 3 happy, 4 sad, 5 surprise, 6 neutral. The order of the box is top,
left, right, bottom. Source: the corpus' readme, as repeated by public readers. The corpus doesn't identify
people: a picture, with all faces in it, is a speaker.
"""

from collections.abc import Iterator
from pathlib import Path

from stages.corpora.table import PICTURES, Problems, Sample, below, box_of, emotion, lines

NAMES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
EMOTION = {str(number): emotion(name) for number, name in enumerate(NAMES)}


def samples(folder: Path, frames_hz: float, problems: Problems) -> Iterator[Sample]:  # noqa: ARG001
    """Read the corpus; see `table.Adapter`."""
    pictures = {path.name: path.relative_to(folder).as_posix() for path in below(folder, PICTURES)}
    for table in below(folder, {".lst"}):
        for number, text in lines(table, problems):
            try:
                name, _, top, left, right, bottom, _, label = text.split()
                if name not in pictures:
                    raise ValueError(f"picture {name} is missing")
                box = box_of(float(left), float(top), float(right), float(bottom))
                yield Sample(pictures[name], name, "face", box, emotion=EMOTION[label])
            except (ValueError, KeyError) as error:
                problems.add(f"{table}:{number}", f"{error} in {text[:60]!r}")
