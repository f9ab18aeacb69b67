"""When the person is there, who else is, and what a user must know about it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stages.core.arrays import Flags, Floats
from stages.core.artefacts import read_arrays
from stages.core.errors import ValaroError
from stages.vision.people import MAX_PEOPLE

EVERYONE = "all"
PERSON = "-person-"
"""Between the name of a recording and the number of one of its people, in folders and tables."""
PEOPLE = ("prominent", "left", "right", "largest", "first", EVERYONE)
"""Whom a user may name, beside numbers from 1."""
FEW_OTHERS = 0.02
"""Share of the time with other faces below which they aren't worth a note."""
TIMES_NAMED = 5


class Company(NamedTuple):
    """Who else is in the picture.

    Args:
        people: everyone who lasts, the most prominent first, as JSON.
        others: (T,) faces of other people at each step.
        jump_s: times from which on the track may be someone else's.
        cut_s: times at which the picture cuts.
    """

    people: list[dict[str, Any]]
    others: Floats
    jump_s: list[float]
    cut_s: list[float]


def require_person(word: str | None) -> str | None:
    """The person asked for, as `faces.target` names it, or `all`; None stays None.

    Raises:
        ValaroError: that word names no person.
    """
    named = None if word is None else word.lower().strip()
    if named is None or named in PEOPLE or (named.isdecimal() and int(named) > 0):
        return named
    raise ValaroError(f"person {word!r} is none of {', '.join(PEOPLE)}, 1, 2 ...")


def nobody_there(time_s: Floats, grid_time_s: Floats, detected: Flags, max_gap_s: float) -> Flags:
    """The frames at which there is nobody to estimate: before the first face, and in long gaps.

    Shape: (N,), (T,), (T,) -> (N,) bool.

    Args:
        time_s: of the frames.
        grid_time_s: of the steps at which a face was looked for, ascending.
        detected: the steps with a face; one stands for the time around it, up to half a step away.
        max_gap_s: the longest time without a face that is bridged. Before the first face nothing is.
    """
    seen_s = grid_time_s[detected]
    if not len(seen_s):
        return np.ones(len(time_s), bool)
    half_s = float(np.median(np.diff(grid_time_s))) / 2 if len(grid_time_s) > 1 else 0.0
    begin_s = np.concatenate([[-np.inf], seen_s + half_s])
    end_s = np.append(seen_s - half_s, max(float(grid_time_s[-1]), float(time_s[-1])) + half_s)
    too_long = end_s - begin_s > max_gap_s + 1e-6
    gap = np.searchsorted(seen_s, time_s, side="right")
    inside = (time_s > begin_s[gap] + 1e-6) & (time_s < end_s[gap] - 1e-6)
    # At a seen step itself `gap` is the one after it, whose beginning is later.
    return np.asarray(inside & too_long[gap])


def company_of(faces: Path, tracks: Path) -> Company:
    """Read who else is there from what the stage `faces` wrote."""
    own, everyone = read_arrays(faces, "time_s", "jump", "others"), read_arrays(tracks)
    time_s = own["time_s"]
    people = [
        {
            "person": k + 1,
            "seen_s": round(float(everyone["seen_s"][k]), 2),
            "from_s": round(float(time_s[everyone["step"][everyone["person"] == k].min()]), 2),
            "to_s": round(float(time_s[everyone["step"][everyone["person"] == k].max()]), 2),
            "face_width_px": round(float(everyone["width_px"][k]), 1),
            "centre_xy": [round(float(share), 3) for share in everyone["centre_xy"][k]],
            "motion": round(float(everyone["motion"][k]), 3),
        }
        for k in range(len(everyone["seen_s"]))
    ]
    return Company(people, own["others"], time_s[own["jump"]].tolist(), time_s[everyone["cut"]].tolist())


def notes_on(
    company: Company, detected: Flags, *, picture: bool = False, everyone: bool = False
) -> list[str]:
    """What a user must know: other people, a track that may change hands, cuts.

    Args:
        company: who else is there.
        detected: (T,) the person's face was found.
        picture: there is one moment only.
        everyone: each person gets a trace, so that nobody need be chosen.
    """
    notes = []
    advice = "" if everyone else "; --person chooses another, or all"
    together = company.others + detected.astype(int)
    share = float(np.mean(together >= 2))
    if share >= FEW_OTHERS:
        most = int(together.max())
        several = f"{most} faces" if most == 2 or picture else f"2 to {most} faces"
        notes.append(f"{several} in {'it' if picture else f'{share:.0%} of the time'}{advice}")
    elif len(company.people) > 1:
        notes.append(f"{len(company.people)} people, one after another{advice}")
    if everyone and len(company.people) >= MAX_PEOPLE:
        notes.append(f"only the {MAX_PEOPLE} most prominent people have a trace")
    if company.jump_s:
        notes.append(f"the track jumps at {_times(company.jump_s)}: from there on it may be someone else")
    if cuts := [cut_s for cut_s in company.cut_s if cut_s not in company.jump_s]:
        notes.append(f"the picture cuts at {_times(cuts)}")
    return notes


def _times(times_s: Sequence[float]) -> str:
    named = ", ".join(f"{time_s:.1f}" for time_s in times_s[:TIMES_NAMED])
    rest = len(times_s) - TIMES_NAMED
    return f"{named} s" + (f" and {rest} more times" if rest > 0 else "")
