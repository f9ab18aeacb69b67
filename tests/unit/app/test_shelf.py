"""The shelf with analyses that a test leads by the hand: states, limits, deletion, and what is left on disk."""

import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest

from stages.core.errors import ValaroError
from valaro.app import shelf as module
from valaro.app.analysis import Choice
from valaro.app.shelf import Recording, Shelf, TooLarge
from valaro.recordings.formats import TRACE

CHOICE = Choice(None, "static", None, None)
PATIENCE_S = 60


class Analysis:
    """Stands for the process that analyses: a test sends its messages, and ends it."""

    def __init__(self, recording: Path, out: Path) -> None:
        self.recording, self.out = recording, out
        self.receiver, self.sender = Pipe(duplex=False)
        self.ended = threading.Event()

    def end(self) -> None:
        self.sender.close()
        self.ended.set()

    terminate = end

    def join(self) -> None:
        assert self.ended.wait(PATIENCE_S)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Analysis]:
    """The analyses that were begun."""
    found: list[Analysis] = []

    def start(recording: Path, out: Path, choice: Choice) -> tuple[Any, Any]:
        assert choice == CHOICE
        found.append(Analysis(recording, out))
        return found[-1], found[-1].receiver

    monkeypatch.setattr(module, "start", start)
    return found


@pytest.fixture
def shelf(tmp_path: Path, begun: list[Analysis]) -> Iterator[Shelf]:
    made = Shelf(tmp_path / "shelf", CHOICE, max_bytes=10, max_recordings=2)
    yield made
    made.close()


def put(shelf: Shelf, name: str, data: bytes = b"bytes") -> Recording:
    with shelf.upload(name) as file:
        file.write(data)
    return file.recording


def wait_until(holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.005)


def test_a_recording_goes_from_waiting_to_done(shelf: Shelf, begun: list[Analysis]) -> None:
    first, second = put(shelf, "a.mp4"), put(shelf, "../b.mp4")
    assert [one.name for one in shelf.all()] == ["a.mp4", "b.mp4"]
    wait_until(lambda: first.state == "running")
    assert second.state == "waiting", "one after the other"
    assert begun[0].recording.read_bytes() == b"bytes"
    begun[0].sender.send(("progress", ("faces", 0.4)))
    wait_until(lambda: first.share == 0.4)
    assert first.step == "faces"
    results = begun[0].out / "a"
    results.mkdir(parents=True)
    for name in ("a.csv", TRACE):
        (results / name).write_text("time_s\n")
    begun[0].sender.send(("done", {"frames": 3}))
    begun[0].end()
    wait_until(lambda: first.state == "done")
    assert first.summary == {"frames": 3}
    assert shelf.files(first) == ["a.csv"]
    assert shelf.file(first.id, "results", "a", "a.csv") == results / "a.csv"
    for parts in (
        ("results", "a", "b.csv"),
        ("upload", "..", "upload", "a.mp4"),
        ("..", second.id, "upload", "b.mp4"),
    ):
        assert shelf.file(first.id, *parts) is None
    wait_until(lambda: second.state == "running")


def test_a_failure_has_its_reason(shelf: Shelf, begun: list[Analysis]) -> None:
    recording = put(shelf, "a.mp4")
    wait_until(lambda: len(begun) == 1)
    begun[0].sender.send(("failed", f"{begun[0].recording}: no face in it."))
    begun[0].end()
    wait_until(lambda: recording.state == "failed")
    assert recording.error == "a.mp4: no face in it."


def test_a_process_that_ends_without_a_message_is_a_failure_with_a_remedy(
    shelf: Shelf, begun: list[Analysis]
) -> None:
    recording, next_one = put(shelf, "a.mp4"), put(shelf, "b.mp4")
    wait_until(lambda: len(begun) == 1)
    begun[0].sender.send(("progress", ("decode", 0.1)))
    begun[0].end()
    wait_until(lambda: recording.state == "failed")
    assert "ended without a message" in recording.error
    assert recording.error.endswith("Convert the file and try again.")
    wait_until(lambda: next_one.state == "running")


def test_an_upload_that_is_too_large_leaves_nothing(
    shelf: Shelf, begun: list[Analysis], tmp_path: Path
) -> None:
    with pytest.raises(TooLarge, match="larger than 10 bytes"), shelf.upload("a.mp4") as file:
        file.write(b"12345")
        file.write(b"678901")
    assert shelf.all() == []
    assert list((tmp_path / "shelf").iterdir()) == []
    assert begun == []


def test_a_full_shelf_takes_no_more_until_one_is_deleted(shelf: Shelf) -> None:
    first, _ = put(shelf, "a.mp4"), put(shelf, "b.mp4")
    with pytest.raises(ValaroError, match="2 recordings are held already"):
        put(shelf, "c.mp4")
    assert shelf.delete(first.id)
    put(shelf, "c.mp4")
    assert [one.name for one in shelf.all()] == ["b.mp4", "c.mp4"]


def test_deletion_stops_the_analysis_and_leaves_nothing(
    shelf: Shelf, begun: list[Analysis], tmp_path: Path
) -> None:
    running, waiting = put(shelf, "a.mp4"), put(shelf, "b.mp4")
    wait_until(lambda: running.state == "running" and len(begun) == 1)
    assert shelf.delete(waiting.id)
    assert shelf.delete(running.id)
    assert not shelf.delete(running.id), "it is gone"
    assert begun[0].ended.wait(PATIENCE_S)
    wait_until(lambda: list((tmp_path / "shelf").iterdir()) == [])
    assert len(begun) == 1, "what was deleted while it waited is never analysed"
    assert shelf.file(running.id, "upload", "a.mp4") is None
