"""When somebody is there, and what is said of the others."""

from pathlib import Path

import numpy as np
import pytest

from stages.core.artefacts import write_arrays
from stages.core.errors import ValaroError
from valaro.recordings.presence import Company, company_of, nobody_there, notes_on, require_person

STEP_S = 0.2


def _there(seen: str, max_gap_s: float, rate_hz: float = 10) -> str:
    """Steps with (x) and without (.) a face -> frames without (-) and with (v) a value."""
    detected = np.array([mark == "x" for mark in seen])
    grid_s, time_s = np.arange(len(seen)) * STEP_S, np.arange(len(seen) * rate_hz * STEP_S) / rate_hz
    return "".join("-" if away else "v" for away in nobody_there(time_s, grid_s, detected, max_gap_s))


@pytest.mark.parametrize(
    ("seen", "max_gap_s", "expected"),
    [
        ("xxx", 1.0, "vvvvvv"),
        ("..x", 1.0, "---vvv"),  # before the first face there is never a value
        ("..x", 9.0, "---vvv"),
        ("x.x", 0.0, "vv-vvv"),
        ("x.x", 0.2, "vvvvvv"),  # one step without a face lasts 0.2 s
        ("x..x", 0.2, "vv---vvv"),
        ("x..x", 0.4, "vvvvvvvv"),
        ("x...", 0.4, "vv------"),
        ("x...", 0.8, "vvvvvvvv"),
        ("...", 9.0, "------"),
    ],
)
def test_no_value_where_nobody_is(seen: str, max_gap_s: float, expected: str) -> None:
    assert _there(seen, max_gap_s) == expected


def test_gaps_by_brute_force() -> None:
    generator = np.random.default_rng(0)
    for _ in range(30):
        detected = generator.random(40) < 0.4
        detected[generator.integers(40)] = True
        grid_s, time_s = np.arange(40) / 5, np.sort(generator.uniform(0, 8, 90))
        seen_s = grid_s[detected]
        for t, away in zip(time_s, nobody_there(time_s, grid_s, detected, 0.6), strict=True):
            before, after = seen_s[seen_s + 0.1 <= t], seen_s[seen_s - 0.1 >= t]
            near = np.abs(seen_s - t).min() <= 0.1
            end_s = after[0] - 0.1 if len(after) else max(grid_s[-1], time_s[-1]) + 0.1
            gap_s = end_s - (before[-1] + 0.1) if len(before) else np.inf
            assert away == (not near and gap_s > 0.6 + 1e-6)


def test_notes_say_what_may_be_wrong() -> None:
    person = {"person": 1}
    together = Company([person, person], np.array([1, 1, 0, 0]), [], [])
    assert notes_on(together, np.ones(4, bool)) == [
        "2 faces in 50% of the time; --person chooses another, or all"
    ]
    jumps = Company([person], np.zeros(4), [3.0, 4.5], [4.5, 6.0])
    assert notes_on(jumps, np.ones(4, bool)) == [
        "the track jumps at 3.0, 4.5 s: from there on it may be someone else",
        "the picture cuts at 6.0 s",
    ]
    many = Company([person], np.zeros(4), [float(k) for k in range(9)], [])
    assert notes_on(many, np.ones(4, bool))[0].startswith(
        "the track jumps at 0.0, 1.0, 2.0, 3.0, 4.0 s and 4 more"
    )
    assert notes_on(Company([person], np.zeros(4), [], []), np.ones(4, bool)) == []
    assert notes_on(together, np.ones(4, bool), everyone=True) == ["2 faces in 50% of the time"]
    group = Company([person] * 20, np.array([24]), [], [])
    assert notes_on(group, np.ones(1, bool), picture=True) == [
        "25 faces in it; --person chooses another, or all"
    ]
    assert notes_on(group, np.ones(1, bool), picture=True, everyone=True) == [
        "25 faces in it",
        "only the 20 most prominent people have a trace",
    ]


def test_company_is_read_from_what_the_stage_wrote(tmp_path: Path) -> None:
    time_s = np.arange(3) / 5
    write_arrays(
        tmp_path / "own.h5",
        {"time_s": time_s, "jump": np.array([False, False, True]), "others": np.array([0, 1, 1], np.uint8)},
    )
    write_arrays(
        tmp_path / "tracks.h5",
        {
            "person": np.array([0, 0, 1, 0, 1, -1]),
            "step": np.array([0, 1, 1, 2, 2, 2]),
            "seen_s": np.array([0.6, 0.4]),
            "width_px": np.array([90.0, 40.0]),
            "centre_xy": np.array([[0.25, 0.5], [0.75, 0.5]]),
            "motion": np.array([0.2, 0.0]),
            "cut": np.array([False, True, False]),
        },
    )
    company = company_of(tmp_path / "own.h5", tmp_path / "tracks.h5")
    assert [(one["person"], one["from_s"], one["to_s"]) for one in company.people] == [
        (1, 0, 0.4),
        (2, 0.2, 0.4),
    ]
    assert (company.jump_s, company.cut_s) == ([0.4], [0.2])


@pytest.mark.parametrize("word", ["left", "ALL", " 2 ", "first", None])
def test_people_who_can_be_asked_for(word: str | None) -> None:
    assert require_person(word) == (word and word.lower().strip())


@pytest.mark.parametrize("word", ["0", "-1", "me", "", "1.5"])
def test_people_who_cannot(word: str) -> None:
    with pytest.raises(ValaroError, match="is none of"):
        require_person(word)
