"""What the browser of `valaro app` is answered.

    GET    /                                     the page; its address carries the token
    GET    /recordings                           all recordings with the state of their analysis, JSON
    PUT    /recordings?name=NAME                 the bytes of a file
    DELETE /recordings/ID                        remove it and its results
    GET    /recordings/ID/upload/NAME            the recording
    GET    /recordings/ID/results/STEM/FILE      a file of its results; STEM.html is its page
    WS     /live                                 frames of a camera: float64 seconds (little-endian), then
                                                 a JPEG; answered by the estimate, JSON

Every request needs the token (in the address of the page, afterwards in a cookie that no other site's page
can send), a Host that means this machine, and, where it changes something, this server's own Origin.
"""

import hmac
import mimetypes
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fastapi import FastAPI, HTTPException, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from stages.core.errors import BadInput, ValaroError
from stages.reporting.pages import page_text
from valaro.app.live import Camera, Estimator
from valaro.app.shelf import Recording, Shelf, TooLarge

HOSTS = {"127.0.0.1", "localhost"}
COOKIE = "valaro_token"
MOST_FRAME_BYTES = 2_000_000
TIME = struct.Struct("<d")

Scope = MutableMapping[str, Any]
Asgi = Callable[[Scope, Any, Any], Awaitable[None]]


@dataclass(frozen=True)
class Served:
    """What the server needs.

    Args:
        shelf: the recordings.
        estimator: makes the live chain's networks, when a camera first asks for them.
        token: that every request must know.
        live_fps_hz: frames a second that the page sends.
        window_s: of smoothing.
        about: lines about the system that the page shows.
        notice: a sentence that must go with its values; "" for none.
    """

    shelf: Shelf
    estimator: Callable[[], Estimator]
    token: str
    live_fps_hz: float
    window_s: float
    about: str
    notice: str


