"""Who is in a video: every face's track, and the people that tracks make up.

1. `link_faces` joins the faces of neighbouring frames into tracks, each face to at most one track. A cut of
   the picture ends all of them.
2. `follow` goes along one person's tracks, forwards and backwards from a seed: a face at the last place is
   taken at once, one elsewhere only after a while, and never one that was seen together with the person.
   Where the way leads across a cut or to another place, it is marked as a jump: it may be someone else.
3. `people_of` does that until nobody is left, and orders the people by how likely one of them is the person
   that the video is about: seen long, large, moving (a poster doesn't move), near the middle.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from stages.core.arrays import Flags, Floats, Image, Integers
from stages.vision.detection import Detections
from stages.vision.tracks import TIME_TOLERANCE_S, Side, Track

NOBODY = -1
MAX_WIDTH_RATIO = 2.0
"""A face that is suddenly more than twice as wide, or half, is another."""
TOGETHER_STEPS = 2
"""Steps that two tracks share from which they are two people: a face found twice in one step isn't enough."""
LASTING_STEPS = 3
"""A track of fewer steps isn't trusted to be a face, unless it is where the person was."""
STILL_WEIGHT = 0.1
"""Weight of a face that doesn't move, relative to one that does."""
FAR = 1e6
"""Cost of a pair that is no pair."""
EDGE_WEIGHT = 0.5
"""Weight of a face in the picture's corner, relative to one in its middle."""
MAX_PEOPLE = 20


@dataclass(frozen=True)
class Rules:
    """How far and after how long a face is still the same person; see the `faces` section of params.yaml."""

    jump_widths: float = 1.5
    jump_s: float = 0.5
    reacquire_s: float = 1.0
    min_motion: float = 0.08
    min_seen_s: float = 1.0

    def in_all_of(self, faces: "Faces") -> "Rules":
        """The rules for these faces: of a short video, half is long enough; in a picture everyone lasts."""
        return replace(self, min_seen_s=min(self.min_seen_s, len(faces.steps) * faces.step_s / 2))


@dataclass(frozen=True)
class Faces:
    """All faces of one video.

    Args:
        steps: the faces of each step.
        time_s: (T,) ascending.
        patches: per step (F, P, P) uint8, each face in grey; empty where motion isn't measured.
        cut: (T,) the picture cuts between the step before and this one.
        width_px: of the picture.
        height_px: of the picture.
    """

    steps: Sequence[Detections]
    time_s: Floats
    cut: Flags
    width_px: int
    height_px: int
    patches: Sequence[Image] = ()

    def __post_init__(self) -> None:
        if len(self.steps) != len(self.time_s) or np.any(np.diff(self.time_s) <= 0):
            raise ValueError(
                f"{len(self.steps)} frames, {len(self.time_s)} times; wanted one ascending time per frame"
            )

    @property
    def step_s(self) -> float:
        """Time between two steps."""
        return float(np.median(np.diff(self.time_s))) if len(self.time_s) > 1 else 0.0


@dataclass
class Linked:
    """Faces and the track of each.

    Args:
        faces: of the video.
        track: per step (F,), the track that each face belongs to.
    """

    faces: Faces
    track: list[Integers]
    _rivals: dict[int, set[int]] = field(default_factory=dict)

    @cached_property
    def steps_of(self) -> dict[int, list[int]]:
        """The steps in which each track has a face, ascending."""
        found: dict[int, list[int]] = {}
        for step, tracks in enumerate(self.track):
            for track in tracks.tolist():
                found.setdefault(track, []).append(step)
        return found

    def rivals(self, track: int) -> set[int]:
        """Tracks that were seen together with this one: other people's."""
        if track not in self._rivals:
            beside = Counter(other for step in self.steps_of[track] for other in self.track[step].tolist())
            self._rivals[track] = {
                other for other, count in beside.items() if count >= TOGETHER_STEPS and other != track
            }
        return self._rivals[track]


def _assigned(cost: Floats, near: Flags) -> tuple[Integers, Integers]:
    """The most pairs of rows and columns that are near, with the least sum of costs.

    Shape: (R, C), (R, C) -> (K,), (K,).
    """
    rows: Integers = np.flatnonzero(near.any(axis=1))
    columns: Integers = np.flatnonzero(near.any(axis=0))
    if len(rows) > len(columns):
        columns, rows = _assigned(cost.T, near.T)
        return rows, columns
    allowed = np.where(near, cost, FAR)[np.ix_(rows, columns)]
    cheapest = allowed.argmin(axis=1) if len(rows) else np.empty(0, np.int64)
    if len(set(cheapest.tolist())) == len(rows):
        # Every row has its cheapest column: nothing costs less. SciPy's optimisers, which nearly always can
        # stay away for that, take a quarter of a second to import.
        return rows, columns[cheapest]
    from scipy.optimize import linear_sum_assignment

    row, column = linear_sum_assignment(allowed)
    rows, columns = rows[row], columns[column]
    fits = near[rows, columns]
    return rows[fits], columns[fits]


