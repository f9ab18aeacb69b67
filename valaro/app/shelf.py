"""The recordings that the app holds: uploads and their results on disk, and a queue that analyses them.

<folder>/<id>/upload/<name>                what was uploaded
<folder>/<id>/results/<stem>/<stem>.csv    what came out, in every format
"""

import os
import queue
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

from stages.core.artefacts import PARTIAL, remove
from stages.core.errors import ValaroError
from stages.core.notes import printable
from valaro.app.analysis import Choice, start
from valaro.recordings.formats import TRACE
from valaro.recordings.names import name_of

State = Literal["waiting", "running", "done", "failed"]
LONGEST_NAME, LONGEST_ENDING = 120, 20
"""In bytes."""
NAMELESS = "recording"


class TooLarge(ValaroError):
    """An upload beyond the limit."""


@dataclass
class Recording:
    """One recording and how far its analysis is.

    Args:
        id: names it in addresses.
        name: of the file as it was uploaded, made safe.
        state: of the analysis.
        step: what is being done.
        share: of the analysis that is done, 0 to 1.
        error: why it failed.
        summary: what came out, see `outputs.summarise`.
    """

    id: str
    name: str
    state: State = "waiting"
    step: str = ""
    share: float = 0.0
    error: str = ""
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def stem(self) -> str:
        """Name of the folder and the files of its results."""
        return name_of(Path(self.name))


class Shelf:
    """All recordings; methods may be called from any thread.

    Args:
        folder: holds everything; a recording that is deleted leaves nothing there.
        choice: the system that analyses.
        max_bytes: of one upload.
        max_recordings: held at a time.
    """

    def __init__(self, folder: Path, choice: Choice, max_bytes: int, max_recordings: int) -> None:
        self.max_bytes = max_bytes
        self._folder, self._choice, self._most = folder, choice, max_recordings
        self._recordings: dict[str, Recording] = {}
        self._waiting: queue.Queue[str | None] = queue.Queue()
        self._lock, self._removing = threading.Lock(), threading.Lock()
        self._at_work: tuple[str, Any] | None = None
        self._thread = threading.Thread(target=self._work, name="analyses", daemon=True)
        self._thread.start()

    def all(self) -> list[Recording]:
        """Every recording, in the order of their arrival."""
        with self._lock:
            return list(self._recordings.values())

    def get(self, id_: str) -> Recording | None:
        """A recording by its id."""
        with self._lock:
            return self._recordings.get(id_)

    @contextmanager
    def upload(self, name: str) -> Iterator["Upload"]:
        """Take in a file; it is on the shelf once the block has ended well, else nothing is left of it.

        Raises:
            ValaroError: the shelf is full.
        """
        with self._lock:
            if len(self._recordings) >= self._most:
                raise ValaroError(f"{self._most} recordings are held already. Delete one first.")
        recording = Recording(secrets.token_hex(8), safe_name(name))
        folder = self._folder / recording.id
        target = folder / "upload" / recording.name
        target.parent.mkdir(parents=True)
        partial = target.with_name(f"{PARTIAL}upload")
        try:
            with partial.open("xb") as file:
                yield Upload(file, self.max_bytes, recording)
            partial.replace(target)
        except BaseException:
            remove(folder)
            raise
        with self._lock:
            self._recordings[recording.id] = recording
        self._waiting.put(recording.id)

    def delete(self, id_: str) -> bool:
        """Remove a recording, its results, and stop its analysis; whether it was there."""
        with self._lock:
            recording = self._recordings.pop(id_, None)
            if self._at_work and self._at_work[0] == id_:
                self._at_work[1].terminate()
        if recording is None:
            return False
        if recording.state != "running":  # else the worker removes it when its process has gone
            self._remove(id_)
        return True

    def file(self, id_: str, *parts: str) -> Path | None:
        """A file of a recording by the parts of its address; None if it is no file of that recording."""
        recording = self.get(id_)
        if recording is None:
            return None
        known = {("upload", recording.name)} | {
            ("results", recording.stem, path.name)
            for path in (self._folder / id_ / "results" / recording.stem).glob("*")
        }
        path = self._folder.joinpath(id_, *parts)
        return path if parts in known and path.is_file() else None

    def files(self, recording: Recording) -> list[str]:
        """Names of the files of results."""
        folder = self._folder / recording.id / "results" / recording.stem
        return sorted(path.name for path in folder.glob("*") if path.name != TRACE)

    def close(self) -> None:
        """Stop the analyses; what is on disk stays."""
        with self._lock:
            self._recordings.clear()
            if self._at_work:
                self._at_work[1].terminate()
        self._waiting.put(None)
        self._thread.join(timeout=10)

    def _work(self) -> None:
        while (id_ := self._waiting.get()) is not None:
            recording = self.get(id_)
            if recording is not None:
                self._analyse(recording)
            if self.get(id_) is None:  # deleted in the meantime
                self._remove(id_)

    def _remove(self, id_: str) -> None:
        with self._removing:  # one thread at a time: it fails at files that another has just removed
            remove(self._folder / id_)

    def _analyse(self, recording: Recording) -> None:
        folder = self._folder / recording.id
        recording.state = "running"
        process, messages = start(folder / "upload" / recording.name, folder / "results", self._choice)
        with self._lock:
            self._at_work = recording.id, process
        state: State = "failed"
        try:
            while True:
                kind, content = messages.recv()
                if kind == "progress":
                    recording.step, recording.share = content
                elif kind == "done":
                    recording.summary, state = content, "done"
                else:  # the folder is nothing to the user, and is gone when the app ends
                    recording.error = content.replace(f"{folder / 'upload'}{os.sep}", "")
        except EOFError:  # the process has ended
            pass
        process.join()
        with self._lock:
            self._at_work = None
        if state == "failed" and not recording.error:
            problem = "the process that analysed it ended without a message: it may be damaged or too large"
            recording.error = f"{recording.name}: {problem}. Convert the file and try again."
        recording.state = state


class Upload:
    """A file that is coming in, of a limited size."""

    def __init__(self, file: BinaryIO, max_bytes: int, recording: Recording) -> None:
        self.recording = recording
        self._file, self._left = file, max_bytes
        self._most = max_bytes

    def write(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            TooLarge: they are too many.
        """
        self._left -= len(chunk)
        if self._left < 0:
            raise TooLarge(f"larger than {self._most:,} bytes (app.max_upload_bytes)")
        self._file.write(chunk)


def safe_name(name: str) -> str:
    r"""A file's name as it may be used in a folder of ours: no folders, nothing unprintable, no leading dot.

    >>> safe_name("../../etc/passwd"), safe_name("C:\\clips\\a b.mp4"), safe_name(" .. ")
    ('passwd', 'a b.mp4', 'recording')
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    plain = printable(last).replace("\\", "_").replace(":", "_").strip(" .")
    stem, dot, ending = plain.rpartition(".")
    if not stem or len(ending.encode()) > LONGEST_ENDING:
        return _cut(plain, LONGEST_NAME) or NAMELESS
    return f"{_cut(stem, LONGEST_NAME - LONGEST_ENDING)}{dot}{ending}"


def _cut(text: str, longest: int) -> str:
    """The beginning that takes at most so many bytes: file systems count those."""
    return text.encode()[:longest].decode(errors="ignore").rstrip(" .")
