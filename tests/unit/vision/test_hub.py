"""timm's backbones by name: from a folder, or from the hub, and only whole."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import timm
import torch
from safetensors.torch import save_file

from stages.core.download import partial_path
from stages.core.errors import ValaroError
from stages.core.hub import MissingOnHub, fetch_from_hub
from stages.core.params import BackboneParams
from stages.vision.backbones import pretrained_weights
from stages.vision.hub import TIMM, from_hub, hub_weights, local_hub_weights, timm_name
from stages.vision.static_model import StaticModel

NAME = "test_resnet.r160_in1k"
COMMIT = "0" * 40


class _Hub(BaseHTTPRequestHandler):
    """Speaks as much of the hub's protocol as its client needs for one file of each repository."""

    files: ClassVar[dict[str, bytes]] = {}
    etags: ClassVar[dict[str, str]] = {}
    log: ClassVar[list[tuple[str, str | None]]] = []

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        repository, _, file = self.path[1:].partition("/resolve/main/")
        content = self.files.get(f"{repository}/{file}")
        if content is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound" if repository in self.etags else "RepoNotFound")
            self.end_headers()
            return
        asked = self.headers.get("Range")
        begin = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        if body:
            self.log.append((self.path, asked))
        self.send_response(206 if begin else 200)
        self.send_header("ETag", f'"{self.etags[repository]}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        if body:
            self.wfile.write(content[begin:])

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Hub]]:
    """A hub on this machine that has the weights of timm's smallest network, and an empty cache."""
    from huggingface_hub import constants

    file = tmp_path / "published.safetensors"
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet", num_classes=1000).state_dict(), file)
    _Hub.files = {f"timm/{NAME}/model.safetensors": file.read_bytes()}
    _Hub.etags = {f"timm/{NAME}": hashlib.sha256(file.read_bytes()).hexdigest()}
    _Hub.log.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, url)
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.delenv("VALARO_WEIGHTS", raising=False)
        monkeypatch.chdir(tmp_path)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield _Hub
        server.shutdown()
        thread.join()


def described(weights: str | None) -> BackboneParams:
    return BackboneParams(
        architecture="test_resnet", input="face", image_size=32, weights=weights, options={}
    )


def test_weights_hub_are_timms_fetched_once_and_loaded_by_timm(hub: type[_Hub], tmp_path: Path) -> None:
    path = pretrained_weights(described("hub"))
    assert path == Path("models/pretrained") / f"{NAME}.safetensors"
    assert path.read_bytes() == hub.files[f"timm/{NAME}/model.safetensors"]
    assert pretrained_weights(described("hub:r160_in1k")) == path
    assert len(hub.log) == 1, "the second call stays offline"
    ours = StaticModel("test_resnet", image_size=32, weights=path).backbone.state_dict()
    torch.manual_seed(0)
    theirs = timm.create_model("test_resnet", num_classes=1000).state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_an_interrupted_download_goes_on(hub: type[_Hub], tmp_path: Path) -> None:
    [content] = hub.files.values()
    partial_path(tmp_path / f"{NAME}.safetensors").write_bytes(content[:1000])
    assert hub_weights(NAME, tmp_path).read_bytes() == content
    [(_, asked)] = hub.log
    assert asked == "bytes=1000-"


def test_other_bytes_than_the_hubs_hash_leave_nothing(hub: type[_Hub], tmp_path: Path) -> None:
    hub.etags[f"timm/{NAME}"] = "0" * 64
    with pytest.raises(ValaroError, match="SHA-256 of the download"):
        hub_weights(NAME, tmp_path / "weights")
    assert [path for path in (tmp_path / "weights").iterdir() if path.stat().st_size] == []


def test_what_the_hub_does_not_have_is_an_error_that_says_which_file_goes_where(
    hub: type[_Hub], tmp_path: Path
) -> None:
    hub.files.clear()
    with pytest.raises(ValaroError) as caught:
        hub_weights(NAME, tmp_path)
    for part in (f"{NAME}.safetensors", f"huggingface.co/timm/{NAME}", str(tmp_path), "VALARO_WEIGHTS"):
        assert part in str(caught.value)


def test_a_small_file_is_fetched_and_a_missing_one_has_its_own_error(hub: type[_Hub], tmp_path: Path) -> None:
    hub.files["a/b/config.json"], hub.etags["a/b"] = b"{}", "0" * 40
    fetch_from_hub("a/b", "config.json", tmp_path / "c" / "config.json")
    assert (tmp_path / "c" / "config.json").read_bytes() == b"{}"
    with pytest.raises(MissingOnHub, match=r"a/b on the Hugging Face hub has no model\.safetensors"):
        fetch_from_hub("a/b", "model.safetensors", tmp_path / "x")


def test_folders_come_before_the_hub(
    hub: type[_Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mine := tmp_path / "mine").mkdir()
    (mine / f"{NAME}.safetensors").write_bytes(b"mine")
    monkeypatch.setenv("VALARO_WEIGHTS", str(mine))
    assert hub_weights(NAME, tmp_path) == mine / f"{NAME}.safetensors"
    assert local_hub_weights("another.tag", tmp_path) is None
    assert hub.log == []


@pytest.mark.parametrize(
    ("architecture", "weights", "name"),
    [
        ("efficientnet_b1", "hub:ft_in1k", "efficientnet_b1.ft_in1k"),
        ("efficientnet_b4", "hub", "efficientnet_b4.ra2_in1k"),
        ("test_resnet.r160_in1k", "hub", NAME),
    ],
)
def test_names(architecture: str, weights: str, name: str) -> None:
    assert from_hub(weights)
    assert timm_name(architecture, weights) == name


@pytest.mark.parametrize(
    ("architecture", "weights"), [("nosuch", "hub"), ("efficientnet_b1", "hub:nosuch"), ("../x", "hub")]
)
def test_a_name_that_timm_does_not_know_is_refused(architecture: str, weights: str) -> None:
    with pytest.raises(ValaroError, match="has no pretrained weights"):
        timm_name(architecture, weights)


def test_the_table_is_timms_own() -> None:
    for name, row in TIMM.items():
        config = timm.get_pretrained_cfg(name)
        assert config.hf_hub_id == row.repository
        assert row.licence.lower().startswith(config.license)
