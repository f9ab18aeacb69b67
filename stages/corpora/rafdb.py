"""RAF-DB (Li et al. 2017): faces from the web, one basic emotion each.

    basic/EmoLabel/list_patition_label.txt     "train_00001.jpg 5", one line per picture
    basic/Image/aligned/train_00001_aligned.jpg     or
    basic/Image/original/train_00001.jpg

Labels: 1 surprise, 2 fear, 3 disgust, 4 happiness, 5 sadness, 6 anger, 7 neutral. The spelling "patition" is
the corpus'. Source: the corpus' readme, as repeated by public readers. The corpus doesn't identify people:
every picture is a speaker. Its test part is used for validation.
"""

from collections.abc import Iterator
from pathlib import Path

from stages.corpora.table import Part, Problems, Sample, below, emotion, existing, lines

NAMES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
EMOTION = {str(number): emotion(name) for number, name in enumerate(NAMES, 1)}


def samples(folder: Path, frames_hz: float, problems: Problems) -> Iterator[Sample]:  # noqa: ARG001
    """Read the corpus; see `table.Adapter`."""
    for table in below(folder, {".txt"}):
        if table.name != "list_patition_label.txt":
            continue
        pictures = (table.parent.parent / "Image").relative_to(folder).as_posix()
        for number, text in lines(table, problems):
            try:
                name, label = text.split()
                yield _sample(folder, pictures, name, EMOTION[label])
            except (ValueError, KeyError) as error:
                problems.add(f"{table}:{number}", f"{error} in {text[:60]!r}")


def _sample(folder: Path, pictures: str, name: str, label: int) -> Sample:
    stem, _, suffix = name.rpartition(".")
    aligned = f"{pictures}/aligned/{stem}_aligned.{suffix}"
    is_aligned = (folder / aligned).is_file()
    source = existing(folder, aligned if is_aligned else f"{pictures}/original/{name}")
    part: Part = "validation" if name.startswith("test") else "train"
    return Sample(source, name, "whole" if is_aligned else "any", emotion=label, part=part)
