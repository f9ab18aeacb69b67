"""The command line without any work behind it: what starts fast, what is printed, how it ends."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stages import __version__
from stages.core.yaml_text import read_yaml
from valaro.cli import app

HEAVY = [
    *("torch", "torchvision", "timm", "transformers", "mediapipe", "sklearn", "matplotlib", "av", "cv2"),
    *("numpy", "h5py", "pyarrow", "huggingface_hub", "jinja2", "dvc"),
]
COMMANDS = sorted(
    command.name or command.callback.__name__  # type: ignore[union-attr]
    for command in app.registered_commands
)


ASKED = [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)]
ASK_ALL = """
import contextlib, io, json, sys
from valaro.cli import app
found = {}
for arguments in json.loads(sys.argv[1]):
    text, status = io.StringIO(), "no exit"
    with contextlib.redirect_stdout(text):
        try:
            app(arguments)
        except SystemExit as end:
            status = end.code or 0
    found[" ".join(arguments)] = [status, text.getvalue() != "", [*sys.modules]]
print(json.dumps(found))
"""


def test_help_imports_nothing_heavy(repository: Path) -> None:
    """All of it in one process: what a command imports is there after it."""
    command = [sys.executable, "-c", ASK_ALL, json.dumps(ASKED)]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found.keys() == {" ".join(arguments) for arguments in ASKED}
    for arguments, (status, said, imported) in found.items():
        assert (status, said) == (0, True), arguments
        assert set(HEAVY) & set(imported) == set(), arguments


def test_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == f"valaro {__version__}\n"


def test_without_a_command_there_is_help_and_status_2() -> None:
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 2
    assert all(f"  {command} " in result.output for command in COMMANDS)


def test_every_command_is_in_the_first_words_of_the_module() -> None:
    from valaro import cli

    named = re.findall(r"^ {4}valaro ([a-z-]+)", str(cli.__doc__), re.MULTILINE)
    assert sorted(named) == COMMANDS


@pytest.mark.parametrize(
    "arguments", [["-q", "-v", "params"], ["params", "-q", "-v"], ["-q", "params", "-v"]]
)
def test_quiet_and_verbose_exclude_each_other(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "exclude each other" in result.stderr


@pytest.fixture
def root(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of two profiles that differ in two values; `sample` is active."""
    sample = (repository / "profiles" / "sample.yaml").read_text(encoding="utf-8")
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "sample.yaml").write_text(sample, encoding="utf-8")
    other = sample.replace("detector: blazeface_short", "detector: retinaface").replace(
        "layers: 2 ", "layers: 3 "
    )
    (tmp_path / "profiles" / "other.yaml").write_text(f"# Another one.\n{other}", encoding="utf-8")
    (tmp_path / "params.yaml").write_text(sample, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_profiles_are_listed_with_the_active_one_marked(root: Path) -> None:
    result = CliRunner().invoke(app, ["profile"])
    other, sample = result.stdout.splitlines()
    assert other.split() == ["other", "Another", "one."]
    assert sample.startswith("* sample")


def test_switching_prints_what_changed(root: Path) -> None:
    result = CliRunner().invoke(app, ["profile", "other"])
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "faces.detector: blazeface_short → retinaface",
        "dynamic.layers: 2 → 3",
        "params.yaml is now profile other.",
    ]
    assert (root / "params.yaml").read_bytes() == (root / "profiles/other.yaml").read_bytes()
    assert CliRunner().invoke(app, ["profile", "other"]).stdout == "params.yaml was profile other.\n"


def test_edits_are_not_lost_unasked(root: Path) -> None:
    edited = (root / "params.yaml").read_text(encoding="utf-8").replace("heads: 4 ", "heads: 2 ")
    (root / "params.yaml").write_text(edited, encoding="utf-8")
    refused = CliRunner().invoke(app, ["profile", "other"])
    assert refused.exit_code == 1
    assert "dynamic.heads: 4 → 2" in refused.stderr
    assert (root / "params.yaml").read_text(encoding="utf-8") == edited
    forced = CliRunner().invoke(app, ["profile", "other", "--force"])
    assert forced.exit_code == 0
    assert "params.yaml.bak" in forced.stdout
    assert (root / "params.yaml.bak").read_text(encoding="utf-8") == edited


def test_an_unknown_profile_ends_with_2(root: Path) -> None:
    result = CliRunner().invoke(app, ["profile", "../params"])
    assert result.exit_code == 2
    assert "other, sample" in result.stderr


def stated_in(content: dict, by: dict) -> dict:
    """Of some parameters those that another file states."""
    return {
        key: stated_in(content[key], value) if isinstance(value, dict) else content[key]
        for key, value in by.items()
    }


def test_params_prints_the_effective_values(root: Path) -> None:
    result = CliRunner().invoke(app, ["params"])
    assert result.exit_code == 0
    (root / "printed.yaml").write_text(result.stdout, encoding="utf-8")
    printed, stated = read_yaml(root / "printed.yaml"), read_yaml(root / "params.yaml")
    assert stated_in(printed, stated) == stated
    assert printed["dynamic"]["optimisation"]["group_warmup_steps"] == 0, "a default is in the list too"


FAULTS = {
    "value": ("fps_hz: 5 ", "fps_hz: -5 ", ["decode.fps_hz", "greater than 0", "-5"]),
    "choice": ("detector: blazeface_short", "detector: eyes", ["faces.detector", "retinaface", "eyes"]),
    "unknown key": ("  fps_hz: 5 ", "  fsp_hz: 5 ", ["decode.fsp_hz", "decode.fps_hz"]),
    "not YAML": ("index:", "index: [", ["not valid YAML"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_params_says_what_is_wrong(fault: str, root: Path) -> None:
    old, new, said = FAULTS[fault]
    text = (root / "params.yaml").read_text(encoding="utf-8")
    assert old in text
    (root / "params.yaml").write_text(text.replace(old, new, 1), encoding="utf-8")
    result = CliRunner().invoke(app, ["params"])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert all(words in result.stderr for words in ["params.yaml", *said])
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", [["params"], ["profile"], ["profile", "sample"]])
def test_outside_a_repository_the_error_says_so(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert "Run this from the repository" in result.stderr


def test_a_reader_that_has_read_enough_is_no_error(repository: Path) -> None:
    """`valaro params | head -1`"""
    command = f"{sys.executable} -m valaro.cli params | head -1"
    done = subprocess.run(
        ("bash", "-o", "pipefail", "-c", command), cwd=repository, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "index:\n", "")


def test_the_list_of_commands_is_not_cut() -> None:
    result = CliRunner().invoke(app, ["--help"], terminal_width=80)
    assert result.exit_code == 0
    assert "..." not in result.stdout.partition("Commands:")[2]
