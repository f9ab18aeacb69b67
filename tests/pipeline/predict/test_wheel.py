"""The wheel alone: what is imported and called outside any checkout is in it."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from stages import __version__

from .conftest import TIMES_S, export_model, table

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([*map(str, command)], cwd=cwd, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def python(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel, and the libraries of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    tracked = run(
        "git", "ls-files", "-z", "stages", "valaro", "pyproject.toml", "README.md", "LICENSE", cwd=repository
    )
    for name in filter(None, tracked.split("\0")):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((repository / name).read_bytes())
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(
        *pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder / "dist", source, cwd=folder
    )
    (wheel,) = (folder / "dist").glob("valaro-*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "env", cwd=folder)
    fresh = folder / "env" / "bin" / "python"
    run(*pip, "--python", fresh, "install", "--no-deps", wheel, cwd=folder)
    purelib = run(fresh, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    libraries = Path(sysconfig.get_path("purelib"))
    pointers = [line for file in libraries.glob("*.pth") for line in file.read_text().splitlines()
                if (Path(line) / "numpy").is_dir()]  # fmt: skip
    (Path(purelib) / "libraries.pth").write_text("\n".join([str(libraries), *pointers]) + "\n")
    return fresh


def test_the_package_is_imported_from_the_wheel(python: Path, tmp_path: Path) -> None:
    code = "import valaro, stages; print(valaro.__version__, valaro.__file__, stages.__file__)"
    version, *files = run(python, "-c", code, cwd=tmp_path).split()
    assert version == __version__
    assert all(str(python.parents[1]) in file for file in files)


@pytest.mark.parametrize("command", [("-m", "valaro", "--version"), ("-m", "valaro", "predict", "--help")])
def test_the_command_line_answers(python: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    assert run(python, *command, cwd=tmp_path)


def test_what_the_pages_are_drawn_with_is_in_the_wheel(python: Path, tmp_path: Path) -> None:
    code = (
        "from importlib.resources import files\n"
        "assets = files('stages.reporting') / 'assets'\n"
        "print(*sorted(each.name for each in assets.iterdir()))"
    )
    found = run(python, "-c", code, cwd=tmp_path).split()
    assert {"base.html", "report.html", "style.css", "timeline.html", "timeline.js"} <= set(found)


def test_the_starter_is_in_the_wheel_and_serves_where_nothing_is_trained(
    python: Path, tmp_path: Path
) -> None:
    code = (
        "from valaro.recordings.starter import STARTER, models_unless_named\n"
        "from valaro.recordings.trained import find_trained\n"
        "assert models_unless_named() == STARTER, models_unless_named()\n"
        "trained = find_trained(STARTER)\n"
        "print(trained.system, STARTER, trained.notice, sep='|')"
    )
    system, folder, notice = run(python, "-c", code, cwd=tmp_path).strip().split("|")
    assert system == "static"
    assert str(python.parents[1]) in folder
    assert "expression-based estimate by the starter model (FER+)" in notice


def test_a_video_is_analysed_outside_any_checkout(
    python: Path, trained: Path, portrait: Path, tmp_path: Path
) -> None:
    """A folder that `valaro export-model` wrote and a clip are all that the wheel needs."""
    assert export_model(trained, tmp_path / "system").exit_code == 0
    command = ("-m", "valaro", "predict", "--model", "system", portrait, "--format", "csv", "--out", "traces")
    said = run(python, *command, cwd=tmp_path)
    assert "face 100%" in said
    header, values = table(tmp_path / "traces/portrait")
    assert header[:4] == ["frame", "time_s", "valence", "arousal"]
    assert len(values) == len(TIMES_S)
