"""Eight figures of a run, whatever the evaluation's protocols are called."""

import pytest

from stages.core.systems import SYSTEMS
from stages.evaluation.headline import PROTOCOLS, headline, unscored


def scored(mean: float, **more: float) -> dict:
    return {
        "ccc": {
            "valence": {"value": mean - 0.1},
            "arousal": {"value": mean + 0.1},
            "mean": {"value": mean, **more},
        }
    }


def test_the_best_system_and_every_single_one() -> None:
    systems: dict = {name: {"validation": scored(0.5 + k / 10)} for k, name in enumerate(SYSTEMS)}
    systems["dwf_dynamic_audio"] = {
        "validation_paper": scored(0.9),
        "validation_grouped": scored(0.8, low=0.71, high=0.88),
        "optimism": 0.1,
    }
    found = headline({"best": "dwf_dynamic_audio", "systems": systems})
    assert list(found)[:6] == ["valence", "arousal", "mean", "optimism", *list(SYSTEMS)[:2]]
    assert found["mean"] == 0.8
    assert found["optimism"] == 0.1
    assert [found[name] for name in SYSTEMS] == pytest.approx([0.5 + k / 10 for k in range(len(SYSTEMS))])
    assert len(found) == 4 + len(SYSTEMS)


@pytest.mark.parametrize("first", PROTOCOLS)
def test_the_most_trustworthy_protocol_counts(first: str) -> None:
    later = PROTOCOLS[PROTOCOLS.index(first) :]
    protocols = {name: scored(0.9 - k / 10) for k, name in enumerate(later)}
    assert headline({"best": "dynamic", "systems": {"dynamic": protocols}})["mean"] == 0.9


def test_what_was_not_scored_is_left_out_and_can_be_named() -> None:
    systems = {"audio": {"validation": scored(0.4)}, "kelm": {"train": scored(1)}, "static": {}}
    found = headline({"best": "audio", "systems": systems})
    assert unscored({"systems": systems | {"dynamic": {"as_published": scored(1)}}}) == ["kelm", "static"]
    assert unscored({}) == []
    assert found == {"valence": 0.3, "arousal": 0.5, "mean": 0.4, "audio": 0.4}
