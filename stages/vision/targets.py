"""Whose face a subject gets: the person on a side, the one that a sibling isn't, or the most prominent one.

1. A subject with a side (`X_left`) is seeded where it is labelled: there the person is in the picture. Two
   people seen together at that time tell the sides; else the widest face of that half of the picture.
2. A subject without a side beside one that has it (`X` beside `X_right`) is the other person: the sibling is
   followed first, also where it is no subject of this corpus, and its faces are left out. Where the sibling
   is unlabelled and one face is alone in the picture, that is the person without a side: at times it stands
   where the sibling stands later. What is left of the picture's people is one person, wherever it goes.
3. Everybody else is chosen by `faces.target`.

No face is given to two subjects of a video.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np

from stages.core.arrays import Flags, Floats, Integers
from stages.vision.detection import Detections
from stages.vision.people import (
    LASTING_STEPS,
    NOBODY,
    FacePath,
    Faces,
    Linked,
    Person,
    Rules,
    follow,
    in_half,
    nothing_taken,
    people_of,
    take,
)
from stages.vision.tracks import TIME_TOLERANCE_S, Side, nearest_faces

Target = Literal["prominent", "first", "largest", "left", "right"]
SEED_S = 2.0
"""How long after the first face two people may appear together."""
BESIDE_WIDTH = 0.5
"""A face narrower than this part of the frame's widest is a bystander."""


class NoSuchPerson(ValueError):
    """The person asked for isn't in the video; the message says who is."""


@dataclass(frozen=True)
class Wanted:
    """A subject of a video, as far as its face is concerned.

    Args:
        side: where its person is; None without a side.
        labelled_s: (R, 2), when the person is surely in the picture; none: at any time.
        anywhere: a video of the side's own name, which may show the person alone, anywhere in it.
        leaves_out: siblings with a side whose faces it is not, by name.
        target: of a subject without a side; None: that of all of them.
    """

    side: Side | None = None
    labelled_s: Floats = field(default_factory=lambda: np.empty((0, 2)))
    anywhere: bool = False
    leaves_out: Mapping[str, "Wanted"] = field(default_factory=dict)
    target: Target | int | None = None


def choose(
    linked: Linked, wanted: Mapping[str, Wanted], target: Target | int, rules: Rules
) -> dict[str, FacePath]:
    """The path of each subject's face; no face belongs to two subjects with a side, or of two numbers.

    Args:
        linked: the faces of a video and their tracks.
        wanted: its subjects.
        target: for subjects without a side: prominent (see `people_of`), first (the paper's: the most
            confident face of the first frame with any, then the nearest one), largest, left, right, or a
            number, from 1, in the order of prominence.
        rules: how far and after how long a face is still the same person.

    Raises:
        NoSuchPerson: target is a number, and there are fewer people.
    """
    siblings = {name: one for each in wanted.values() for name, one in each.leaves_out.items()}
    sided = siblings | {name: one for name, one in wanted.items() if one.side}
    taken = nothing_taken(linked.faces)
    paths = _follow_sides(linked, dict(sorted(sided.items())), taken, rules)
    for name, one in siblings.items():
        paths[name] = _without_lone_faces(linked, paths[name], one.labelled_s, taken)
    for name, one in wanted.items():
        if not one.side:
            paths[name] = _unsided(linked, taken, one, one.target or target, rules)
    return {name: paths[name] for name in wanted}


def _follow_sides(
    linked: Linked, sided: Mapping[str, Wanted], taken: Sequence[Flags], rules: Rules
) -> dict[str, FacePath]:
    """Follow the people with sides, each from its own seed, never along a track that is another's seed."""
    seeds = {name: seed_on_side(linked, one, taken) for name, one in sided.items()}
    paths: dict[str, FacePath] = {}
    for name, one in sided.items():
        others = {seed for other, seed in seeds.items() if other not in {name, *paths}}
        away = _with_tracks(linked, taken, others - {seeds[name]})
        seed = seed_on_side(linked, one, away)
        half = None if one.anywhere else one.side
        paths[name] = _nobody(linked) if seed is None else follow(linked, seed, away, rules, half)
        take(taken, paths[name])
    return paths


def _without_lone_faces(
    linked: Linked, path: FacePath, labelled_s: Floats, taken: Sequence[Flags]
) -> FacePath:
    """The path of a sibling without the faces that are alone in the picture while it is unlabelled."""
    if not len(labelled_s):
        return path
    face = path.face.copy()
    for k in set(np.flatnonzero(face >= 0).tolist()) - set(_steps_within(linked.faces, labelled_s)):
        lasting = [
            track for track in linked.track[k].tolist() if len(linked.steps_of[track]) >= LASTING_STEPS
        ]
        if len(lasting) <= 1:
            taken[k][face[k]] = False
            face[k] = NOBODY
    return FacePath(face, path.jump & (face >= 0))


def seed_on_side(linked: Linked, one: Wanted, taken: Sequence[Flags]) -> int | None:
    """The track from which to follow a person with a side; None where there is no face on that side.

    The outermost of two or more faces seen together soon after the first one; else the widest face in that
    half of the picture when first there is one; else, where the person may be anywhere, the longest track.
    """
    lasting = [flags.copy() for flags in taken]
    short = {t for t, steps in linked.steps_of.items() if len(steps) < LASTING_STEPS}
    for flags in (_with_tracks(linked, lasting, short), taken):
        seed = _seed(linked, one, flags)
        if seed is not None:
            return seed
    return None


