"""`valaro models` and `valaro fetch-model`: what can be had, and how."""

import hashlib
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner

from stages.core.weights import WEIGHTS, Weights
from stages.vision.hub import TIMM
from valaro.cli import app
from valaro.commands import models

CONTENT = b"weights" * 1000


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VALARO_WEIGHTS", raising=False)
    return tmp_path


def test_the_list_names_every_model_and_where_it_lies(here: Path) -> None:
    (here / "models/pretrained").mkdir(parents=True)
    (here / "models/starter").mkdir()
    (here / "models/pretrained/pose_hrnet_w32_256x192.pth").write_bytes(b"")
    (here / "models/starter/starter.safetensors").write_bytes(bytes(2_000_000))
    done = CliRunner().invoke(app, ["models"])
    assert done.exit_code == 0
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert rows.keys() >= {"starter", "pdem", "authors", *WEIGHTS, *TIMM}
    assert "models/starter/starter.safetensors" in rows["starter"]
    assert "models/pretrained/pose_hrnet_w32_256x192.pth" in rows["pose_hrnet_w32"]
    assert "no commercial use" in rows["pdem"]
    assert " no " in rows["retinaface"]


def test_a_model_is_fetched_by_its_name(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "server").mkdir()
    (here / "server/net.pth").write_bytes(CONTENT)
    handler = partial(SimpleHTTPRequestHandler, directory=here / "server")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        url = f"http://127.0.0.1:{server.server_port}/net.pth"
        digest = hashlib.sha256(CONTENT).hexdigest()
        table = {"net": Weights("net.pth", url, digest, len(CONTENT), "MIT", "made up", "nothing")}
        monkeypatch.setattr(models, "WEIGHTS", table)
        monkeypatch.setattr(models, "find_weights", partial(models.find_weights, table=table))
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        done = CliRunner().invoke(app, ["fetch-model", "net"])
        server.shutdown()
        thread.join()
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == "models/pretrained/net.pth"
    assert (here / "models/pretrained/net.pth").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("authors", "drive.google.com/drive/folders/12LLx9DiEJSlnzgL745m9z_XAz1Rw_Vz6"),
        ("pose_hrnet_w32", "put it into models/pretrained"),
        ("no such", "no model named 'no such'"),
    ],
)
def test_what_cannot_be_fetched_says_what_to_do(here: Path, name: str, words: str) -> None:
    done = CliRunner().invoke(app, ["fetch-model", name])
    assert done.exit_code == 1
    assert words in " ".join(done.output.split())