def link_faces(faces: Faces, rules: Rules) -> Linked:
    """Join faces of neighbouring frames; a track goes on after up to `reacquire_s` without a face."""
    linked: list[Integers] = []
    centre, width, last_s, name = np.empty((0, 2)), np.empty(0), np.empty(0), np.empty(0, np.int64)
    tracks = 0
    for step, found in enumerate(faces.steps):
        now_s = faces.time_s[step]
        alive = (now_s - last_s <= rules.reacquire_s + TIME_TOLERANCE_S) & ~faces.cut[step]
        centre, width, last_s, name = centre[alive], width[alive], last_s[alive], name[alive]
        of_face = np.full(len(found), NOBODY, np.int64)
        if len(found) and len(name):
            cost, near = _distance(centre, width, found, rules.jump_widths)
            rows, columns = _assigned(cost, near)
            of_face[columns] = name[rows]
            centre[rows], width[rows], last_s[rows] = found.centre_xy[columns], found.width_px[columns], now_s
        new = np.flatnonzero(of_face == NOBODY)
        of_face[new] = np.arange(tracks, tracks + len(new))
        tracks += len(new)
        centre, width = np.concatenate([centre, found.centre_xy[new]]), np.append(width, found.width_px[new])
        last_s, name = np.append(last_s, np.full(len(new), now_s)), np.append(name, of_face[new])
        linked.append(of_face)
    return Linked(faces, linked)


def _distance(centre: Floats, width: Floats, found: Detections, jump_widths: float) -> tuple[Floats, Flags]:
    """How unlike last faces and new ones are, and which may be the same. (A, 2), (A,) -> (A, F) each."""
    last_px = np.maximum(width, 1.0)[:, None]
    widths = np.linalg.norm(centre[:, None] - found.centre_xy[None], axis=2) / last_px
    ratio = np.abs(np.log(np.maximum(found.width_px, 1.0)[None] / last_px))
    return widths + ratio, (widths <= jump_widths) & (ratio <= np.log(MAX_WIDTH_RATIO))


@dataclass(frozen=True)
class FacePath:
    """Which face of each step is the person: (T,) its index or -1; (T,) where that may be someone else."""

    face: Integers
    jump: Flags

    def track(self, faces: Faces) -> Track:
        """The path as boxes and scores."""
        box_xyxy = np.full((len(self.face), 4), np.nan, np.float32)
        score = np.full(len(self.face), np.nan, np.float32)
        for step in np.flatnonzero(self.face >= 0):
            box_xyxy[step] = faces.steps[step].box_xyxy[self.face[step]]
            score[step] = faces.steps[step].score[self.face[step]]
        return Track(box_xyxy, score, self.face >= 0)


def follow(
    linked: Linked, seed: int, taken: Sequence[Flags], rules: Rules, side: Side | None = None
) -> FacePath:
    """One person from the track `seed` to both ends of the video.

    Args:
        linked: faces and their tracks.
        seed: a track of this person.
        taken: per step (F,), the faces that are known to be other people's.
        rules: how far and after how long.
        side: of a person in one half of the picture: elsewhere than at the last place only a face in that
            half is taken, and before the seed none (the other half's face is known to be another's).
    """
    walk = _Walk(linked, taken, rules, side)
    own = linked.steps_of[seed]
    walk.rivals |= linked.rivals(seed)
    for step in own:
        walk.take(step, int(np.flatnonzero(linked.track[step] == seed)[0]), jump=False)
    walk.along(own[-1], range(own[-1] + 1, len(linked.track)), far=True)
    walk.along(own[0], range(own[0] - 1, -1, -1), far=side is None)
    return FacePath(walk.face, walk.jump)


