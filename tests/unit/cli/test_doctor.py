"""`valaro doctor`: what is missing is found, and decides the exit status."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from stages.core.params import load_params
from stages.core.untrained import Untrained, write_untrained
from stages.core.weights import Weights
from valaro.cli import app
from valaro.commands import doctor as commands
from valaro.commands import weights as of_weights
from valaro.commands.doctor import Grade


def run(*options: str) -> Result:
    return CliRunner().invoke(app, ["doctor", *options])


def line_of(result: Result, name: str) -> str:
    """What is said of one thing, the remedy included."""
    lines = result.stdout.splitlines()
    at = next(k for k, line in enumerate(lines) if line[8:].startswith(name))
    return "\n".join([lines[at], *(line for line in lines[at + 1 : at + 2] if line.startswith(" "))])


@pytest.fixture
def root(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the sample's parameters, and nothing run yet."""
    shutil.copytree(repository / "profiles", tmp_path / "profiles")
    shutil.copy(repository / "profiles/sample.yaml", tmp_path / "params.yaml")
    shutil.copy(repository / "dvc.yaml", tmp_path)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").touch()
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    monkeypatch.delenv("VALARO_WEIGHTS", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_before_the_first_run_nothing_is_missing(root: Path) -> None:
    result = run()
    assert result.exit_code == 0, result.output
    assert "MISSING" not in result.stdout
    assert "profile sample" in line_of(result, "params.yaml")
    assert "dvc repro" in line_of(result, "dvc")
    assert "PyAV" in line_of(result, "ffmpeg")
    assert "\x1b" not in result.stdout


def test_figures_of_the_commit_are_no_run_of_this_machine(root: Path) -> None:
    """A fresh clone has them, and no models."""
    for file in ("metrics/evaluate.json", "models/fusion/provenance.json"):
        (root / file).parent.mkdir(parents=True)
        (root / file).write_text("{}")
        said = line_of(run(), "dvc")
        assert ("hasn't run" in said, "has run" in said) == (
            file.startswith("metrics"),
            file.startswith("models"),
        )


def test_systems_that_could_not_be_trained_are_named(root: Path) -> None:
    assert "isn't trained" not in run().stdout
    write_untrained(root / "models/audio/v3.safetensors", Untrained("nobody speaks", "See data/speech"))
    result = run()
    assert result.exit_code == 0
    assert "audio isn't trained: nobody speaks" in line_of(result, "models")
    (root / "models/audio/v3.safetensors").write_bytes(b"damaged")
    assert "isn't trained" not in run().stdout


def test_the_papers_profile_says_what_it_lacks(root: Path) -> None:
    shutil.copy(root / "profiles/affwild2.yaml", root / "params.yaml")
    result = run()
    assert result.exit_code == 1
    assert "data/affwild2" in line_of(result, "corpus")
    for file in ("efficientnet_b1", "mobilenet0.25_Final.pth", "2stems.tar.gz", "wav2vec2"):
        assert file in result.stdout
    quiet = run("-q")
    assert quiet.exit_code == 1
    assert all(line.startswith(("MISSING", " ")) for line in quiet.stdout.splitlines())


def test_parameters_that_are_wrong_are_named(root: Path) -> None:
    text = (root / "params.yaml").read_text().replace("fps_hz: 5 ", "fps_hz: -5 ")
    (root / "params.yaml").write_text(text)
    result = run()
    assert result.exit_code == 1
    assert "decode.fps_hz" in line_of(result, "params.yaml")


def test_outside_a_repository_it_says_where_to_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run()
    assert result.exit_code == 0  # for `valaro predict` everything is there
    assert "none here" in line_of(result, "params.yaml")
    assert "MISSING" not in result.stdout
    (tmp_path / "dvc.yaml").touch()
    result = run()
    assert result.exit_code == 1
    assert "Run this from" in line_of(result, "params.yaml")


@pytest.mark.parametrize(
    ("dependencies", "said"),
    [
        (["numpy<1"], "numpy is 1"),
        (["no-such-package>=3", "pydantic>=2"], "no-such-package is missing"),
    ],
)
def test_packages_are_held_against_what_is_needed(
    dependencies: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_project", lambda: {"dependencies": dependencies})
    [finding] = commands._packages()
    assert finding.grade is Grade.MISSING
    assert said in finding.words
    assert "pydantic" not in finding.words


@pytest.mark.parametrize(
    ("free", "grade"), [(10**9, Grade.MISSING), (10**10, Grade.NOTE), (10**12, Grade.OK)]
)
def test_disk_space(free: int, grade: Grade, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, free))  # type: ignore[attr-defined]
    assert commands._disk().grade is grade


CONTENT = b"weights"


@pytest.mark.parametrize(
    ("content", "needed", "grade"),
    [
        (CONTENT, True, "ok"),
        (CONTENT, False, "ok"),
        (b"damage", True, "MISSING"),
        (b"damage", False, "note"),
        (None, True, "note"),
    ],
)
def test_weights_are_found_and_hashed(
    content: bytes | None, needed: bool, grade: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    weights = Weights("w.pth", "https://example.org/w.pth", digest, len(CONTENT), "MIT", "nobody")
    monkeypatch.setattr(of_weights, "WEIGHTS", {"retinaface": weights})
    monkeypatch.setenv("VALARO_WEIGHTS", str(root / "elsewhere"))
    (root / "elsewhere").mkdir()
    if content is not None:
        (root / "elsewhere/w.pth").write_bytes(content)
    params = load_params()
    if needed:
        faces = params.faces.model_copy(update={"detector": "retinaface"})
        params = params.model_copy(update={"faces": faces})
    [(found, _, words, _)] = of_weights.check_weights(params)
    assert found == grade
    assert "w.pth" in words
