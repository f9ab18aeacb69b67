"""One table for all corpora: a row is one image, its speaker and its labels."""

from collections.abc import Callable, Iterator
from math import isfinite
from pathlib import Path
from typing import Literal, NamedTuple

from stages.core.notes import Note

EMOTIONS = ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise", "other")
"""Neutral, Ekman's six, and all others; in the order of `static_model.CLASSES`, which needs torch."""
NO_EMOTION = -1

Region = Literal["whole", "face", "person", "any"]
"""What to crop: nothing (an aligned face); the face in a face's box; the face in a person's box; any face."""
Part = Literal["", "train", "validation", "test"]
"""Part of an official division; "" without one. Test images are scored, never used for training."""
Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""

VIDEOS = {".mp4", ".avi", ".mov", ".mkv", ".wmv", ".mpg", ".m4v"}
PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}
NOTES_PER_CORPUS = 50
TOLERANCE = 1e-6


class Sample(NamedTuple):
    """One row of the table. JSON types only, since samples enter the key of a result."""

    source: str
    """Path of the picture or video, relative to the corpus' folder."""
    speaker: str
    """The person, unique within the corpus; never on both sides of the split."""
    region: Region
    box_xyxy: Box | None = None
    """Box in the picture; see `region`."""
    time_s: float | None = None
    """Seconds from the first frame of a video; None for a picture."""
    valence: float | None = None
    arousal: float | None = None
    """In [-1, 1]; None where unlabelled."""
    emotion: int = NO_EMOTION
    """Index into EMOTIONS."""
    part: Part = ""
    position: int | None = None
    """Byte offset of the picture's line, if `source` is a text file of pixels."""
    votes: tuple[int, ...] | None = None
    """Votes for each of EMOTIONS; None if only the result is published."""


class Problems:
    """Collects what can't be used of one corpus; the rest is used.

    Args:
        corpus: name of the corpus.
        folder: its folder.
    """

    def __init__(self, corpus: str, folder: Path) -> None:
        self._corpus, self.folder = corpus, folder
        self._notes: list[Note] = []
        self.count = 0

    def add(self, place: Path | str, problem: str, remedy: str = "Check it, or leave it out") -> None:
        """Note a file, or `file:line`; after NOTES_PER_CORPUS notes only their number is counted."""
        self.count += 1
        if self.count <= NOTES_PER_CORPUS:
            self._notes.append(Note(self._corpus, str(place), problem, remedy, quarantined=True))

    @property
    def notes(self) -> list[Note]:
        """The first notes, and one with the number of further ones."""
        more = self.count - len(self._notes)
        rest = Note(
            self._corpus, str(self.folder), f"{more} more entries can't be used", "See the other notes"
        )
        return [*self._notes, *([rest] if more else [])]


Adapter = Callable[[Path, float, Problems], Iterator[Sample]]
"""`samples(folder, frames_hz, problems)` yields the rows of a corpus, of videos at frames_hz, and adds to
`problems` what it can't use."""


def scaled(value: float, low: float, high: float) -> float:
    """Map a label from low … high to [-1, 1].

    >>> scaled(10, 1, 10), scaled(5.5, 1, 10)
    (1.0, 0.0)

    Raises:
        ValueError: it is outside its range or NaN.
    """
    result = 2 * (value - low) / (high - low) - 1
    if not abs(result) <= 1 + TOLERANCE:
        raise ValueError(f"{value:g} is outside {low:g} to {high:g}")
    return min(1.0, max(-1.0, result))


def box_of(left: float, top: float, right: float, bottom: float) -> Box:
    """A box of positive area.

    Raises:
        ValueError: an edge isn't finite, or the box is empty.
    """
    if not (right > left and bottom > top and all(map(isfinite, (left, top, right, bottom)))):
        raise ValueError(f"the box {left:g}, {top:g}, {right:g}, {bottom:g} is empty")
    return left, top, right, bottom


def emotion(name: str) -> int:
    """Index of an emotion in EMOTIONS."""
    return EMOTIONS.index(name)


def existing(folder: Path, name: str) -> str:
    """Check a file name of an annotation; return it as a path relative to `folder`.

    Raises:
        ValueError: the file doesn't exist, or the path leaves the folder.
    """
    relative = Path(name.strip().replace("\\", "/"))
    if not name.strip() or relative.is_absolute() or ".." in relative.parts:
        raise ValueError(f"{name!r} isn't a path below {folder}")
    try:
        found = (folder / relative).is_file()
    except OSError as error:  # e.g. the name is too long
        raise ValueError(f"{name[:60]!r} … isn't a file name ({error.strerror})") from None
    if not found:
        raise ValueError(f"{folder / relative} is missing")
    return relative.as_posix()


def below(folder: Path, kinds: set[str]) -> list[Path]:
    """All files below a folder with these suffixes (lower case), sorted, without hidden ones."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in kinds)
    return sorted(path for path in found if path.is_file() and not path.name.startswith("."))


def lines(path: Path, problems: Problems) -> Iterator[tuple[int, str]]:
    """(line number from 1, text) of every line that isn't blank; nothing if the file can't be read."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            for number, line in enumerate(file, 1):
                if text := line.strip():
                    yield number, text
    except OSError as error:
        problems.add(path, f"can't be read ({error.strerror})")
