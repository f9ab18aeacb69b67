"""AffectNet (Mollahosseini et al. 2017): pictures from the web with emotion, valence and arousal.

The first release (`Manually_Annotated`), whole pictures with a face box:

    training.csv, validation.csv
        subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal
    Manually_Annotated_Images/<subDirectory_filePath>      (or the sub-folders beside the tables)

The later release, cropped faces:

    train_set/images/123.jpg, train_set/annotations/123_{exp,val,aro}.npy; likewise val_set/

Expressions: 0 neutral, 1 happy, 2 sad, 3 surprise, 4 fear, 5 disgust, 6 anger, 7 contempt, 8 none,
9 uncertain, 10 no face. Valence and arousal are in [-1, 1], or -2 if unlabelled (uncertain, no face). Source:
the authors' list, repeated by many public readers. Contempt becomes "other"; 8 and 9 become no emotion;
pictures without any label are left out. The corpus doesn't identify people, so every picture is a speaker of
its own. The validation part is the authors'.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stages.corpora.table import (
    NO_EMOTION,
    PICTURES,
    Part,
    Problems,
    Sample,
    below,
    box_of,
    emotion,
    existing,
    scaled,
)

NAMES = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "other")
EMOTION = {number: emotion(name) for number, name in enumerate(NAMES)}
UNLABELLED = {8, 9}
NO_FACE = 10
MISSING = -2.0
TABLES: dict[str, Part] = {"training.csv": "train", "validation.csv": "validation"}
SETS: dict[str, Part] = {"train_set": "train", "val_set": "validation"}


def samples(folder: Path, frames_hz: float, problems: Problems) -> Iterator[Sample]:  # noqa: ARG001
    """Read the corpus; see `table.Adapter`."""
    for table in below(folder, {".csv"}):
        if table.name in TABLES:
            yield from _of_table(folder, table, TABLES[table.name], problems)
    for name, part in SETS.items():
        for annotations in sorted(folder.rglob(f"{name}/annotations")):
            yield from _of_set(folder, annotations, part, problems)


def _of_table(folder: Path, table: Path, part: Part, problems: Problems) -> Iterator[Sample]:
    pictures = table.parent / "Manually_Annotated_Images"
    base = (pictures if pictures.is_dir() else table.parent).relative_to(folder)
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        for row in rows:
            try:
                if float(row["expression"]) == NO_FACE:
                    continue
                x, y, width, height = (float(row[f"face_{key}"]) for key in ("x", "y", "width", "height"))
                source = existing(folder, f"{base.as_posix()}/{row['subDirectory_filePath']}")
                labels = _labels(row["expression"], row["valence"], row["arousal"])
                box = box_of(x, y, x + width, y + height)
                if any(label is not None for label in labels[:2]) or labels[2] != NO_EMOTION:
                    yield Sample(source, source, "face", box, None, *labels, part)
            except (ValueError, TypeError, KeyError) as error:
                problems.add(f"{table}:{rows.line_num}", str(error))


def _of_set(folder: Path, annotations: Path, part: Part, problems: Problems) -> Iterator[Sample]:
    for picture in below(annotations.parent / "images", PICTURES):
        values = [annotations / f"{picture.stem}_{kind}.npy" for kind in ("exp", "val", "aro")]
        try:
            expression, valence, arousal = (
                str(np.load(value, allow_pickle=False).reshape(-1)[0]) for value in values
            )
            if float(expression) != NO_FACE:
                source = picture.relative_to(folder).as_posix()
                yield Sample(
                    source, source, "whole", None, None, *_labels(expression, valence, arousal), part
                )
        except (OSError, ValueError, EOFError, IndexError) as error:
            problems.add(picture, f"its annotation can't be used: {error}")


def _labels(expression: str, valence: str, arousal: str) -> tuple[float | None, float | None, int]:
    number = float(expression)
    if number not in EMOTION and number not in UNLABELLED:
        raise ValueError(f"the expression is {expression}, must be 0 to 10")
    v, a = (None if float(value) == MISSING else scaled(float(value), -1, 1) for value in (valence, arousal))
    return v, a, EMOTION.get(int(number), NO_EMOTION)
