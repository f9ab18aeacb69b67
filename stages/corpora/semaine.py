"""SEMAINE (McKeown et al. 2012): people who talk with an operator in a role; one FeelTrace file per rater.

    Sessions/2/R5S1TUCPoDV.txt      rater 5, session 1, of the user (TU), with character Poppy: valence;
    Sessions/2/R5S1TUCPoDA.txt      ... DA: activation. Lines "time value", every 0.02 s, in [-1, 1]
    Sessions/2/2008.12.05.16.03.15_User ..._Poppy.avi

Folders, names and the two columns follow public code that reads the corpus. That code uses the sound only;
that videos have the same names is an assumption. The user's video is the one with "_User" in its name,
preferably in colour. The file names of one recording begin with its date, which is taken as the speaker.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from stages.corpora.table import VIDEOS, Problems, Sample, below
from stages.corpora.traces import Trace, rated_samples, read_trace

TRACE = re.compile(r"[AR]\d+[RS]\d+TUC(?:Ob|Po|Pr|Sp)\d*D([AV])", re.IGNORECASE)
RECORDING = re.compile(r"\d{4}(?:\.\d\d){5}")


def samples(folder: Path, frames_hz: float, problems: Problems) -> Iterator[Sample]:
    """Read the corpus; see `table.Adapter`."""
    for session in sorted({path.parent for path in below(folder, {".txt"}) if TRACE.fullmatch(path.stem)}):
        video = _video(session)
        if video is None:
            problems.add(session, "it has no video of the user (with _User in its name)")
            continue
        ratings: dict[str, list[Trace]] = {"V": [], "A": []}
        for path in below(session, {".txt"}):
            if (match := TRACE.fullmatch(path.stem)) and (trace := read_trace(path, problems)):
                ratings[match[1].upper()].append(trace)
        if not (ratings["V"] and ratings["A"]):
            problems.add(session, "valence or arousal isn't rated")
            continue
        date = RECORDING.match(video.name)
        speaker = date[0] if date else session.name
        source = video.relative_to(folder).as_posix()
        yield from rated_samples(source, speaker, ratings["V"], ratings["A"], frames_hz, problems)


def _video(session: Path) -> Path | None:
    users = [path for path in below(session, VIDEOS) if "_user" in path.name.lower()]
    return min(users, key=lambda path: ("col" not in path.name.lower(), path.name), default=None)