class _Walk:
    """The state of `follow`."""

    def __init__(self, linked: Linked, taken: Sequence[Flags], rules: Rules, side: Side | None) -> None:
        steps = len(linked.track)
        self.linked, self.faces, self.taken, self.rules, self.side = linked, linked.faces, taken, rules, side
        self.face, self.jump = np.full(steps, NOBODY, np.int64), np.zeros(steps, bool)
        self.rivals: set[int] = set()
        self.cuts = np.cumsum(linked.faces.cut)

    def take(self, step: int, face: int, *, jump: bool) -> None:
        if not self.taken[step][face]:
            self.face[step], self.jump[step] = face, jump

    def along(self, last: int, steps: Iterable[int], *, far: bool) -> None:
        """Go on from the step `last`, in one direction."""
        current = int(self.linked.track[last][self.face[last]]) if self.face[last] >= 0 else NOBODY
        refused = False
        for step in steps:
            own = np.flatnonzero(self.linked.track[step] == current)
            if not len(own):
                if current >= 0 and self._comes_back(current, last, step):
                    continue
                nearest, refused = self._elsewhere(last, step, refused, far=far)
                if nearest is None:
                    continue
                current = int(self.linked.track[step][nearest])
                self.rivals |= self.linked.rivals(current)
                jumps = self._distance(last, step)[nearest] > self.rules.jump_widths
                crosses = self.cuts[step] != self.cuts[last]
                self.take(step, nearest, jump=False)
                self.jump[max(step, last)] |= bool(jumps or crosses)
            else:
                self.take(step, int(own[0]), jump=False)
            if self.face[step] >= 0:
                last, refused = step, False

    def _comes_back(self, track: int, last: int, step: int) -> bool:
        steps = self.linked.steps_of[track]
        return steps[-1] > step if step > last else steps[0] < step

    def _elsewhere(self, last: int, step: int, refused: bool, *, far: bool) -> tuple[int | None, bool]:
        """The nearest face that may be this person, if any; and whether faces had to be refused."""
        found = self.faces.steps[step]
        free = ~self.taken[step] & np.array(
            [t not in self.rivals for t in self.linked.track[step].tolist()], bool
        )
        if self.face[last] < 0 or not free.any():
            return None, refused
        gap_s = abs(float(self.faces.time_s[step] - self.faces.time_s[last]))
        distance = self._distance(last, step)
        eligible = free & (distance <= self.rules.jump_widths)
        waits_s = (
            self.rules.reacquire_s - TIME_TOLERANCE_S if refused else self.rules.jump_s + TIME_TOLERANCE_S
        )
        if far and gap_s > waits_s:
            eligible |= free & in_half(found, self.side, self.faces.width_px / 2)
        # At the same place one face will do; elsewhere, and after a cut, a short track may be no face at all.
        steps_of = self.linked.steps_of
        lasts = [len(steps_of[track]) >= LASTING_STEPS for track in self.linked.track[step].tolist()]
        same_place = (distance <= self.rules.jump_widths) & (self.cuts[step] == self.cuts[last])
        eligible &= same_place | np.array(lasts, bool)
        if not eligible.any():
            return None, True
        return int(np.argmin(np.where(eligible, distance, np.inf))), False

    def _distance(self, last: int, step: int) -> Floats:
        """How far each face of a step is from the last one, in its widths. -> (F,)."""
        before = self.faces.steps[last]
        centre, width_px = before.centre_xy[self.face[last]], float(before.width_px[self.face[last]])
        away = np.linalg.norm(self.faces.steps[step].centre_xy - centre, axis=1)
        return np.asarray(away / max(width_px, 1.0))


def in_half(faces: Detections, side: Side | None, middle_px: float) -> Flags:
    """Which faces lie in that half of the image; all without a side."""
    on_left = faces.centre_xy[:, 0] < middle_px
    return np.ones(len(faces), bool) if side is None else on_left if side == "left" else ~on_left


@dataclass(frozen=True)
class Person:
    """One person of a video.

    Args:
        path: which face it is in each step.
        seen_s: for how long.
        width_px: median width of the face.
        centre_xy: (2,) median middle of the face, as shares of the picture.
        motion: how much face and box change from step to step; near 0 for a picture of a face.
        weight: the larger, the likelier the video is about this person.
    """

    path: FacePath
    seen_s: float
    width_px: float
    centre_xy: Floats
    motion: float
    weight: float


def nothing_taken(faces: Faces) -> list[Flags]:
    """Per step (F,): no face is anybody's yet."""
    return [np.zeros(len(found), bool) for found in faces.steps]


def take(taken: Sequence[Flags], path: FacePath) -> None:
    """Mark a person's faces as taken."""
    for step in np.flatnonzero(path.face >= 0):
        taken[step][path.face[step]] = True


