"""FER+ (Barsoum et al. 2016): the pictures of FER2013 with ten people's votes on each.

The table of FER+ beside that of FER2013, whose rows correspond:

    fer2013new.csv     Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,
                       unknown,NF               number of votes, of ten people
    fer2013.csv        emotion,pixels,Usage         48 x 48 grey values per line, separated by blanks

or with the pictures unpacked by the tools of FER+:

    FER2013Train/fer0000000.png, ..., FER2013Valid/, FER2013Test/     anywhere below the folder

The columns follow the authors' readme. A picture keeps its votes for the eight emotions, with contempt as
"other", and gets the emotion with the most votes; it gets none on a tie, or if "unknown" or "no face" (NF)
has the most. A picture without a vote for an emotion, or with NF alone in the lead, is left out. The corpus
doesn't identify people: every picture is a speaker. PublicTest is the validation part, PrivateTest the test
part.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from stages.corpora.table import EMOTIONS, NO_EMOTION, PICTURES, Part, Problems, Sample, below, emotion

EKMAN = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear")
EMOTION: dict[str, int | None] = {name: emotion(name) for name in EKMAN}
EMOTION |= {"contempt": emotion("other"), "unknown": None, "NF": None}
NO_FACE = "NF"
PARTS: dict[str, Part] = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}


def samples(folder: Path, frames_hz: float, problems: Problems) -> Iterator[Sample]:  # noqa: ARG001
    """Read the corpus; see `table.Adapter`."""
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
                part, counts = PARTS[row["Usage"]], {column: int(row[column]) for column in EMOTION}
                votes = _votes(counts)
                if not any(votes) or _leaders(counts) == [NO_FACE]:
                    continue
                sample = Sample("", name, "whole", emotion=_winner(counts), part=part, votes=votes)
                if name in pictures:
                    yield sample._replace(source=pictures[name])
                elif pixels:
                    source, position = pixels.relative_to(folder).as_posix(), positions[k]
                    yield sample._replace(source=source, speaker=str(k), position=position)
                else:
                    raise ValueError(f"neither a picture {name!r} nor fer2013.csv is found")
            except (ValueError, KeyError, IndexError, TypeError) as error:
                problems.add(f"{table}:{rows.line_num}", f"{error!r:.120}")


def _votes(counts: dict[str, int]) -> tuple[int, ...]:
    """The votes in the order of EMOTIONS."""
    places = {place: column for column, place in EMOTION.items() if place is not None}
    return tuple(counts[places[place]] for place in range(len(EMOTIONS)))


def _leaders(counts: dict[str, int]) -> list[str]:
    """The columns with the most votes."""
    most = max(counts.values())
    return [column for column, count in counts.items() if count == most]


def _winner(counts: dict[str, int]) -> int:
    """The emotion with the most votes; NO_EMOTION on a tie, or if "unknown" or NF has the most."""
    leaders = _leaders(counts)
    winner = EMOTION[leaders[0]] if len(leaders) == 1 else None
    return NO_EMOTION if winner is None else winner


def _line_starts(path: Path) -> list[int]:
    """Byte offset of each line after the header."""
    starts, position = [], 0
    with path.open("rb") as file:
        for line in file:
            starts.append(position)
            position += len(line)
    return starts[1:]
