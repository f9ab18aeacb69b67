"""Weights are found where they lie, fetched where they don't, and never trusted unread."""

import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from stages.core.errors import ValaroError
from stages.core.weights import WEIGHTS, Weights, find_weights

CONTENT = bytes(range(256)) * 20_000  # more than four chunks


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        body = {"/good": CONTENT, "/bad": CONTENT[::-1], "/short": CONTENT[:-7], "/endless": CONTENT * 5}[
            self.path
        ]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) + 10 * (self.path == "/short")))
        self.end_headers()
        try:
            self.wfile.write(body)
        except ConnectionError:
            assert self.path == "/endless"  # the client hangs up on a file that is too long

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("VALARO_WEIGHTS", raising=False)
    with HTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def _table(url: str) -> dict[str, Weights]:
    digest = hashlib.sha256(CONTENT).hexdigest()
    return {"net": Weights("net.pth", url, digest, len(CONTENT), "MIT", "made up")}


def test_a_missing_file_is_downloaded_once(server: str, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "pretrained"
    path = find_weights("net", folder, _table(f"{server}/good"))
    assert path == folder / "net.pth"
    assert path.read_bytes() == CONTENT
    assert find_weights("net", folder, _table(f"{server}/missing")) == path, "a second call stays offline"
    assert [file.name for file in folder.iterdir()] == ["net.pth"]


@pytest.mark.parametrize("page", ["bad", "short", "endless", "missing"])
def test_a_download_that_is_not_the_file_leaves_nothing(server: str, tmp_path: Path, page: str) -> None:
    with pytest.raises(ValaroError, match=r"net\.pth.*5120000 bytes"):
        find_weights("net", tmp_path, _table(f"{server}/{page}"))
    assert list(tmp_path.iterdir()) == []


def test_offline_the_message_says_which_file_goes_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALARO_WEIGHTS", str(tmp_path / "mine"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with HTTPServer(("127.0.0.1", 0), _Handler) as closed:
        url = f"http://127.0.0.1:{closed.server_port}/good"
    with pytest.raises(ValaroError) as caught:
        find_weights("net", tmp_path / "here", _table(url))
    for part in ("net.pth", str(tmp_path / "here"), str(tmp_path / "mine"), url, "VALARO_WEIGHTS"):
        assert part in str(caught.value)


def test_the_given_folder_comes_before_the_users_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, first, second = (tmp_path / name for name in ("here", "first", "second"))
    monkeypatch.setenv("VALARO_WEIGHTS", os.pathsep.join(["", str(first), str(second)]))
    table = _table("http://127.0.0.1:9/unreachable")
    for folder in (second, first, here):  # each one takes precedence over those before
        folder.mkdir()
        (folder / "net.pth").write_bytes(CONTENT)
        assert find_weights("net", here, table) == folder / "net.pth"


def test_a_local_file_with_other_bytes_is_refused_and_kept(tmp_path: Path, server: str) -> None:
    (tmp_path / "net.pth").write_bytes(CONTENT[:-1])
    with pytest.raises(ValaroError, match="Remove it"):
        find_weights("net", tmp_path, _table(f"{server}/good"))
    assert (tmp_path / "net.pth").read_bytes() == CONTENT[:-1], "it is the user's: not ours to delete"


def test_an_unknown_name_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the table has retinaface"):
        find_weights("retinanet", tmp_path)


def test_every_row_of_the_table_is_complete() -> None:
    assert len({weights.file for weights in WEIGHTS.values()}) == len(WEIGHTS), (
        "file names are the keys of a folder"
    )
    for weights in WEIGHTS.values():
        assert weights.url.startswith("https://")
        assert len(bytes.fromhex(weights.sha256)) == 32
        assert weights.size_bytes > 0
        assert weights.licence
        assert weights.source


def test_the_published_retinaface_file_is_the_tables(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALARO_WEIGHTS", str(shared / "weights"))
    path = find_weights("retinaface", tmp_path)
    assert path.stat().st_size == WEIGHTS["retinaface"].size_bytes
    damaged = {"net": replace(WEIGHTS["retinaface"], sha256="0" * 64)}
    with pytest.raises(ValaroError, match="SHA-256"):
        find_weights("net", tmp_path, damaged)
