"""A browser driven over WebDriver's HTTP and JSON, with nothing but the standard library."""

import base64
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE_S = 120
"""Seconds that anything may take on a busy machine."""
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    *("--autoplay-policy=no-user-gesture-required", "--mute-audio", "--force-device-scale-factor=1"),
    *("--hide-scrollbars", "about:blank"),
)
KEYS = {"space": " ", "left": "\ue012", "right": "\ue014", "home": "\ue011", "end": "\ue010", "tab": "\ue004"}
BROWSER, DRIVER = "chromium", "chromedriver"


def missing_programs() -> list[str]:
    """Those of the two programs that aren't on the path."""
    return [name for name in (BROWSER, DRIVER) if shutil.which(name) is None]


class Browser:
    """One session. Every method waits until the browser is done."""

    def __init__(self, address: str, session: str) -> None:
        self._session = f"{address}/session/{session}"

    def open(self, page: Path | str) -> None:
        """Load a page from disk, or from an address."""
        self._post("url", url=page if isinstance(page, str) else page.resolve().as_uri())

    def new_tab(self) -> str:
        """Open a tab and go there; the name of the one before."""
        before = str(_call(f"{self._session}/window", None, "GET"))
        self.go_to(str(self._post("window/new", type="tab")["handle"]))
        return before

    def go_to(self, tab: str) -> None:
        """Go to a tab by its name."""
        self._post("window", handle=tab)

    def run(self, script: str, *arguments: Any) -> Any:
        """Value of a function body; `arguments` hold the arguments."""
        return self._post("execute/sync", script=script, args=list(arguments))

    def wait(self, condition: str, seconds: float = PATIENCE_S) -> None:
        """Until an expression is true."""
        end = time.monotonic() + seconds
        while not self.run(f"return Boolean({condition})"):
            assert time.monotonic() < end, f"not within {seconds} s: {condition}"
            time.sleep(0.05)

    def size(self, width: int, height: int = 900) -> None:
        """The viewport's size, exactly, phones' widths too."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.devtools("Emulation.setDeviceMetricsOverride", **metrics)

    def colours(self, scheme: str) -> None:
        """`dark` or `light`, as the reader's system prefers."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.devtools("Emulation.setEmulatedMedia", features=[feature])

    def press(self, key: str, *, shift: bool = False) -> None:
        """One key, named as in KEYS or a character."""
        value = KEYS.get(key, key)
        held = [{"type": "keyDown", "value": "\ue008"}] if shift else []
        stroke = [{"type": "keyDown", "value": value}, {"type": "keyUp", "value": value}]
        let_go = [{"type": "keyUp", "value": "\ue008"}] if shift else []
        self._post("actions", actions=[{"type": "key", "id": "keys", "actions": [*held, *stroke, *let_go]}])

    def drag(self, *points: tuple[float, float]) -> None:
        """Press the mouse at the first point, move along the others, let go. Pixels of the viewport."""
        moves = [{"type": "pointerMove", "duration": 0, "x": int(x), "y": int(y)} for x, y in points]
        steps = [
            moves[0],
            {"type": "pointerDown", "button": 0},
            *moves[1:],
            {"type": "pointerUp", "button": 0},
        ]
        self._post("actions", actions=[{"type": "pointer", "id": "mouse", "actions": steps}])

    def messages(self) -> list[str]:
        """What the console said since the last call."""
        return [f"{entry['level']}: {entry['message']}" for entry in self._log("browser")]

    def requests(self) -> list[str]:
        """Addresses asked for since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        return [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """A screenshot (PNG) of the whole page, or of the viewport."""
        answer = self.devtools("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def devtools(self, command: str, **params: Any) -> Any:
        """A command of the DevTools protocol."""
        return self._post("goog/cdp/execute", cmd=command, params=params)

    def close(self) -> None:
        """End the session; the browser goes."""
        _call(self._session, None, "DELETE")

    def _log(self, kind: str) -> list[dict[str, Any]]:
        return list(self._post("se/log", type=kind))

    def _post(self, command: str, **body: Any) -> Any:
        return _call(f"{self._session}/{command}", body, "POST")


@contextmanager
def browser(*flags: str) -> Iterator[Browser]:
    """A fresh browser with a profile of its own, and further flags; all is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as profile:
        port = _free_port()
        driver = subprocess.Popen(
            [DRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(address)
            session = Browser(address, _new_session(address, profile, flags))
            try:
                yield session
            finally:
                session.close()
        finally:
            driver.terminate()
            driver.wait(PATIENCE_S)


def _new_session(address: str, profile: str, flags: tuple[str, ...]) -> str:
    options = {"args": [*flags, *FLAGS, f"--user-data-dir={profile}"], "binary": shutil.which(BROWSER)}
    wanted = {
        "browserName": "chrome",
        "goog:chromeOptions": options,
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
    }
    answer = _call(f"{address}/session", {"capabilities": {"alwaysMatch": wanted}}, "POST")
    return str(answer["sessionId"])


def _wait_for(address: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            if _call(f"{address}/status", None, "GET")["ready"]:
                return
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < end, "chromedriver doesn't answer"
        time.sleep(0.05)


def _call(address: str, body: dict[str, Any] | None, method: str) -> Any:
    data = None if body is None else json.dumps(body).encode()
    kind = {"Content-Type": "application/json"}
    request = urllib.request.Request(address, data, kind, method=method)  # noqa: S310 - of this machine
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never by way of a proxy
    try:
        with opener.open(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{method} {address}: {error.read().decode()[:600]}") from None


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
