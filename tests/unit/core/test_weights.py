"""Weights are found where they lie, fetched where they don't, and never trusted unread."""

import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from stages.core.download import partial_path
from stages.core.errors import ValaroError
from stages.core.weights import WEIGHTS, Weights, find_weights

CONTENT = bytes(range(256)) * 20_000  # more than four chunks


class _Handler(BaseHTTPRequestHandler):
    """`/good` honours Range, `/whole` ignores it, `/short` breaks off 7 bytes before the end."""

    log: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        pages = {
            "/good": CONTENT,
            "/whole": CONTENT,
            "/bad": CONTENT[::-1],
            "/short": CONTENT,
            "/endless": CONTENT * 5,
        }
        body, asked = pages[self.path], self.headers.get("Range")
        self.log.append((self.path, asked))
        begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.path != "/whole" else 0
        if begin >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
        body = body[begin:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        body = body[:-7] if self.path == "/short" else body
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
        _Handler.log.clear()
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def served(server: str) -> list[tuple[str, str | None]]:
    """What the server was asked for: page and range."""
    return _Handler.log


def visible(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if not file.name.startswith("."))


def _table(url: str) -> dict[str, Weights]:
    digest = hashlib.sha256(CONTENT).hexdigest()
    return {"net": Weights("net.pth", url, digest, len(CONTENT), "MIT", "made up")}


def test_a_missing_file_is_downloaded_once(server: str, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "pretrained"
    path = find_weights("net", folder, _table(f"{server}/good"))
    assert path == folder / "net.pth"
    assert path.read_bytes() == CONTENT
    assert find_weights("net", folder, _table(f"{server}/missing")) == path, "a second call stays offline"
    assert visible(folder) == ["net.pth"]


@pytest.mark.parametrize(
    ("page", "kept"), [("bad", False), ("endless", False), ("missing", False), ("short", True)]
)
def test_a_download_that_is_not_the_file_shows_nothing(
    server: str, tmp_path: Path, page: str, kept: bool
) -> None:
    """Only what a broken connection left is kept, to go on from."""
    with pytest.raises(ValaroError, match=r"net\.pth.*5120000 bytes"):
        find_weights("net", tmp_path, _table(f"{server}/{page}"))
    assert visible(tmp_path) == []
    assert partial_path(tmp_path / "net.pth").is_file() == kept


@pytest.mark.parametrize(
    ("left", "page", "asked"),
    [
        (CONTENT[:1_000_000], "good", [1_000_000]),
        (CONTENT[:1_000_000], "whole", [1_000_000]),  # the server sends everything: start over
        (CONTENT, "good", [len(CONTENT)]),  # 416: nothing was missing but the renaming
        (b"another version" * 9, "good", [135, None]),  # wrong when complete: once more from the start
        (CONTENT + b"more", "good", [len(CONTENT)]),  # of a server that sent too much
    ],
)
def test_a_broken_download_is_resumed(
    server: str,
    served: list[tuple[str, str | None]],
    tmp_path: Path,
    left: bytes,
    page: str,
    asked: list[int | None],
) -> None:
    partial_path(tmp_path / "net.pth").write_bytes(left)
    path = find_weights("net", tmp_path, _table(f"{server}/{page}"))
    assert path.read_bytes() == CONTENT
    assert [where for _, where in served] == [None if n is None else f"bytes={n}-" for n in asked]
    assert not partial_path(path).exists()


def test_after_a_broken_connection_the_next_call_fetches_the_rest(
    server: str, served: list[tuple[str, str | None]], tmp_path: Path
) -> None:
    reports: list[tuple[int, int]] = []
    with pytest.raises(ValaroError, match="broke after 5119993 of 5120000 bytes"):
        find_weights("net", tmp_path, _table(f"{server}/short"))
    find_weights("net", tmp_path, _table(f"{server}/good"), report=lambda *seen: reports.append(seen))
    assert served == [("/short", None), ("/good", f"bytes={len(CONTENT) - 7}-")]
    assert reports == [(len(CONTENT), len(CONTENT))]


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
    with pytest.raises(ValueError, match="the table has centerface"):
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
