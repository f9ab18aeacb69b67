"""`valaro app`: serve the page on this machine until Ctrl-C."""

import secrets
import signal
import socket
import sys
import tempfile
import webbrowser
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from stages.core.errors import ValaroError
from stages.engine.device import on_device
from valaro.app.analysis import Choice
from valaro.app.live import Estimator, Estimators
from valaro.app.server import Served, address, create_app
from valaro.app.shelf import Shelf
from valaro.commands.terminal import note, result
from valaro.model import load_model
from valaro.recordings.trained import pretrained

HOST = "127.0.0.1"


def serve(choice: Choice, *, port: int | None, keep: Path | None, browser: bool) -> None:
    """Load the system, print the page's address, and answer until the process is interrupted.

    Args:
        choice: the system that analyses.
        port: of the page; None: that of the parameters; 0: any that is free.
        keep: folder in which recordings and results stay; None: they go when the server ends.
        browser: whether to open the page.

    Raises:
        ValaroError: the system isn't complete, or the port is taken.
    """
    import uvicorn

    model = load_model(choice.model, system=choice.system, detector=choice.detector, device=choice.device)
    trained, settings = model.trained, model.params.app
    with ExitStack() as stack:
        listening = stack.enter_context(_listen(settings.port if port is None else port))
        stack.enter_context(on_device(choice.device))
        if keep:
            folder = _made(keep)
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="valaro-app-")))
        static = trained.models.model(f"static/{trained.params.embed.backbone}.safetensors")
        served = Served(
            shelf=Shelf(folder, choice, settings.max_upload_bytes, settings.max_recordings),
            estimator=Estimators(lambda: Estimator(static, trained.params, pretrained(trained.models))),
            token=secrets.token_urlsafe(24),
            live_fps_hz=settings.live_fps_hz,
            window_s=trained.params.smooth.window_s,
            about=f"Analysed by {trained.system}, trained on {trained.corpus}.",
            notice=trained.notice,
        )
        page = address(listening.getsockname()[1], served.token)
        result(page)
        kept = f"Recordings stay in {keep}." if keep else "Recordings go when it ends."
        note(f"open this address in a browser of this machine. {kept} Ctrl-C ends it.")
        if browser:
            webbrowser.open(page)
        _run(uvicorn, create_app(served), listening)


def _run(uvicorn: Any, app: Any, listening: socket.socket) -> None:
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws_max_size=4_000_000,
        timeout_graceful_shutdown=2,
    )
    # When it has ended, uvicorn raises the signal that ended it again: the folder must still be removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])


def _listen(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()  # from now on the page can be asked for, though the answer takes a moment
    except OSError as error:
        listening.close()
        raise ValaroError(
            f"port {port}: {error.strerror}. Choose another with --port, or --port 0."
        ) from None
    return listening


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
