"""The server as an ASGI application, without a port or a browser: who is let in, and what is answered."""

import asyncio
import errno
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from stages.core.errors import BadInput, ValaroError
from valaro.app import shelf as module
from valaro.app.analysis import Choice
from valaro.app.live import Estimate
from valaro.app.server import COOKIE, Asgi, Served, create_app
from valaro.app.shelf import Shelf

TOKEN, HOST = "secret", "127.0.0.1:8642"
OURS = {"host": HOST, "origin": f"http://{HOST}", "cookie": f"{COOKIE}={TOKEN}"}


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def ask(app: Asgi, method: str, path: str, headers: dict[str, str] = OURS, body: bytes = b"") -> Answer:
    """One request; the path may have a query."""
    place, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": place,
        "raw_path": place.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    sent: list[dict[str, Any]] = []
    incoming = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not incoming:  # the browser waits for the answer
            await asyncio.Event().wait()
        return incoming.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], answered, b"".join(one.get("body", b"") for one in sent[1:]))


def talk(app: Asgi, frames: list[bytes], headers: dict[str, str] = OURS) -> list[dict[str, Any]]:
    """What is sent over the camera's socket in answer to some frames."""
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "scheme": "ws",
        "path": "/live",
        "raw_path": b"/live",
        "query_string": b"",
        "subprotocols": [],
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    sent: list[dict[str, Any]] = []
    incoming = [
        {"type": "websocket.connect"},
        *({"type": "websocket.receive", "bytes": one} for one in frames),
    ]

    async def receive() -> dict[str, Any]:
        return incoming.pop(0) if incoming else {"type": "websocket.disconnect", "code": 1000}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    return sent


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """One whose analyses never begin."""
    monkeypatch.setattr(module.Shelf, "_work", lambda _self: None)
    made = Shelf(tmp_path / "shelf", Choice(None, "static", None, None), max_bytes=100, max_recordings=2)
    yield made
    made.close()


class Networks:
    """No face in any frame."""

    def faces(self, _image: Any) -> list[Any]:
        return []


def served(shelf: Shelf, estimator: Any = Networks) -> Asgi:
    return create_app(Served(shelf, estimator, TOKEN, 5.0, 0.5, "about it", "an estimate"))


@pytest.fixture
def app(shelf: Shelf) -> Asgi:
    return served(shelf)


@pytest.mark.parametrize(
    ("path", "changes", "said"),
    [
        ("/", {"cookie": ""}, "lacks its token"),
        ("/?token=guess", {"cookie": ""}, "lacks its token"),
        ("/recordings?token=secret", {"cookie": ""}, "lacks its token"),
        ("/recordings", {"cookie": f"{COOKIE}=guess"}, "lacks its token"),
        ("/recordings", {"host": "evil.example"}, "127.0.0.1 only"),
        ("/recordings", {"host": "127.0.0.1.evil.example"}, "127.0.0.1 only"),
        ("/recordings", {"host": ""}, "127.0.0.1 only"),
    ],
)
def test_nobody_comes_in_without_the_token_or_by_another_name(
    app: Asgi, path: str, changes: dict[str, str], said: str
) -> None:
    refused = ask(app, "GET", path, OURS | changes)
    assert refused.status == 403
    assert said in refused.body.decode()


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", f"https://{HOST}"])
def test_another_site_changes_nothing(app: Asgi, shelf: Shelf, origin: str) -> None:
    assert ask(app, "PUT", "/recordings?name=a.mp4", OURS | {"origin": origin}, b"x").status == 403
    assert shelf.all() == []
    (closed,) = talk(app, [], OURS | {"origin": origin})
    assert (closed["type"], closed["code"]) == ("websocket.close", 1008)


def test_the_page_hands_the_token_on_in_a_cookie(app: Asgi) -> None:
    page = ask(app, "GET", f"/?token={TOKEN}", {"host": HOST})
    assert page.status == 200
    assert page.headers["set-cookie"].startswith(f"{COOKIE}={TOKEN};")
    assert {"httponly", "samesite=strict"} <= set(
        page.headers["set-cookie"].lower().replace(" ", "").split(";")
    )
    assert (page.headers["x-content-type-options"], page.headers["cache-control"]) == ("nosniff", "no-store")
    assert b"about it" in page.body
    assert b"an estimate" in page.body


