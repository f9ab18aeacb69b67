"""Download one file over HTTP: resumed where it broke off, checked, visible only when complete.

1. A lock file keeps a second process from writing the same file.
2. Bytes go to a hidden partial file beside the target. One that an earlier call left is continued by a
   `Range` request; a server that ignores the range sends everything, and we start over.
3. The SHA-256 of the whole file decides. A wrong one removes the partial file; if it had been resumed, the
   download is tried once more from the first byte.
4. The partial file is renamed to the target.

A connection that breaks leaves the partial file for the next call.
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
    """The file could not be downloaded; the message says why."""


def partial_path(target: Path) -> Path:
    """Where the bytes of an unfinished download lie."""
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
    """Fetch `url` into `target`; missing folders are made.

    Args:
        url: http or https.
        target: where the finished file appears.
        sha256: of the whole file, in hexadecimal.
        size_bytes: its length, or an upper bound: a server that sends more is cut off.
        report: progress, at least once per megabyte.
        timeout_s: longest wait for the connection, and for each next piece.

    Raises:
        DownloadError: no connection, an HTTP error, a connection that broke, or other bytes than expected.
    """
    from filelock import FileLock

    target.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(target)
    try:
        with FileLock(partial.with_suffix(".lock")):  # the lock file stays: removing it would race
            if target.is_file() and _sha256(target) == sha256:  # another process was quicker
                return
            resumed = partial.is_file()
            found = _receive(url, partial, size_bytes, report, timeout_s)
            if found != sha256 and resumed:  # what lay there may have been of another version
                partial.unlink()
                found = _receive(url, partial, size_bytes, report, timeout_s)
            if found != sha256:
                partial.unlink()
                raise DownloadError(f"SHA-256 of the download is {found[:16]}…, wanted {sha256[:16]}…")
            partial.replace(target)
    except (OSError, HTTPException) as error:
        raise DownloadError(str(error) or type(error).__name__) from error


def _receive(url: str, partial: Path, size_bytes: int, report: Report | None, timeout_s: float) -> str:
    """Complete the partial file, at most one chunk beyond the expected size; its SHA-256."""
    received = min(partial.stat().st_size, size_bytes) if partial.is_file() else 0
    # The scheme is ours to choose: addresses come from a table in the code, never from a user.
    request = urllib.request.Request(url, headers={"Range": f"bytes={received}-"} if received else {})  # noqa: S310
    try:
        answer = urllib.request.urlopen(request, timeout=timeout_s)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code != RANGE_NOT_SATISFIABLE or not received:
            raise
        os.truncate(partial, received)
        return _sha256(partial)  # nothing was missing
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
    return _sha256(partial)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
