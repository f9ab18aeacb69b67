"""The page of `valaro app` in a real browser, and its server against hostile requests."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from .webdriver import PATIENCE_S, Browser, browser, missing_programs

MOST_BYTES = 3_000_000


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """A folder with a static model that has learnt nothing, and a temporal one."""
    import torch

    from stages.core.artefacts import write_json, write_tensors
    from stages.core.params import PARAMS_FILE
    from stages.temporal.dynamic import DynamicModel
    from stages.temporal.normalisation import Normaliser
    from stages.training.checkpoints import save_model
    from stages.vision.architectures import build_static

    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("system")
    text = (repository / "profiles/sample.yaml").read_text(encoding="utf-8")
    limited = re.sub(r"max_upload_bytes: \d+", f"max_upload_bytes: {MOST_BYTES}", text)
    (root / PARAMS_FILE).write_text(limited, encoding="utf-8")
    static = {"architecture": "test_resnet", "input": "face", "image_size": 32, "options": {}}
    save_model(root / "models/static/test_resnet.safetensors", build_static(static).eval(), static)
    small = {"kind": "transformer", "features": 256, "d_model": 16, "layers": 1, "heads": 2, "dropout": 0.0}
    for target in ("valence", "arousal"):
        config = {"model": small, "window": 20, "fps_hz": 5.0}
        save_model(root / f"models/dynamic/{target}.safetensors", DynamicModel(**small), config)
    write_tensors(root / "models/dynamic/normalisation.safetensors", Normaliser.fit("none", []).to_arrays())
    write_json(root / "models/fusion/provenance.json", {"corpus": "data/sample/corpus"})
    return root


@contextmanager
def served(system: Path, scratch: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running server, and the address that it printed."""
    command = [sys.executable, "-m", "valaro", "app", "--model", str(system), "--system", "dynamic"]
    environment = {**os.environ, "TMPDIR": str(scratch), "XDG_CACHE_HOME": str(scratch / "cache")}
    process = subprocess.Popen(
        [*command, "--port", "0", "--no-browser", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        cwd=scratch,
    )
    try:
        assert process.stdout
        line = process.stdout.readline().strip()
        assert line.startswith("http://127.0.0.1:"), line
        yield process, line
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def app(system: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(system, tmp_path_factory.mktemp("scratch")) as (_, address):
        yield address


class Answer(NamedTuple):
    """What the server said."""

    status: int
    body: bytes
    headers: dict[str, str]


class Client:
    """Requests to the server as a program would send them."""

    def __init__(self, address: str) -> None:
        self.port = int(re.search(r":(\d+)/", address)[1])  # type: ignore[index]
        self.token = address.partition("token=")[2]
        self.own = {"Cookie": f"valaro_token={self.token}", "Origin": f"http://127.0.0.1:{self.port}"}

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with closing(connection):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), dict(answer.getheaders()))

    def all(self) -> list[dict[str, Any]]:
        return list(json.loads(self.ask("GET", "/recordings", **self.own).body))

    def finished(self, id_: str, seconds: float = 400) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while (found := next(one for one in self.all() if one["id"] == id_))["state"] in (
            "waiting",
            "running",
        ):
            assert time.monotonic() < end, found
            time.sleep(0.3)
        return found


def test_nobody_comes_in_without_the_token_or_from_elsewhere(app: str) -> None:
    client = Client(app)
    cases: list[tuple[str, str, dict[str, str]]] = [
        ("GET", "/", {}),
        ("GET", "/?token=guessed", {}),
        ("GET", f"/recordings?token={client.token}", {}),  # the token in an address opens the page alone
        ("GET", f"/?token={client.token}", {"Host": f"attacker.example:{client.port}"}),
        ("PUT", "/recordings?name=a", {"Cookie": client.own["Cookie"]}),
        ("PUT", "/recordings?name=a", client.own | {"Origin": "http://attacker.example"}),
        ("DELETE", "/recordings/x", {"Origin": client.own["Origin"]}),
    ]
    for method, path, headers in cases:
        assert client.ask(method, path, **headers).status == 403, (method, path, headers)
    assert client.ask("GET", f"/?token={client.token}").status == 200
    assert client.ask("GET", "/recordings", **client.own).status == 200


def test_it_listens_on_this_machine_only(app: str) -> None:
    port = Client(app).port
    local = f"0100007F:{port:04X}"
    tables = Path("/proc/net/tcp").read_text().splitlines()[1:]
    listening = [line.split()[1] for line in tables if line.split()[3] == "0A"]
    assert [place for place in listening if place.endswith(f":{port:04X}")] == [local]


