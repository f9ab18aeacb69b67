"""FER+ (Barsoum et al. 2016): the pictures of FER2013, ten people's votes on each.

The published table beside FER2013's own, line by line:

    fer2013new.csv     Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,
                       unknown,NF               how many of ten people said so
    fer2013.csv        emotion,pixels,Usage         48 x 48 grey values a line, separated by blanks

or, with the pictures unpacked by the tools that come with FER+:

    FER2013Train/fer0000000.png, ..., FER2013Valid/, FER2013Test/     anywhere below the folder

The columns are as the authors' readme gives them. A picture gets the emotion with the most votes, none on
a tie; contempt counts as other; where "unknown" or "no face" (NF) leads it is left out. Nobody is named:
every picture is a speaker. PublicTest is for validation; PrivateTest, the test part, isn't used.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from stages.corpora.table import PICTURES, Part, Problems, Sample, below, emotion

EKMAN = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear")
EMOTION: dict[str, int | None] = {name: emotion(name) for name in EKMAN}
EMOTION |= {"contempt": emotion("other"), "unknown": None, "NF": None}
PARTS: dict[str, Part | None] = {"Training": "train", "PublicTest": "validation", "PrivateTest": None}


def samples(folder: Path, frames_hz: float, problems: Problems) -> Iterator[Sample]:  # noqa: ARG001
    """See `table.Adapter`."""
    pixels = next((path for path in below(folder, {".csv"}) if path.name == "fer2013.csv"), None)
    pictures = {path.name: path.relative_to(folder).as_posix() for path in below(folder, PICTURES)}
    for table in below(folder, {".csv"}):
        if table.name == "fer2013new.csv":
            yield from _of_table(folder, table, pixels, pictures, problems)


def _of_table(
    folder: Path, table: Path, pixels: Path | None, pictures: dict[str, str], problems: Problems
) -> Iterator[Sample]:
    positions = _line_starts(pixels) if pixels else []
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        for k, row in enumerate(rows):
            name = (row.get("Image name") or "").strip()
            try:
                part, felt = PARTS[row["Usage"]], _winner(row)
                if part is None or felt is None:
                    continue
                if name in pictures:
                    yield Sample(pictures[name], name, "whole", emotion=felt, part=part)
                elif pixels:
                    source, position = pixels.relative_to(folder).as_posix(), positions[k]
                    yield Sample(source, str(k), "whole", emotion=felt, part=part, position=position)
                else:
                    raise ValueError(f"there is neither a picture {name!r} nor fer2013.csv")
            except (ValueError, KeyError, IndexError, TypeError) as error:
                problems.add(f"{table}:{rows.line_num}", f"{error!r:.120}")


def _winner(row: dict[str, str]) -> int | None:
    """The emotion with the most votes; None on a tie, or where it is none."""
    votes = {name: int(row[name]) for name in EMOTION}
    leaders = [name for name, count in votes.items() if count == max(votes.values())]
    return EMOTION[leaders[0]] if len(leaders) == 1 else None


def _line_starts(path: Path) -> list[int]:
    """At which byte each line after the heading begins."""
    starts, position = [], 0
    with path.open("rb") as file:
        for line in file:
            starts.append(position)
            position += len(line)
    return starts[1:]