def _seed(linked: Linked, one: Wanted, taken: Sequence[Flags]) -> int | None:
    faces, side = linked.faces, one.side
    free = {k: np.flatnonzero(~taken[k]) for k in _steps_within(faces, one.labelled_s)}
    steps = [k for k, which in free.items() if len(which)]
    if not steps:
        return None
    for k in steps:
        if faces.time_s[k] > faces.time_s[steps[0]] + SEED_S + TIME_TOLERANCE_S:
            break
        width_px = faces.steps[k].width_px[free[k]]
        people = free[k][width_px >= BESIDE_WIDTH * width_px.max()]
        if len(people) >= 2:
            x = faces.steps[k].centre_xy[people, 0]
            return int(linked.track[k][people[np.argmin(x) if side == "left" else np.argmax(x)]])
    for k in steps:
        there = free[k][in_half(faces.steps[k], side, faces.width_px / 2)[free[k]]]
        if len(there):
            return int(linked.track[k][there[np.argmax(faces.steps[k].width_px[there])]])
    if not one.anywhere:
        return None
    names, counts = np.unique(np.concatenate([linked.track[k][free[k]] for k in steps]), return_counts=True)
    return int(names[np.argmax(counts)])


def _steps_within(faces: Faces, spans_s: Floats) -> list[int]:
    """The steps inside the spans, by half a step more on either side; all without spans."""
    if not len(spans_s):
        return list(range(len(faces.time_s)))
    slack_s = faces.step_s / 2
    begun = faces.time_s[:, None] >= spans_s[:, 0] - slack_s
    inside = (begun & (faces.time_s[:, None] <= spans_s[:, 1] + slack_s)).any(axis=1)
    return [int(k) for k in np.flatnonzero(inside)]


def _unsided(
    linked: Linked, taken: Sequence[Flags], one: Wanted, target: Target | int, rules: Rules
) -> FacePath:
    """The face of a subject without a side, among those that no other subject has."""
    if target == "first":
        return _first(linked, taken, rules)
    if target in ("left", "right"):
        aside = Wanted("left" if target == "left" else "right", one.labelled_s)
        return _follow_sides(linked, {"": aside}, [flags.copy() for flags in taken], rules)[""]
    people = people_of(linked, rules, taken)
    if isinstance(target, int):
        return _numbered(people, target).path
    if not people:
        return _nobody(linked)
    if one.leaves_out:
        return _joined(linked, people, rules)
    return (max(people, key=lambda person: person.width_px) if target == "largest" else people[0]).path


def _joined(linked: Linked, people: Sequence[Person], rules: Rules) -> FacePath:
    """The most prominent person, and others of about its size while it is out of sight: the same one."""
    first = people[0]
    face, jump = first.path.face.copy(), first.path.jump.copy()
    for person in people[1:]:
        there = person.path.face >= 0
        if person.width_px >= BESIDE_WIDTH * first.width_px and not (there & (face >= 0)).any():
            face[there] = person.path.face[there]
            jump |= person.path.jump
    return FacePath(face, jump | _jumps(linked, face, rules))


def _numbered(people: Sequence[Person], number: int) -> Person:
    if not 1 <= number <= len(people):
        there = f"{len(people)} people" if len(people) != 1 else "one person"
        raise NoSuchPerson(f"shows {there}, so none with the number {number}")
    return people[number - 1]


def _first(linked: Linked, taken: Sequence[Flags], rules: Rules) -> FacePath:
    """The paper's rule, on the faces that no other subject has."""
    faces = linked.faces
    free = [np.flatnonzero(~flags) for flags in taken]
    seen = [
        Detections(found.box_xyxy[which], found.score[which])
        for found, which in zip(faces.steps, free, strict=True)
    ]
    chosen = nearest_faces(
        seen,
        faces.time_s,
        faces.width_px,
        jump_widths=rules.jump_widths,
        jump_s=rules.jump_s,
        reacquire_s=rules.reacquire_s,
    )
    face = np.array([free[k][i] if i >= 0 else NOBODY for k, i in enumerate(chosen)], np.int64)
    return FacePath(face, _jumps(linked, face, rules))


def _jumps(linked: Linked, face: Integers, rules: Rules) -> Flags:
    """Where the path leads across a cut or farther than a person moves."""
    faces, cuts = linked.faces, np.cumsum(linked.faces.cut)
    jump, seen = np.zeros(len(face), bool), np.flatnonzero(face >= 0)
    for before, now in pairwise(seen.tolist()):
        last, next_ = faces.steps[before], faces.steps[now]
        away = np.linalg.norm(next_.centre_xy[face[now]] - last.centre_xy[face[before]])
        far = away > rules.jump_widths * max(float(last.width_px[face[before]]), 1.0)
        jump[now] = far or cuts[now] != cuts[before]
    return jump


def _with_tracks(linked: Linked, taken: Sequence[Flags], tracks: Set[int | None]) -> list[Flags]:
    """`taken`, and with it all faces of some tracks."""
    names = np.array(sorted(track for track in tracks if track is not None), np.int64)
    return [flags | np.isin(own, names) for flags, own in zip(taken, linked.track, strict=True)]


def _nobody(linked: Linked) -> FacePath:
    steps = len(linked.track)
    return FacePath(np.full(steps, NOBODY, np.int64), np.zeros(steps, bool))