def create_app(served: Served) -> Asgi:
    """The server as an ASGI application."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=_closing(served.shelf))
    _serve_page(app, served)
    _serve_recordings(app, served.shelf)
    _serve_live(app, served)
    return _Guard(app, served.token)


def _closing(shelf: Shelf) -> Any:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(shelf.close)

    return lifespan


def _serve_page(app: FastAPI, served: Served) -> None:
    page = page_text(
        "app",
        about=served.about,
        notice=served.notice,
        live_fps_hz=served.live_fps_hz,
        max_bytes=served.shelf.max_bytes,
    )

    @app.get("/")
    def index() -> HTMLResponse:
        response = HTMLResponse(page)
        response.set_cookie(COOKIE, served.token, httponly=True, samesite="strict")
        return response


def _serve_recordings(app: FastAPI, shelf: Shelf) -> None:
    @app.get("/recordings")
    def listed() -> JSONResponse:
        return JSONResponse([_facts(shelf, recording) for recording in shelf.all()])

    @app.put("/recordings")
    async def upload(request: Request, name: str = "recording") -> JSONResponse:
        announced = int(request.headers.get("content-length") or 0)
        if announced > shelf.max_bytes:
            raise HTTPException(413, f"{name}: larger than {shelf.max_bytes:,} bytes (app.max_upload_bytes)")
        try:
            with shelf.upload(name) as file:
                async for chunk in request.stream():
                    await run_in_threadpool(file.write, chunk)
        except TooLarge as error:
            raise HTTPException(413, f"{name}: {error}") from None
        except ClientDisconnect:
            raise HTTPException(400, f"{name}: the upload was broken off") from None
        except ValaroError as error:
            raise HTTPException(409, str(error)) from None
        except OSError as error:
            raise HTTPException(507, f"{name}: it can't be kept ({error.strerror})") from None
        return JSONResponse(_facts(shelf, file.recording), 201)

    @app.delete("/recordings/{id_}")
    def delete(id_: str) -> Response:
        if not shelf.delete(id_):
            raise HTTPException(404, "no such recording")
        return Response(status_code=204)

    @app.get("/recordings/{id_}/{path:path}")
    def file(id_: str, path: str, download: bool = False) -> FileResponse:
        found = shelf.file(id_, *path.split("/"))
        if found is None:
            raise HTTPException(404, "no such file")
        harmless = path.startswith("results/") or _is_plain_media(found.name)
        disposition = "attachment" if download or not harmless else "inline"
        kind = None if harmless else "application/octet-stream"
        return FileResponse(found, filename=found.name, media_type=kind, content_disposition_type=disposition)


def _is_plain_media(name: str) -> bool:
    """Whether a browser shows an uploaded file without running anything in it."""
    kind = mimetypes.guess_type(name)[0] or ""
    return kind.split("/")[0] in ("video", "audio", "image") and "svg" not in kind


def _facts(shelf: Shelf, recording: Recording) -> dict[str, Any]:
    """What the page shows of a recording."""
    summary = recording.summary
    shown = (
        "duration_s",
        "frames",
        "detected_share",
        "speaking_share",
        "valence",
        "arousal",
        "notes",
        "system",
    )
    return {
        "id": recording.id,
        "name": recording.name,
        "stem": recording.stem,
        "state": recording.state,
        "step": recording.step,
        "share": recording.share,
        "error": recording.error,
        "summary": {name: summary[name] for name in shown if name in summary},
        "files": shelf.files(recording) if recording.state == "done" else [],
    }


def _serve_live(app: FastAPI, served: Served) -> None:
    @app.websocket("/live")
    async def live(socket: WebSocket) -> None:
        await socket.accept()
        camera: Camera | None = None
        try:
            while True:
                frame = await socket.receive_bytes()
                if len(frame) <= TIME.size or len(frame) > MOST_FRAME_BYTES:
                    await socket.close(1009, "a frame of at most 2 MB is expected")
                    return
                if camera is None:
                    camera = Camera(await run_in_threadpool(served.estimator), served.window_s)
                (time_s,) = TIME.unpack_from(frame)
                estimate = await run_in_threadpool(camera.look, frame[TIME.size :], time_s)
                await socket.send_json(estimate._asdict())
        except BadInput as error:
            await socket.close(1003, str(error)[:120])
        except ValaroError as error:  # the live chain's model or weights are missing
            await socket.close(1011, str(error)[:120])
        except (WebSocketDisconnect, KeyError):  # KeyError: text came where bytes belong
            return


class _Guard:
    """Admits only the page on this machine that knows the token."""

    def __init__(self, app: Asgi, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket") and (refusal := self._refusal(scope)):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008, "reason": refusal})
            else:
                await Response(refusal, 403, media_type="text/plain")(scope, receive, send)
            return
        await self._app(scope, receive, _hardened(send))

    def _refusal(self, scope: Scope) -> str:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if _name_of(host) not in HOSTS:
            return "This server answers to 127.0.0.1 only."
        changes = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")
        if changes and headers.get("origin") != f"http://{host}":
            return "Not from another site's page."
        if not any(
            hmac.compare_digest(word.encode(), self._token.encode()) for word in _tokens(scope, headers)
        ):
            return "The address lacks its token: take the one that `valaro app` printed."
        return ""


def _name_of(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:  # half an IPv6 address
        return None


def _tokens(scope: Scope, headers: dict[str, str]) -> list[str]:
    """The tokens that a request brings: in its address, for the page alone, or in the cookie."""
    cookies = SimpleCookie(headers.get("cookie", ""))
    asked = parse_qs(scope.get("query_string", b"").decode("latin-1")) if scope["path"] == "/" else {}
    return [*asked.get("token", []), *([cookies[COOKIE].value] if COOKIE in cookies else [])]


def _hardened(send: Any) -> Any:
    """Headers that keep an answer where it belongs."""

    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [
                *message["headers"],
                (b"x-content-type-options", b"nosniff"),
                (b"x-frame-options", b"SAMEORIGIN"),
                (b"cross-origin-resource-policy", b"same-origin"),
                (b"referrer-policy", b"no-referrer"),
                (b"cache-control", b"no-store"),
            ]
        await send(message)

    return sending


def address(port: int, token: str) -> str:
    """Of the page."""
    return f"http://127.0.0.1:{port}/?token={token}"
