"""One table for all corpora: a sample is one image, its speaker, and the labels it has."""

from collections.abc import Callable, Iterator
from math import isfinite
from pathlib import Path
from typing import Literal, NamedTuple

from stages.core.notes import Note

EMOTIONS = ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise", "other")
"""In the order of `static_model.CLASSES` (which needs torch): Ekman's six, neutral, and all else."""
NO_EMOTION = -1

Region = Literal["whole", "face", "person", "any"]
"""What the picture shows: an aligned face; a scene whose box is a face's, or a person's; any one face."""
Part = Literal["", "train", "validation", "test"]
"""Of an official division; "" where the corpus has none. Test images are scored, never learnt from."""
Box = tuple[float, float, float, float]

VIDEOS = {".mp4", ".avi", ".mov", ".mkv", ".wmv", ".mpg", ".m4v"}
PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}
NOTES_PER_CORPUS = 50
TOLERANCE = 1e-6


class Sample(NamedTuple):
    """One row of the table. JSON types only: samples decide which results are remembered."""

    source: str
    """The picture or video: its path below the corpus' folder."""
    speaker: str
    """Who is seen, within the corpus; never on both sides of the split."""
    region: Region
    box_xyxy: Box | None = None
    """Left, top, right, bottom in pixels of the picture."""
    time_s: float | None = None
    """From the first frame of a video; None for a picture."""
    valence: float | None = None
    arousal: float | None = None
    """In [-1, 1]; None where unlabelled."""
    emotion: int = NO_EMOTION
    """Index into EMOTIONS."""
    part: Part = ""
    position: int | None = None
    """Byte at which the picture's line begins, where `source` is a text file of pixels."""
    votes: tuple[int, ...] | None = None
    """How many people chose each of EMOTIONS; None where only the outcome is published."""


class Problems:
    """What couldn't be used of one corpus: it is listed, and the rest is used.

    Args:
        corpus: its name.
        folder: where it lies.
    """

    def __init__(self, corpus: str, folder: Path) -> None:
        self._corpus, self.folder = corpus, folder
        self._notes: list[Note] = []
        self.count = 0

    def add(self, place: Path | str, problem: str, remedy: str = "Check it, or leave it out") -> None:
        """Note a file, or `file:line`; after NOTES_PER_CORPUS only their number grows."""
        self.count += 1
        if self.count <= NOTES_PER_CORPUS:
            self._notes.append(Note(self._corpus, str(place), problem, remedy, quarantined=True))

    @property
    def notes(self) -> list[Note]:
        """The first notes, and how many more there are."""
        more = self.count - len(self._notes)
        rest = Note(self._corpus, str(self.folder), f"{more} more entries can't be used", "See the others")
        return [*self._notes, *([rest] if more else [])]


Adapter = Callable[[Path, float, Problems], Iterator[Sample]]
"""`samples(folder, frames_hz, problems)`: a corpus' rows; videos and frame sequences thinned to frames_hz."""


def scaled(value: float, low: float, high: float) -> float:
    """A label of the range low … high in [-1, 1].

    >>> scaled(10, 1, 10), scaled(5.5, 1, 10)
    (1.0, 0.0)

    Raises:
        ValueError: it lies outside its range, or is no number.
    """
    result = 2 * (value - low) / (high - low) - 1
    if not abs(result) <= 1 + TOLERANCE:
        raise ValueError(f"{value:g} is outside {low:g} to {high:g}")
    return min(1.0, max(-1.0, result))


def box_of(left: float, top: float, right: float, bottom: float) -> Box:
    """A box with something in it.

    Raises:
        ValueError: an edge is no number, or nothing lies between the edges.
    """
    if not (right > left and bottom > top and all(map(isfinite, (left, top, right, bottom)))):
        raise ValueError(f"there is nothing in the box {left:g}, {top:g}, {right:g}, {bottom:g}")
    return left, top, right, bottom


def emotion(name: str) -> int:
    """Its index in the table."""
    return EMOTIONS.index(name)


def existing(folder: Path, name: str) -> str:
    """A file that an annotation names, as a path below `folder`.

    Raises:
        ValueError: there is no such file, or the name leads out of the folder.
    """
    relative = Path(name.strip().replace("\\", "/"))
    if not name.strip() or relative.is_absolute() or ".." in relative.parts:
        raise ValueError(f"{name!r} is no name of a file below {folder}")
    try:
        found = (folder / relative).is_file()
    except OSError as error:  # a name longer than names can be
        raise ValueError(f"{name[:60]!r} … is no name of a file ({error.strerror})") from None
    if not found:
        raise ValueError(f"{folder / relative} is missing")
    return relative.as_posix()


def below(folder: Path, kinds: set[str]) -> list[Path]:
    """All files of some kinds (suffixes in lower case) below a folder, sorted; hidden ones don't count."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in kinds)
    return sorted(path for path in found if path.is_file() and not path.name.startswith("."))


def lines(path: Path, problems: Problems) -> Iterator[tuple[int, str]]:
    """(line number from 1, text) of every line with text; none if the file can't be read."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            for number, line in enumerate(file, 1):
                if text := line.strip():
                    yield number, text
    except OSError as error:
        problems.add(path, f"can't be read ({error.strerror})")
