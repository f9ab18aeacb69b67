"""RECOLA (Ringeval et al. 2013): remote conversations in French, valence and arousal by six raters.

    RECOLA-Annotation/emotional_behaviour/{arousal,valence}/P16.csv
        time;FM1 ;FM2 ;FM3;FF1;FF2;FF3     one line every 0.04 s, in [-1, 1]
    P16.mp4                                anywhere below the folder

Folders, header and time step follow public code that reads the corpus; AVEC's release of it
(`ratings_individual/{arousal,valence}/train_1.csv`) has the same tables. The six ratings are averaged. Every
file is a speaker.
"""

from collections.abc import Iterator
from pathlib import Path

from stages.corpora.table import VIDEOS, Problems, Sample, below
from stages.corpora.traces import rated_samples, read_trace


def samples(folder: Path, frames_hz: float, problems: Problems) -> Iterator[Sample]:
    """Read the corpus; see `table.Adapter`."""
    videos = {path.stem: path for path in below(folder, VIDEOS)}
    for path in below(folder, {".csv"}):
        if path.parent.name != "arousal":
            continue
        other = path.parent.parent / "valence" / path.name
        if path.stem not in videos or not other.is_file():
            problems.add(path, f"no {'file of valence' if path.stem in videos else 'video'} has this name")
            continue
        valence, arousal = read_trace(other, problems), read_trace(path, problems)
        if valence and arousal:
            source = videos[path.stem].relative_to(folder).as_posix()
            yield from rated_samples(source, path.stem, [valence], [arousal], frames_hz, problems)
