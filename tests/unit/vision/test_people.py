"""Who is in a video, and whose face each subject gets."""

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from stages.core.arrays import Floats
from stages.vision.detection import Detections
from stages.vision.found import cuts_of
from stages.vision.people import (
    FAR,
    Faces,
    Rules,
    _assigned,
    follow,
    link_faces,
    nothing_taken,
    people_of,
)
from stages.vision.search import changes, look_of
from stages.vision.targets import NoSuchPerson, Wanted, choose

WIDTH_PX, HEIGHT_PX, RATE_HZ = 1000, 600, 5.0
Where = Callable[[float], tuple[float, float] | None]
"""Middle and width of somebody's face at a time; None: not seen."""


def _video(
    seconds: float,
    people: Mapping[str, Where],
    cut_s: Sequence[float] = (),
    still: Sequence[str] = (),
) -> tuple[Faces, list[list[str]]]:
    """Faces on the grid, the widest first, and who each of them is."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    generator = np.random.default_rng(0)
    portraits = {name: generator.integers(0, 255, (16, 16)) for name in people}
    steps, names, patches = [], [], []
    for now_s in time_s:
        seen = {name: place for name, where in people.items() if (place := where(float(now_s)))}
        order = sorted(seen, key=lambda name: -seen[name][1])
        boxes = [(x - w / 2, 250 - w / 2, x + w / 2, 250 + w / 2) for x, w in (seen[name] for name in order)]
        score = np.linspace(0.99, 0.9, len(order), dtype=np.float32)
        steps.append(Detections(np.array(boxes, np.float32).reshape(-1, 4), score))
        names.append(order)
        looks = [
            portraits[name] + generator.normal(0, 2 if name in still else 30, (16, 16)) for name in order
        ]
        patches.append(np.clip(np.array(looks).reshape(-1, 16, 16), 0, 255).astype(np.uint8))
    cut = np.isin(np.round(time_s, 3), np.round(cut_s, 3))
    return Faces(steps, time_s, cut, WIDTH_PX, HEIGHT_PX, patches), names


def _at(x: float, width: float = 100, begin_s: float = 0, end_s: float = 1e9) -> Where:
    return lambda now_s: (x, width) if begin_s - 1e-9 <= now_s < end_s - 1e-9 else None


def _moving(x: tuple[float, float], at_s: float, width: float) -> Where:
    return lambda now_s: (x[now_s >= at_s], width)


def _who(
    video: tuple[Faces, list[list[str]]], wanted: Mapping[str, Wanted], target: str | int = "prominent"
) -> dict[str, list[str]]:
    """The names of the people whose faces each subject gets, `-` for none, step by step."""
    faces, names = video
    paths = choose(link_faces(faces, Rules()), wanted, target, Rules())  # type: ignore[arg-type]
    return {
        subject: [names[k][face] if face >= 0 else "-" for k, face in enumerate(path.face)]
        for subject, path in paths.items()
    }


def _spans(*spans_s: tuple[float, float]) -> Floats:
    return np.array(spans_s, float).reshape(-1, 2)


POSTER = _video(6, {"poster": _at(750, 130), "person": _at(300, 120, 1.6)}, still=["poster"])


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("prominent", "person"),
        (1, "person"),
        (2, "poster"),
        ("first", "poster"),
        ("largest", "poster"),
        ("left", "person"),
        ("right", "poster"),
    ],
)
def test_a_poster_is_seen_first_and_longest_and_is_not_the_person(target: str | int, expected: str) -> None:
    got = _who(POSTER, {"x": Wanted()}, target)["x"]
    assert set(got) == {expected} | ({"-"} if expected == "person" else set())
    assert got[-1] == expected


def test_a_person_who_is_not_there_is_refused() -> None:
    with pytest.raises(NoSuchPerson, match="2 people, so none with the number 3"):
        _who(POSTER, {"x": Wanted()}, 3)


def test_two_people_are_told_apart_also_while_one_is_missing() -> None:
    """The left person leaves for 3 s, and the right one walks over to the left half."""
    video = _video(
        10,
        {
            "left": lambda t: None if 3 <= t < 6 else (250, 100),
            "right": lambda t: (750 - 60 * min(max(t - 3.4, 0), 3), 100),
        },
    )
    got = _who(video, {"v_left": Wanted("left"), "v_right": Wanted("right")})
    assert set(got["v_left"]) == {"left", "-"}
    assert set(got["v_right"]) == {"right"}


@pytest.mark.parametrize("side", ["left", "right"])
def test_an_unsuffixed_subject_never_gets_its_siblings_face(side: str) -> None:
    video = _video(6, {"left": _at(260), "right": _at(740, 140)})
    sibling = Wanted(side)  # type: ignore[arg-type]
    other = "right" if side == "left" else "left"
    for wanted in (
        {"video2": Wanted(leaves_out={f"video2_{side}": sibling}), f"video2_{side}": sibling},
        {"video2": Wanted(leaves_out={f"video2_{side}": sibling})},  # the sibling isn't in this corpus
    ):
        got = _who(video, wanted)
        assert set(got["video2"]) == {other}
        assert set(got.get(f"video2_{side}", [side])) == {side}


def test_a_suffixed_subject_is_seeded_where_it_is_labelled() -> None:
    """`video59_right`: the main person is alone, right of the middle, until the other one comes."""
    video = _video(12, {"main": lambda t: (560, 120) if t < 6 else (260, 120), "second": _at(760, 120, 6)})
    sibling = Wanted("right", _spans((6, 12)))
    got = _who(video, {"v": Wanted(leaves_out={"v_right": sibling}), "v_right": sibling})
    assert set(got["v_right"]) == {"second", "-"}
    assert got["v_right"][30:] == ["second"] * 30
    assert set(got["v"]) - {"-"} == {"main"}
    unlabelled = _who(video, {"v_right": Wanted("right")})
    assert "main" in unlabelled["v_right"], "without labels it starts from the wrong one"


def test_a_lone_face_where_the_sibling_stands_later_is_the_person_without_a_side() -> None:
    """`video59` is alone right of the middle, and moves to the left when its sibling comes."""
    right = Wanted("right", _spans((5, 10)))
    wanted = {"x": Wanted(leaves_out={"x_right": right}), "x_right": right}
    for width, cut_s in ((120.0, [5.0]), (250.0, [])):  # at a cut; or near enough to be one track
        people = {"main": _moving((560, 260), 5, width), "other": _at(740, width, 5)}
        who = _who(_video(10, people, cut_s=cut_s), wanted)
        assert who["x_right"] == ["-"] * 25 + ["other"] * 25
        assert set(who["x"]) <= {"main", "-"}
        assert who["x"].count("main") >= 44, "a second passes before a face elsewhere is taken"


def test_runs_of_labels_seed_a_person_who_comes_and_goes() -> None:
    """`10-60-..._right`: labelled in four runs, and only then in the picture."""
    runs = ((2.4, 3.8), (5.2, 6.6), (7.8, 10), (16, 17))
    video = _video(
        20,
        {"main": _at(280), "guest": lambda t: (760, 100) if any(a <= t < b for a, b in runs) else None},
    )
    sibling = Wanted("right", _spans(*runs))
    got = _who(video, {"v": Wanted(leaves_out={"v_right": sibling}), "v_right": sibling})
    assert set(got["v"]) == {"main"}
    assert set(got["v_right"]) == {"guest", "-"}
    assert got["v_right"].count("guest") > 25


def test_a_video_of_the_sides_own_may_show_the_person_anywhere() -> None:
    video = _video(4, {"only": _at(300)})
    assert set(_who(video, {"v_right": Wanted("right", anywhere=True)})["v_right"]) == {"only"}
    assert set(_who(video, {"v_right": Wanted("right")})["v_right"]) == {"-"}


def test_random_pairs_never_share_a_face() -> None:
    generator = np.random.default_rng(4)
    for _ in range(40):
        people: dict[str, Where] = {}
        for name, x in (("a", 300.0), ("b", 700.0), ("c", 500.0)):
            phase, sway, gone = generator.uniform(0, 6), generator.uniform(0, 150), generator.uniform(0, 8)
            people[name] = lambda t, x=x, p=phase, s=sway, g=gone: (  # type: ignore[misc]
                None if g <= t < g + 1.6 else (x + s * np.sin(t + p), 90)
            )
        faces, _names = _video(10, people, cut_s=[5.0] if generator.random() < 0.5 else [])
        linked = link_faces(faces, Rules())
        left = Wanted("left", _spans((1, 9)))
        wanted = {"v": Wanted(leaves_out={"v_left": left}), "v_left": left}
        pair = choose(linked, wanted, "prominent", Rules())
        both = (pair["v"].face >= 0) & (pair["v"].face == pair["v_left"].face)
        assert not both.any()
        sides = choose(linked, {"v_left": left, "v_right": Wanted("right")}, "prominent", Rules())
        assert not ((sides["v_left"].face >= 0) & (sides["v_left"].face == sides["v_right"].face)).any()
        everyone = [person.path.face for person in people_of(linked, Rules())]
        for k in range(len(faces.steps)):
            shown = [path[k] for path in everyone if path[k] >= 0]
            assert len(set(shown)) == len(shown)


def test_a_cut_between_two_speakers_is_a_jump() -> None:
    video = _video(
        9,
        {
            "a": lambda t: (480, 120) if t < 3 or t >= 6 else None,
            "b": lambda t: (520, 120) if 3 <= t < 6 else None,
        },
        cut_s=[3.0, 6.0],
    )
    linked = link_faces(video[0], Rules())
    path = people_of(linked, Rules())[0].path
    assert video[0].time_s[path.jump].tolist() == [3.0, 6.0]
    assert (path.face >= 0).all()


@pytest.mark.parametrize(("moves_s", "jump_s", "missing_s"), [(5.0, 5.8, (5.0, 5.8)), (3.0, 3.0, (2.2, 3.0))])
def test_a_lone_person_is_found_again_elsewhere_after_a_second(
    moves_s: float, jump_s: float, missing_s: tuple[float, float]
) -> None:
    """From the longer track on, forwards or backwards in time; the jump is where the later track begins."""
    video = _video(8, {"a": lambda t: (200, 100) if t < moves_s - 1e-9 else (800, 100)})
    path = people_of(link_faces(video[0], Rules()), Rules())[0].path
    time_s = video[0].time_s
    assert time_s[path.jump].tolist() == [jump_s]
    missing = (time_s > missing_s[0] - 1e-9) & (time_s < missing_s[1] - 1e-9)
    assert (path.face < 0).tolist() == missing.tolist()


def test_a_face_seen_for_a_moment_elsewhere_is_not_taken() -> None:
    video = _video(8, {"a": _at(200, 100, 0, 3), "false": _at(800, 80, 6, 6.4)})
    assert [set(got) for got in _who(video, {"x": Wanted()}).values()] == [{"a", "-"}]


def test_crossing_people_keep_one_face_each() -> None:
    video = _video(6, {"a": lambda t: (200 + 100 * t, 100), "b": lambda t: (800 - 100 * t, 140)})
    linked = link_faces(video[0], Rules())
    assert len({int(track) for step in linked.track for track in step}) == 2
    first = follow(linked, 0, nothing_taken(video[0]), Rules())
    assert len({video[1][k][face] for k, face in enumerate(first.face)}) == 1


def test_nobody_anywhere() -> None:
    faces, _ = _video(2, {})
    assert people_of(link_faces(faces, Rules()), Rules()) == []
    for target in ("prominent", "first", "largest", "left"):
        assert set(_who((faces, []), {"x": Wanted()}, target)["x"]) == {"-"}


def test_cuts_are_told_from_motion() -> None:
    generator = np.random.default_rng(2)
    first, second = (generator.integers(0, 255, (9, 16, 3)).repeat(20, 0).repeat(20, 1) for _ in range(2))
    shots = [first] * 8 + [second] * 8
    moving = [
        np.roll(shot, 2 * k, axis=1) + generator.integers(0, 6, shot.shape) for k, shot in enumerate(shots)
    ]
    cut = cuts_of(changes([look_of(np.clip(shot, 0, 255).astype(np.uint8)) for shot in moving]))
    assert np.flatnonzero(cut).tolist() == [8]
    shaken = [np.roll(first, 40 * (-1) ** k * k, axis=1).astype(np.uint8) for k in range(12)]
    assert not cuts_of(changes([look_of(shot) for shot in shaken])).any()
    black = np.zeros((90, 160, 3), np.uint8)
    assert not cuts_of(changes([look_of(black)] * 5)).any()


def test_times_must_ascend() -> None:
    with pytest.raises(ValueError, match="one ascending time per frame"):
        Faces([], np.array([1.0]), np.zeros(1, bool), 10, 10)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (5, 1), (2, 2), (3, 2), (3, 4), (4, 4)])
@pytest.mark.parametrize("share", [0.3, 0.7, 1.0])
def test_faces_and_tracks_are_paired_as_the_whole_matrix_would_be(
    shape: tuple[int, int], share: float
) -> None:
    from scipy.optimize import linear_sum_assignment

    for seed in range(20):
        rng = np.random.default_rng(seed)
        cost, near = rng.random(shape), rng.random(shape) < share
        rows, columns = linear_sum_assignment(np.where(near, cost, FAR))
        theirs = [pair for pair in zip(rows.tolist(), columns.tolist(), strict=True) if near[pair]]
        ours = zip(*(found.tolist() for found in _assigned(cost, near)), strict=True)
        assert sorted(ours) == sorted(theirs)


def test_people_apart_are_paired_without_scipy() -> None:
    code = (
        "import sys, numpy as np; from stages.vision.people import _assigned\n"
        "cost = np.array([[0.1, 2.0, 5.0], [2.0, 0.3, 5.0], [5.0, 5.0, 5.0]])\n"
        "print(*(found.tolist() for found in _assigned(cost, cost < 4)), 'scipy.optimize' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[0, 1] [0, 1] False"


@pytest.mark.parametrize(("seconds", "people"), [(0.2, 3), (0.6, 2), (1.4, 2), (2.0, 2), (4.0, 2)])
def test_in_a_short_video_half_of_it_is_long_enough(seconds: float, people: int) -> None:
    """Two people, and from the first step alone a third; a picture is a video of one step."""
    faces, _ = _video(
        seconds, {"anna": _at(200), "ben": _at(800), "face in the wall": _at(500, 60, end_s=0.2)}
    )
    rules = Rules().in_all_of(faces)
    assert len(people_of(link_faces(faces, rules), rules)) == people
