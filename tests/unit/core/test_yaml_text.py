"""One reader of YAML, version 1.2: what DVC rewrites reads back as what was written."""

import datetime
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.serialize import modify_yaml

from stages.core.errors import ValaroError
from stages.core.profiles import switch_profile
from stages.core.yaml_text import read_yaml, yaml_text

SCALARS: list[tuple[str, Any]] = [
    ('"no"', "no"),
    ("no", "no"),
    ("on", "on"),
    ("off", "off"),
    ("yes", "yes"),
    ("y", "y"),
    ("true", True),
    ("False", False),
    ("null", None),
    ("~", None),
    ("", None),
    ("1e-05", 1e-05),
    ("0.00001", 1e-05),
    ("1e5", 1e5),
    (".inf", float("inf")),
    ("5.", 5.0),
    ("010", 10),
    ("0o17", 15),
    ("0x1F", 31),
    ("12:30:45", "12:30:45"),
    ("2026-11-27", datetime.date(2026, 11, 27)),
    ("2026-11-27T10:00:00", datetime.datetime(2026, 11, 27, 10, 0)),
    ("'2026-11-27'", "2026-11-27"),
    ("'1e-05'", "1e-05"),
    ("[no, on, 1e-05, null]", ["no", "on", 1e-05, None]),
    ("{a: off}", {"a": "off"}),
    ("Müller", "Müller"),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_a_scalar_reads_the_same_before_and_after_dvc_rewrites_it(
    text: str, value: Any, tmp_path: Path
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"kept: {text}  # why\nchanged: 0.01\n", encoding="utf-8")
    assert read_yaml(path)["kept"] == value
    with modify_yaml(str(path)) as content:  # as `dvc exp run -S changed=1e-5` does
        content["changed"] = 1e-5
    assert read_yaml(path) == {"kept": value, "changed": 1e-05}
    assert type(read_yaml(path)["kept"]) is type(value)


@pytest.mark.parametrize("value", [value for _, value in SCALARS])
@pytest.mark.parametrize("flow", [True, False])
def test_what_is_written_reads_back(value: Any, flow: bool, tmp_path: Path) -> None:
    path = tmp_path / "written.yaml"
    path.write_text(yaml_text({"key": value}, flow=flow), encoding="utf-8")
    assert read_yaml(path) == {"key": value}


def test_after_an_experiment_the_one_edit_is_named(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    for name in ("sample", "affwild2"):
        source = repository / "profiles" / f"{name}.yaml"
        (tmp_path / "profiles" / source.name).write_bytes(source.read_bytes())
    switch_profile(tmp_path, "sample")
    with modify_yaml(str(tmp_path / "params.yaml")) as content:
        content["finetune"]["optimisation"]["learning_rate"] = 1e-5
    with pytest.raises(ValaroError) as caught:
        switch_profile(tmp_path, "sample")
    edit = "finetune.optimisation.learning_rate: 0.004 → 1e-05"
    assert f"(against sample: {edit})" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "is missing"), (b"a: \xff", "byte 3 is not UTF-8"), (b"a: [", "not valid YAML")],
)
def test_what_cannot_be_read_is_named(content: bytes | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValaroError, match=f"params.yaml.*{said}"):
        read_yaml(path)
