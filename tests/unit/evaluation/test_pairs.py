"""Pairs of systems: what makes recordings hard is taken out; ties go to the simpler."""

import numpy as np
import pytest

from stages.core.measures import Moments, moments_per_target
from stages.core.systems import FUSIONS, SYSTEMS, complexity
from stages.evaluation.pairs import Pair, best_of, compare

OPTIONS = {"resamples": 400, "confidence": 0.95, "seed": 0}
Recordings = dict[str, tuple[Moments, Moments]]


def systems(*skills: float, recordings: int = 12, noise: float = 0.0) -> dict[str, Recordings]:
    """Systems that shrink the labels by a skill each, on recordings of very different difficulty."""
    rng = np.random.default_rng(0)
    found: dict[str, Recordings] = {f"s{k}": {} for k in range(len(skills))}
    for place in range(recordings):
        truth = rng.normal(0, 0.5, (60, 2))
        hard = rng.normal(0, rng.uniform(0, 0.8), truth.shape)  # the same for all systems
        for k, skill in enumerate(skills):
            said = skill * truth + hard + rng.normal(0, noise, 2)
            found[f"s{k}"][f"r{place}"] = moments_per_target(truth, said)
    return found


def test_a_small_difference_on_every_recording_is_seen() -> None:
    """Though the systems' own intervals overlap by far."""
    (pair,) = compare(systems(0.9, 0.8), **OPTIONS)
    assert (pair.first, pair.second, pair.recordings) == ("s0", "s1", 12)
    assert 0 < pair.low < pair.difference < pair.high
    assert not pair.within_noise


def test_luck_is_within_the_noise() -> None:
    (pair,) = compare(systems(0.9, 0.9, noise=0.3), **OPTIONS)
    assert pair.within_noise
    assert pair.difference >= 0


def test_pairs_are_of_the_recordings_that_both_predict() -> None:
    found = systems(0.9, 0.8)
    for name in list(found["s1"])[:10]:
        del found["s1"][name]
    (pair,) = compare(found, **OPTIONS)
    assert pair.recordings == 2
    del found["s1"]["r11"]
    assert compare(found, **OPTIONS) == []


@pytest.mark.parametrize(
    ("noise", "best", "within"),
    [
        ([("a", "b"), ("a", "c")], "c", ["c", "a", "b"]),
        ([("a", "b")], "a", ["a", "b"]),
        ([], "a", ["a"]),
    ],
)
def test_the_simplest_within_the_noise_of_the_highest_is_the_best(
    noise: list[tuple[str, str]], best: str, within: list[str]
) -> None:
    figures = {"a": 0.6, "b": 0.59, "c": 0.55}
    pairs = [
        Pair(one, other, 0.01, -0.1 if (one, other) in noise else 0.005, 0.2, 9)
        for one, other in (("a", "b"), ("a", "c"), ("b", "c"))
    ]
    rank = {"c": 0, "a": 1, "b": 2}
    full = systems(0.5, recordings=3)["s0"]
    found = best_of(dict.fromkeys(figures, full), figures, pairs, lambda name: (rank[name], 0, name))
    assert found == (best, "a", within)


def test_a_system_that_abstains_does_not_compete() -> None:
    full = systems(0.5, recordings=4)["s0"]
    some = {name: full[name] for name in list(full)[:2]}
    assert best_of({"a": some, "b": full}, {"a": 0.9, "b": 0.1}, [], lambda name: (0, 0, name))[0] == "b"
    with pytest.raises(ValueError, match="no system"):
        best_of({}, {}, [], lambda name: (0, 0, name))


def test_simple_means_few_systems_and_sums_before_forests() -> None:
    ranked = sorted([*SYSTEMS, *FUSIONS], key=complexity)
    assert ranked[:4] == ["audio", "static", "kelm", "dynamic"]
    assert ranked.index("dwf_dynamic_audio") < ranked.index("dwf_speaking_dynamic_audio")
    assert ranked.index("dwf_dynamic_audio_kelm") < ranked.index("rf_dynamic_audio_kelm")
    assert (
        ranked.index("dynamic") < ranked.index("dwf_dynamic_audio") < ranked.index("dwf_dynamic_audio_kelm")
    )