def people_of(linked: Linked, rules: Rules, taken: Sequence[Flags] | None = None) -> list[Person]:
    """Everyone who is seen for at least `min_seen_s`, the most prominent first; if nobody is, one person.

    Args:
        linked: faces and their tracks.
        rules: how far and after how long.
        taken: per step (F,), faces that are not to be considered.
    """
    faces = linked.faces
    taken = [flags.copy() for flags in taken] if taken is not None else nothing_taken(faces)
    seeds = {track: _weigh(faces, *_faces_of(linked, track, taken), rules)[0] for track in linked.steps_of}
    found: list[Person] = []
    for seed in sorted(seeds, key=lambda track: (-seeds[track], track)):
        if len(found) >= MAX_PEOPLE:
            break
        steps, _ = _faces_of(linked, seed, taken)
        if not len(steps) or (found and len(steps) * faces.step_s < rules.min_seen_s - TIME_TOLERANCE_S):
            continue
        person = person_of(linked, follow(linked, seed, taken, rules), rules)
        take(taken, person.path)
        found.append(person)
    lasting = [person for person in found if person.seen_s >= rules.min_seen_s - TIME_TOLERANCE_S]
    return sorted(lasting or found[:1], key=lambda person: -person.weight)


def person_of(linked: Linked, path: FacePath, rules: Rules) -> Person:
    """A path, and what tells how prominent the person is."""
    faces, steps = linked.faces, np.flatnonzero(path.face >= 0)
    weight, width_px, centre, motion = _weigh(faces, steps, path.face[steps], rules)
    return Person(path, len(steps) * faces.step_s, width_px, centre, motion, weight)


def _faces_of(linked: Linked, track: int, taken: Sequence[Flags]) -> tuple[Integers, Integers]:
    """Steps of a track and its face in each, without those that are taken."""
    steps = linked.steps_of[track]
    pairs = [(step, int(np.flatnonzero(linked.track[step] == track)[0])) for step in steps]
    free = [(step, face) for step, face in pairs if not taken[step][face]]
    return np.array([step for step, _ in free], np.int64), np.array([face for _, face in free], np.int64)


def _weigh(
    faces: Faces, steps: Integers, chosen: Integers, rules: Rules
) -> tuple[float, float, Floats, float]:
    """Weight, median width, median place, motion of the faces chosen in some steps."""
    if not len(steps):
        return 0.0, 0.0, np.zeros(2), 0.0
    pairs = list(zip(steps.tolist(), chosen.tolist(), strict=True))
    boxes = np.array([faces.steps[step].box_xyxy[face] for step, face in pairs])
    size = np.array([faces.width_px, faces.height_px], float)
    width_px = float(np.median(boxes[:, 2] - boxes[:, 0]))
    centre = np.median((boxes[:, :2] + boxes[:, 2:]) / 2, axis=0) / size
    motion = _motion(faces, pairs, boxes)
    moving = 1.0 if motion is None else max(STILL_WEIGHT, min(1.0, motion / rules.min_motion) ** 2)
    off_centre = min(1.0, float(np.linalg.norm(centre - 0.5)) / np.sqrt(0.5))
    place = 1 - (1 - EDGE_WEIGHT) * off_centre
    seen_s = len(steps) * max(faces.step_s, TIME_TOLERANCE_S)
    return seen_s * width_px / size[0] * moving * place, width_px, centre, motion or 0.0


def _motion(faces: Faces, pairs: list[tuple[int, int]], boxes: Floats) -> float | None:
    """Median change from step to step: of the box in its widths, and of the face inside; None: unknown.

    Faces are compared in grey at equal mean and contrast: noise, flicker and a slow zoom count little.
    """
    steps = np.array([step for step, _ in pairs])
    next_to = np.flatnonzero(np.diff(steps) == 1)
    if not len(faces.patches) or len(next_to) < TOGETHER_STEPS:
        return None
    patches = np.array([faces.patches[step][face] for step, face in pairs], np.float32).reshape(
        len(pairs), -1
    )
    patches -= patches.mean(axis=1, keepdims=True)
    patches /= np.maximum(np.linalg.norm(patches, axis=1, keepdims=True), 1e-6)
    alike = np.sum(patches[next_to] * patches[next_to + 1], axis=1)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    moved = np.linalg.norm(centre[next_to + 1] - centre[next_to], axis=1)
    widths = moved / np.maximum(boxes[next_to, 2] - boxes[next_to, 0], 1.0)
    return float(np.median(widths + np.sqrt(np.clip(1 - alike, 0, None))))
