"""SEWA (Kossaifi et al. 2019): people of six cultures who watch adverts and talk about them.

The database itself, a folder per recording:

    SEW1101/.../SEW1101_Valence_AV_Aligned.csv     ratings of sound and picture (else V, else A)
    SEW1101/.../SEW1101_Arousal_AV_Aligned.csv     time, then a value per rater, in [-1, 1]
    SEW1101*.avi                                   anywhere below the folder

The release for the AVEC challenges 2017 to 2019 (10 values per second):

    labels/Train_DE_01.csv (or Train_01.csv)       Train_DE_01;time;arousal;valence;liking
    Train_DE_01.avi                                anywhere below the folder

Folders, file names and video format follow the database's pages and public code that reads it; the columns of
the tables follow the challenges' descriptions and haven't been checked against the files. Every recording is
a speaker. `Train_` and `Devel_` are AVEC's division.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from stages.corpora.table import VIDEOS, Part, Problems, Sample, below
from stages.corpora.traces import rated_samples, read_trace

ALIGNED = re.compile(r"(\w+)_Valence_(AV|V|A)_Aligned")
BY = ("A", "V", "AV")
"""What the raters heard (A) or saw (V), least useful first: later ones replace earlier ones."""
CHALLENGE = re.compile(r"(Train|Devel)_(?:[A-Z]{2}_)?\d+")
PARTS: dict[str, Part] = {"Train": "train", "Devel": "validation"}
TIME, AROUSAL, VALENCE = 1, slice(2, 3), slice(3, 4)
"""Columns of the challenges' tables."""
FIRST = (0, slice(1, None))
"""Columns of the database's tables: time, then one value per rater."""


def samples(folder: Path, frames_hz: float, problems: Problems) -> Iterator[Sample]:
    """Read the corpus; see `table.Adapter`."""
    videos = below(folder, VIDEOS)
    for name, (valence_file, arousal_file) in sorted(_rated(folder).items()):
        video = next((path for path in videos if re.match(rf"{name}(?![0-9A-Za-z])", path.name)), None)
        if video is None or not arousal_file.is_file():
            problems.add(
                valence_file, "its video is missing" if video is None else "its file of arousal is missing"
            )
            continue
        challenge = CHALLENGE.fullmatch(name)
        columns = ((TIME, VALENCE), (TIME, AROUSAL)) if challenge else (FIRST, FIRST)
        valence = read_trace(valence_file, problems, *columns[0])
        arousal = read_trace(arousal_file, problems, *columns[1])
        if valence and arousal:
            part: Part = PARTS[challenge[1]] if challenge else ""
            source = video.relative_to(folder).as_posix()
            yield from rated_samples(source, name, [valence], [arousal], frames_hz, problems, part=part)


def _rated(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Recording -> its file of valence and its file of arousal."""
    rated: dict[str, tuple[Path, Path]] = {}
    tables = below(folder, {".csv"})
    for by in BY:
        for path in tables:
            if (match := ALIGNED.fullmatch(path.stem)) and match[2] == by:
                arousal = path.name.replace("_Valence_", "_Arousal_")
                there = (path.parent / arousal, path.parent.parent / "arousal" / arousal)
                rated[match[1]] = path, next((file for file in there if file.is_file()), there[0])
    return rated | {path.stem: (path, path) for path in tables if CHALLENGE.fullmatch(path.stem)}