def test_a_file_too_large_or_broken_off_leaves_nothing(app: str) -> None:
    client = Client(app)
    before = len(client.all())
    answer = client.ask("PUT", "/recordings?name=big.mp4", bytes(MOST_BYTES + 1), **client.own)
    assert answer.status == 413
    assert "app.max_upload_bytes" in answer.body.decode()
    with socket.create_connection(("127.0.0.1", client.port)) as broken:
        head = f"PUT /recordings?name=b.mp4 HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\nContent-Length: 99999\r\n"
        broken.sendall((head + "".join(f"{k}: {v}\r\n" for k, v in client.own.items()) + "\r\nhalf").encode())
        time.sleep(0.5)
    assert len(client.all()) == before


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..%2f..%2fx", "a%00b.mp4", "%0d%0aSet-Cookie:x.mp4", "...."]
)
def test_hostile_names_and_files_stay_where_they_belong(app: str, name: str) -> None:
    client = Client(app)
    answer = client.ask("PUT", f"/recordings?name={name}", b"no video at all", **client.own)
    recording = json.loads(answer.body)
    assert "/" not in recording["name"] and not recording["name"].startswith(".")
    failed = client.finished(recording["id"])
    assert failed["state"] == "failed" and failed["error"]
    for path in ("upload/../../x", "results/../upload/x", "..%2f..%2fetc/passwd", "upload/"):
        assert client.ask("GET", f"/recordings/{recording['id']}/{path}", **client.own).status == 404
    assert client.ask("DELETE", f"/recordings/{recording['id']}", **client.own).status == 204
    assert client.ask("DELETE", f"/recordings/{recording['id']}", **client.own).status == 404


def test_an_uploaded_page_is_never_shown_as_one(app: str) -> None:
    client = Client(app)
    content = b"<script>alert(1)</script>"
    recording = json.loads(client.ask("PUT", "/recordings?name=a.html", content, **client.own).body)
    shown = client.ask("GET", f"/recordings/{recording['id']}/upload/a.html", **client.own)
    assert shown.headers["content-type"] == "application/octet-stream"
    assert shown.headers["content-disposition"].startswith("attachment")
    assert shown.headers["x-content-type-options"] == "nosniff"
    client.ask("DELETE", f"/recordings/{recording['id']}", **client.own)


def test_nothing_is_left_when_it_ends_in_the_middle_of_an_upload(system: Path, tmp_path: Path) -> None:
    with served(system, tmp_path) as (process, address):
        client = Client(address)
        with socket.create_connection(("127.0.0.1", client.port)) as half:
            head = f"PUT /recordings?name=b.mp4 HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\nContent-Length: 99999\r\n"
            half.sendall(
                (head + "".join(f"{k}: {v}\r\n" for k, v in client.own.items()) + "\r\nhalf").encode()
            )
            deadline = time.monotonic() + PATIENCE_S
            while not list(tmp_path.glob("valaro-app-*/*/upload/*")):
                assert time.monotonic() < deadline, "nothing comes in"
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)
    assert not list(tmp_path.glob("valaro-app-*"))


def test_a_port_that_is_taken_is_one_line(system: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "valaro", "app", "--model", str(system), "--system", "dynamic"]
        done = subprocess.run(
            [*command, "--port", str(port), "--no-browser"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=False,
        )
    assert done.returncode == 1
    assert (
        done.stderr.strip()
        == f"error: port {port}: Address already in use. Choose another with --port, or --port 0."
    )


@pytest.fixture(scope="module")
def portrait() -> Any:
    """(480, 640, 3) uint8: a public-domain portrait, as a camera would see it."""
    from skimage.data import astronaut

    picture = np.zeros((480, 640, 3), np.uint8)
    picture[:, 80:560] = astronaut()[:480, :480]
    return picture


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory, portrait: Any) -> Iterator[Browser]:
    """A browser whose camera shows the portrait."""
    import cv2

    if missing := missing_programs():
        if os.environ.get("VALARO_EXPECT_BROWSER") == "1":
            pytest.fail(f"VALARO_EXPECT_BROWSER=1, but there is no {' and no '.join(missing)}")
        pytest.skip(f"no {' and no '.join(missing)}: `apt-get install chromium chromium-driver`")
    film = tmp_path_factory.mktemp("camera") / "camera.y4m"
    planes = cv2.cvtColor(portrait, cv2.COLOR_RGB2YUV_I420).tobytes()
    film.write_bytes(b"YUV4MPEG2 W640 H480 F10:1 Ip A1:1 C420jpeg\n" + (b"FRAME\n" + planes) * 20)
    flags = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
    with browser(*flags, f"--use-file-for-fake-video-capture={film}") as session:
        yield session