def test_a_recording_is_kept_listed_given_back_and_deleted(app: Asgi) -> None:
    put = ask(app, "PUT", "/recordings?name=../a%20b.mp4", body=b"film")
    assert put.status == 201
    (listed,) = ask(app, "GET", "/recordings").json()
    assert listed == put.json()
    assert (listed["name"], listed["stem"], listed["state"], listed["files"]) == (
        "a b.mp4",
        "a b",
        "waiting",
        [],
    )
    place = f"/recordings/{listed['id']}"
    given = ask(app, "GET", f"{place}/upload/a b.mp4")
    assert (given.body, given.headers["content-type"]) == (b"film", "video/mp4")
    assert given.headers["content-disposition"].startswith("inline")
    assert ask(app, "GET", f"{place}/upload/../upload/a b.mp4").status == 404
    assert ask(app, "DELETE", place).status == 204
    assert ask(app, "DELETE", place).status == 404
    assert ask(app, "GET", "/recordings").json() == []


@pytest.mark.parametrize("name", ["a.html", "a.svg", "a.xml", "a"])
def test_an_upload_that_could_run_is_only_downloaded(app: Asgi, name: str) -> None:
    id_ = ask(app, "PUT", f"/recordings?name={name}", body=b"<script>").json()["id"]
    given = ask(app, "GET", f"/recordings/{id_}/upload/{name}")
    assert given.headers["content-type"] == "application/octet-stream"
    assert given.headers["content-disposition"].startswith("attachment")


def test_too_much_is_refused_and_leaves_nothing(app: Asgi, shelf: Shelf) -> None:
    announced = ask(app, "PUT", "/recordings?name=a.mp4", OURS | {"content-length": "101"}, b"x")
    silent = ask(app, "PUT", "/recordings?name=a.mp4", body=b"x" * 101)
    assert (announced.status, silent.status) == (413, 413)
    assert "app.max_upload_bytes" in silent.json()["detail"]
    assert shelf.all() == []
    assert [ask(app, "PUT", "/recordings?name=a.mp4", body=b"x").status for _ in range(3)] == [201, 201, 409]


def test_the_camera_is_answered_frame_by_frame(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(_camera: Any, jpeg: bytes, time_s: float) -> Estimate:
        return Estimate(time_s, 0.5, -0.5, [0.0, 0.0, 1.0, 1.0], len(jpeg))

    monkeypatch.setattr("valaro.app.live.Camera.look", look)
    accepted, *answers = talk(served(shelf), [struct.pack("<d", t) + b"jpeg" for t in (0.0, 0.2)])
    assert accepted["type"] == "websocket.accept"
    found = [json.loads(one["text"]) for one in answers]
    assert [one["time_s"] for one in found] == [0.0, 0.2]
    assert found[0] == {
        "time_s": 0.0,
        "valence": 0.5,
        "arousal": -0.5,
        "box": [0.0, 0.0, 1.0, 1.0],
        "faces": 4,
    }


@pytest.mark.parametrize(
    ("frame", "error", "code"),
    [
        (b"", None, 1009),
        (struct.pack("<d", 0.0), None, 1009),
        (bytes(2_000_001), None, 1009),
        (struct.pack("<d", 0.0) + b"no picture", None, 1003),
        (struct.pack("<d", 0.0) + b"jpeg", ValaroError("the model is missing"), 1011),
        (struct.pack("<d", 0.0) + b"jpeg", BadInput("model", "damaged", "Get it again"), 1003),
    ],
)
def test_a_frame_that_cannot_be_used_ends_the_camera_with_its_reason(
    shelf: Shelf, frame: bytes, error: Exception | None, code: int
) -> None:
    def estimator() -> Networks:
        if error:
            raise error
        return Networks()

    sent = talk(served(shelf, estimator), [frame])
    assert [one["type"] for one in sent] == ["websocket.accept", "websocket.close"]
    assert sent[1]["code"] == code
    assert sent[1]["reason"]


@pytest.mark.parametrize("name", ["日" * 119 + ".mp4", "🎬" * 110, "a." + "x" * 300, "." + "x" * 300])
def test_a_name_is_cut_to_what_file_systems_take(app: Asgi, name: str) -> None:
    """They count bytes, and the results have longer endings."""
    answer = ask(app, "PUT", f"/recordings?name={quote(name)}", body=b"x")
    assert answer.status == 201
    assert 50 < len(answer.json()["name"].encode()) <= 124


def test_a_full_disk_is_said(app: Asgi, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_self: object, _chunk: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.Upload, "write", full)
    answer = ask(app, "PUT", "/recordings?name=a.mp4", body=b"x")
    assert (answer.status, "No space left" in answer.json()["detail"]) == (507, True)
    assert ask(app, "GET", "/recordings").json() == []


def test_a_host_that_is_none_is_refused(app: Asgi) -> None:
    assert ask(app, "GET", "/", {**OURS, "host": "["}).status == 403
