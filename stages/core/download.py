"""Download one file over HTTP, with resumption and verification; it appears only when complete.

1. A lock file prevents a second process from writing the same file.
2. Bytes are written to a hidden partial file beside the target. A partial file of an earlier call is
   continued with a `Range` request; if the server ignores the range, the download starts again.
3. The SHA-256 of the whole file is checked. If it is wrong, the partial file is removed; if the download had
   been resumed, it is repeated once from the beginning.
4. The partial file is renamed to the target.

If the connection breaks, the partial file remains for the next call.
"""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

CHUNK_BYTES = 1 << 20
TIMEOUT_S = 30.0
RANGE_NOT_SATISFIABLE = 416
PARTIAL_CONTENT = 206

Report = Callable[[int, int], None]
"""Called with the bytes received so far and the bytes expected."""


class DownloadError(Exception):
    """The download failed; the message has the reason."""


def partial_path(target: Path) -> Path:
    """Path of the partial file of a download."""
    return target.with_name(f".{target.name}.part")


def download(
    url: str,
    target: Path,
    *,
    sha256: str,
    size_bytes: int,
    report: Report | None = None,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Download `url` to `target`; missing folders are created.

    Args:
        url: http or https.
        target: the file.
        sha256: hash of the whole file, in hexadecimal.
        size_bytes: size of the file, or an upper bound; the download stops beyond it.
        report: called with the progress, at least once per megabyte.
        timeout_s: longest wait in seconds for the connection, and for each piece.

    Raises:
        DownloadError: no connection, an HTTP error, a broken connection, or a wrong SHA-256.
    """
    from filelock import FileLock

    target.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(target)
    try:
        with FileLock(partial.with_suffix(".lock")):  # the lock file stays: removing it would race
            if target.is_file() and sha256_of(target) == sha256:  # another process has downloaded it
                return
            resumed = partial.is_file()
            found = _receive(url, partial, size_bytes, report, timeout_s)
            if found != sha256 and resumed:  # the partial file may be of another version
                partial.unlink()
                found = _receive(url, partial, size_bytes, report, timeout_s)
            if found != sha256:
                partial.unlink()
                raise DownloadError(f"SHA-256 of the download is {found[:16]}…, must be {sha256[:16]}…")
            partial.replace(target)
    except (OSError, HTTPException) as error:
        raise DownloadError(str(error) or type(error).__name__) from error


def _receive(url: str, partial: Path, size_bytes: int, report: Report | None, timeout_s: float) -> str:
    """Complete the partial file, up to one chunk beyond the expected size; return its SHA-256."""
    received = min(partial.stat().st_size, size_bytes) if partial.is_file() else 0
    # The URLs come from a table in the code, never from a user.
    request = urllib.request.Request(url, headers={"Range": f"bytes={received}-"} if received else {})  # noqa: S310
    try:
        answer = urllib.request.urlopen(request, timeout=timeout_s)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code != RANGE_NOT_SATISFIABLE or not received:
            raise
        os.truncate(partial, received)
        return sha256_of(partial)  # it was complete
    with answer, partial.open("ab") as file:
        if answer.status != PARTIAL_CONTENT:
            received = 0
        file.truncate(received)
        announced = answer.headers.get("Content-Length")
        end = received + int(announced) if announced else None
        while received <= size_bytes and (chunk := answer.read(CHUNK_BYTES)):
            file.write(chunk)
            received += len(chunk)
            if report:
                report(received, end or size_bytes)
        file.flush()
        os.fsync(file.fileno())
    if end is not None and received < min(end, size_bytes):
        raise OSError(f"the connection broke after {received} of {end} bytes; run it again to resume")
    return sha256_of(partial)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