DROP = """
const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0));
const held = new DataTransfer();
held.items.add(new File([bytes], arguments[1]));
document.getElementById("drop").dispatchEvent(new DragEvent("drop", {dataTransfer: held, bubbles: true}));
"""


def test_a_recording_is_dropped_analysed_looked_at_and_deleted(
    chrome: Browser, app: str, tmp_path: Path, portrait: Any
) -> None:
    import base64

    film = tmp_path / "a <b> ☃.webm"
    write_portrait(film, portrait)
    chrome.open(app)
    chrome.size(400)
    chrome.messages(), chrome.requests()
    chrome.press("tab")
    assert chrome.run("return document.activeElement.id") == "files"
    chrome.run(DROP, base64.b64encode(film.read_bytes()).decode(), film.name)
    chrome.wait("document.querySelector('#recordings li strong')", 60)
    first = chrome.new_tab()  # a second tab sees the same
    chrome.open(app)
    chrome.wait("document.querySelector('#recordings li strong')?.textContent === 'a <b> ☃.webm'", 60)
    chrome.go_to(first)
    chrome.wait("document.querySelector('#recordings .files')", 400)
    names = chrome.run("return [...document.querySelectorAll('.files a')].map((a) => a.textContent).join()")
    assert {"csv", "eaf", "html", "json", "mp4", "parquet", "png", "vtt"} <= set(names.split(","))
    assert chrome.run("return document.documentElement.scrollWidth <= 400")
    chrome.run("[...document.querySelectorAll('button')].find((b) => b.textContent === 'Timeline').click()")
    chrome.wait(
        "document.querySelector('iframe')?.contentDocument?.querySelector('#timeline svg, #timeline canvas')",
        60,
    )
    chrome.wait("document.querySelector('iframe').contentDocument.querySelector('video').readyState >= 1", 60)
    chrome.run("[...document.querySelectorAll('button')].find((b) => b.textContent === 'Table').click()")
    chrome.wait("document.querySelectorAll('.rows tbody tr').length === 12", 30)
    if shots := os.environ.get("VALARO_SCREENSHOTS"):
        chrome.picture(Path(shots) / "app.png")
    outside = [
        url for url in chrome.requests() if not url.startswith(("http://127.0.0.1:", "data:", "blob:"))
    ]
    assert outside == []
    assert [text for text in chrome.messages() if "favicon" not in text] == []
    chrome.run("[...document.querySelectorAll('button')].find((b) => b.textContent === 'Delete').click()")
    chrome.wait("!document.querySelector('#recordings li')", 30)
    assert Client(app).all() == []


def write_portrait(path: Path, portrait: Any) -> None:
    import av

    with av.open(path, "w") as container:
        stream = container.add_stream("libvpx", 10)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for _ in range(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(portrait, "rgb24")))
        container.mux(stream.encode(None))


def test_the_camera_is_estimated_live_and_then_as_a_whole(chrome: Browser, app: str) -> None:
    chrome.open(app)
    chrome.run("document.getElementById('start').click()")
    chrome.wait("/valence .* arousal/.test(document.getElementById('live-now').textContent)", 400)
    chrome.wait("live.points.length >= 8", 60)
    assert chrome.run("return live.points.every((p) => Math.abs(p.valence) <= 1 && p.box.length === 4)")
    left, top, right, bottom = chrome.run("return live.points.at(-1).box")
    assert 0.3 < (left + right) / 2 < 0.6 and 0.1 < (top + bottom) / 2 < 0.5, "the portrait's face"
    if shots := os.environ.get("VALARO_SCREENSHOTS"):
        chrome.size(1200)
        chrome.picture(Path(shots) / "live.png")
    print("seconds behind:", chrome.run("return document.getElementById('live-now').dataset.lag"))
    chrome.run("document.getElementById('stop').click()")
    assert chrome.run("return document.getElementById('start').disabled") is False
    chrome.wait("document.querySelector('#recordings li strong')?.textContent.startsWith('camera ')", 300)
    client = Client(app)
    (recording,) = client.all()
    found = client.finished(recording["id"], 400)
    assert found["state"] == "done", found["error"]
    client.ask("DELETE", f"/recordings/{recording['id']}", **client.own)
