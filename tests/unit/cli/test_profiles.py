"""Profiles: what differs, what is kept."""

from pathlib import Path
from typing import Any

import pytest

from stages.core.errors import ValaroError
from stages.core.profiles import active_profile, differences, find_profiles, first_comment, switch_profile

CASES: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    ({"a": 1}, {"a": 1}, []),
    ({"a": 1}, {"a": 2}, ["a: 1 → 2"]),
    ({"a": {"b": {"c": 1, "d": 2}}}, {"a": {"b": {"c": 1, "d": None}}}, ["a.b.d: 2 → null"]),
    ({"a": [1, 2]}, {"a": [1]}, ["a: [1, 2] → [1]"]),
    ({"a": 1}, {"b": "x"}, ["a: 1 → (absent)", "b: (absent) → x"]),
    ({"a": "one/name"}, {"a": {"size": 64}}, ["a: one/name → {size: 64}"]),
    ({"a": True}, {"a": "no"}, ["a: true → no"]),
]


@pytest.mark.parametrize(("old", "new", "lines"), CASES)
def test_differences_are_one_line_a_key(old: dict[str, Any], new: dict[str, Any], lines: list[str]) -> None:
    assert list(differences(old, new)) == lines


@pytest.fixture
def root(repository: Path, tmp_path: Path) -> Path:
    """A repository with one profile and no params.yaml."""
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles/sample.yaml").write_bytes((repository / "profiles/sample.yaml").read_bytes())
    return tmp_path


def test_the_first_switch_writes_the_file(root: Path) -> None:
    assert active_profile(root) is None
    switched = switch_profile(root, "sample")
    assert switched.backup is None
    assert "smooth: (absent)" in "\n".join(switched.changes)
    assert active_profile(root) == "sample"


def test_a_changed_comment_is_an_edit(root: Path) -> None:
    switch_profile(root, "sample")
    with (root / "params.yaml").open("a", encoding="utf-8") as file:
        file.write("# Tuesday: try 0.7\n")
    with pytest.raises(ValaroError, match="only comments"):
        switch_profile(root, "sample")


def test_every_copy_of_edits_is_kept(root: Path) -> None:
    for number in range(3):
        (root / "params.yaml").write_text(f"broken: [{number}", encoding="utf-8")
        switch_profile(root, "sample", force=True)
    kept = [(root / f"params.yaml.{name}").read_text(encoding="utf-8") for name in ("bak", "bak2", "bak3")]
    assert kept == [f"broken: [{number}" for number in range(3)]


@pytest.mark.parametrize("text", ["index: 2001-99-99", "index: !!int ''", "[" * 500])
def test_a_file_is_replaced_whatever_broke_it(root: Path, text: str) -> None:
    (root / "params.yaml").write_text(text, encoding="utf-8")
    switch_profile(root, "sample", force=True)
    assert active_profile(root) == "sample"


def test_a_profile_that_is_not_valid_is_not_written(root: Path) -> None:
    switch_profile(root, "sample")
    (root / "profiles/odd.yaml").write_text("# Odd.\nsmooth: {window_s: -1}\n", encoding="utf-8")
    with pytest.raises(ValaroError, match=r"smooth\.window_s"):
        switch_profile(root, "odd", force=True)
    assert active_profile(root) == "sample"


@pytest.mark.parametrize("name", ["none", "../params", ""])
def test_an_unknown_name_lists_the_known(name: str, root: Path) -> None:
    with pytest.raises(ValaroError, match="there are sample"):
        switch_profile(root, name)


def test_the_profiles_of_this_repository_can_be_switched_to_and_fro(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    names = list(find_profiles(repository))
    assert names
    for name in names:
        path = tmp_path / "profiles" / f"{name}.yaml"
        path.write_bytes((repository / "profiles" / path.name).read_bytes())
        assert first_comment(path)
    for name in [*names, *names]:
        switch_profile(tmp_path, name)
        assert active_profile(tmp_path) == name
