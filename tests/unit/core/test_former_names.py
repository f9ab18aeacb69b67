"""What version 0.1 wrote is read under its own names, and nothing else changes."""

from pathlib import Path
from typing import Any

import pytest

from stages.core.artefacts import read_config, write_tensors
from stages.core.former_names import FORMER_NAMES, former_name, held_name, present_name, with_present_names


def test_names_lead_there_and_back() -> None:
    assert len(set(FORMER_NAMES.values())) == len(FORMER_NAMES)
    assert not set(FORMER_NAMES.values()) & set(FORMER_NAMES)
    for former, now in FORMER_NAMES.items():
        assert (present_name(former), former_name(now)) == (now, former)
        assert present_name(now) == now


@pytest.mark.parametrize(
    ("name", "among", "held"),
    [
        ("speaking", ["time_s", "voiced"], "voiced"),
        ("speaking", ["speaking", "voiced"], "speaking"),
        ("speaking", ["time_s"], "speaking"),
        ("valence", ["valence", "voiced"], "valence"),
    ],
)
def test_a_column_is_found_under_either_name(name: str, among: list[str], held: str) -> None:
    assert held_name(name, among) == held


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"best": "dwf_voiced_dynamic_audio"}, {"best": "dwf_speaking_dynamic_audio"}),
        ({"dwf_voiced_dynamic_audio": {"videos": 6}}, {"dwf_speaking_dynamic_audio": {"videos": 6}}),
        ([{"silence": "voiced_mean"}, 3, None], [{"silence": "speaking_mean"}, 3, None]),
        ({"file": "unvoiced.mp4", "voiced_s": 1}, {"file": "unvoiced.mp4", "voiced_s": 1}),
    ],
)
def test_json_gets_todays_names(content: Any, expected: Any) -> None:
    assert with_present_names(content) == expected


def test_the_header_of_a_model_gets_todays_names(tmp_path: Path) -> None:
    config = {"fusion": "dwf_voiced_dynamic_audio", "systems": ["dynamic", "audio"], "voiced_window_s": 4.0}
    write_tensors(tmp_path / "fusion.safetensors", {}, **config)
    assert read_config(tmp_path / "fusion.safetensors") == {
        "fusion": "dwf_speaking_dynamic_audio",
        "systems": ["dynamic", "audio"],
        "speaking_window_s": 4.0,
    }
