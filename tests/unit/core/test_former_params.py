"""Parameter files of earlier versions load, and mean what they meant.

Here after adding a parameter? Give it a value in `ADDED_KEYS` of stages/core/former_params.py: the one that means
what the program did before there was the parameter.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stages.core.errors import ValaroError
from stages.core.former_params import upgraded
from stages.core.params import load_params
from stages.core.yaml_text import read_yaml, yaml_text

VERSION_0_1 = Path(__file__).parents[2] / "data" / "params_0_1"
REMEDY = (
    "a parameter came without a value for files that lack it. Give it a default: an entry in ADDED_KEYS of "
    "stages/core/former_params.py, with the value that means what the program did before"
)
OTHERWISE_THEN: dict[str, Any] = {
    "embed.mirrored": False,
    "decode.keep_frames": True,
    "index.lists": ".",
    "index.group_parts": False,
    "faces.scales": "native",
    "faces.target": "first",
    "finetune.frozen_draws": None,
    "speech.min_mouth_motion": 0.0,
    "dynamic.missing": "as_seen",
    "predict.max_gap_s": None,
    "compute.trainings_at_once": 1,
}
"""Parameters that came later, whose value for version 0.1 isn't that of the sample's profile."""


def leaves(content: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every parameter by its dotted name."""
    for name, value in content.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def now(profile: str) -> dict[str, Any]:
    """What the program makes of a profile of version 0.1."""
    try:
        return dict(leaves(load_params(VERSION_0_1 / f"{profile}.yaml").model_dump(mode="json")))
    except ValaroError as error:
        pytest.fail(f"{REMEDY}. {error}")


@pytest.mark.parametrize("profile", ["sample", "affwild2"])
def test_what_version_0_1_said_is_kept_under_todays_names(profile: str) -> None:
    said = dict(leaves(read_yaml(VERSION_0_1 / f"{profile}.yaml")))
    assert said.pop("fuse.voiced_window_s") == 4.0
    assert said.pop("cross_attention.silence") == "voiced_mean"
    expected = said | {"fuse.speaking_window_s": 4.0, "cross_attention.silence": "speaking_mean"}
    assert {key: value for key, value in now(profile).items() if key in expected} == expected


def test_what_it_did_not_say_means_what_it_did(repository: Path) -> None:
    today = dict(leaves(read_yaml(repository / "profiles" / "sample.yaml")))
    said = dict(leaves(read_yaml(VERSION_0_1 / "sample.yaml")))
    found = now("sample")
    assert found.keys() >= today.keys(), REMEDY
    said["fuse.speaking_window_s"] = said.pop("fuse.voiced_window_s")
    expected = {key: value for key, value in today.items() if key not in said} | OTHERWISE_THEN
    differing = {key: found[key] for key, value in expected.items() if found[key] != value}
    assert not differing, "name these in OTHERWISE_THEN, if that is what version 0.1 did"


def test_a_value_in_the_file_goes_before_the_one_of_the_table(repository: Path) -> None:
    content = read_yaml(repository / "profiles" / "sample.yaml")
    assert upgraded(content) == (content, [])
    del content["faces"]["target"]
    assert upgraded(content).content["faces"]["target"] == "first"
    assert upgraded(content).added == ["faces.target"]
    assert "target" not in content["faces"], "the caller's content was changed"


def test_a_parameter_that_is_gone_is_no_unknown_one(repository: Path, tmp_path: Path) -> None:
    content = read_yaml(repository / "profiles" / "sample.yaml")
    path = tmp_path / "params.yaml"
    path.write_text(
        yaml_text(content | {"intervals": content["intervals"] | {"share": 0.5}}), encoding="utf-8"
    )
    assert load_params(path) == load_params(repository / "profiles" / "sample.yaml")


@pytest.mark.parametrize(
    ("section", "key", "value", "says"),
    [
        ("fuse", "voiced_window", 4.0, "fuse.voiced_window: no such parameter"),
        (
            "fuse",
            "speaking_window_s",
            2.0,
            "fuse.voiced_window_s: no such parameter",
        ),  # beside the former one
        ("cross_attention", "silence", "voiced", "'speaking_mean' or 'as_heard'"),
    ],
)
def test_unknown_keys_and_values_are_refused_as_ever(
    section: str, key: str, value: Any, says: str, tmp_path: Path
) -> None:
    content = read_yaml(VERSION_0_1 / "sample.yaml")
    content[section][key] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml_text(content), encoding="utf-8")
    with pytest.raises(ValaroError, match=says):
        load_params(path)


@pytest.mark.parametrize("content", [None, "words", ["index"], {"index": 3}, {"faces": None}])
def test_what_is_no_parameter_file_is_left_for_the_check(content: Any) -> None:
    found = upgraded(content).content
    if isinstance(content, dict):
        found = {key: value for key, value in found.items() if key in content}
    assert found == content
