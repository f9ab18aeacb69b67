"""A corpus of your own: any folder of videos, and a table that says what belongs to each.

    <corpus>/<table>            CSV in UTF-8, a line per annotated person
    video,label_file,split,person
    talks/anna.mp4,labels/anna.txt,train,
    talks/duo.mp4,labels/duo_left.txt,validation,left
    talks/duo.mp4,labels/duo_right.txt,validation,right
    talks/ben.mp4,,test,

Paths are relative to the table. `person` may be left out: `left` or `right` is the side on which the person
is first seen, any other word is only a part of the name. A label file is Aff-Wild2's: `valence,arousal`, then
one line per native frame (`stages/core/labels.py`).
"""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stages.core.corpus import SPLITS, Split, Subject
from stages.core.errors import BadInput, ValaroError
from stages.core.notes import Note
from stages.core.params import IndexParams
from stages.core.recordings import SIDES, recordings_of, siblings_left_out
from stages.core.suffixes import VIDEO_SUFFIXES
from stages.layouts.listing import Found, Listing
from stages.layouts.names import normal_name, unfit_name
from stages.layouts.texts import AUTO, rows_expected

NEEDED = ("video", "label_file", "split")
PERSON = "person"


@dataclass(frozen=True)
class _Row:
    """A line of the table whose files exist.

    Args:
        line: its number.
        video: relative to the table.
        labels: None for the test split.
        split: the part of the corpus.
        person: a side, a name, or "".
    """

    line: int
    video: PurePosixPath
    labels: Path | None
    split: Split
    person: str


def list_corpus(settings: IndexParams, sample_file: str | None) -> Listing:
    """Read the table; a line that can't be used becomes a note with its number.

    Args:
        settings: `corpus`, `table` (a file below it) and `videos` (a folder below it that holds all videos).
        sample_file: a sample submission below the corpus; `auto` and None: none.

    Raises:
        BadInput: there is no such table, or it isn't one.
        ValaroError: no line of it can be used.
    """
    file = Path(settings.corpus) / settings.table
    lines = _lines(file)
    notes: list[Note] = []
    rows = [row for line, cells in lines if (row := _row(file, settings, line, cells, notes))]
    found = _found(file, rows, settings.group_parts, notes)
    if not found:
        reason = f" {notes[0].problem}: {notes[0].file}." if notes else ""
        raise ValaroError(
            f"{file}: no line of it can be used.{reason} docs/bring-your-data.md has an example."
        )
    named = sample_file not in (None, AUTO)
    expected = rows_expected(Path(settings.corpus) / str(sample_file)) if named else {}
    counts = Counter(each.subject.split for each in found)
    summary = [f"{file}: " + ", ".join(f"{counts[split]} {split}" for split in SPLITS)]
    return Listing(found, notes, summary, len(lines), expected)


def _lines(file: Path) -> list[tuple[int, dict[str, str]]]:
    """Number and cells of each line that isn't blank."""
    remedy = f"Write a CSV with the columns {', '.join(NEEDED)} and, if wanted, {PERSON}"
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise BadInput(file, "no such table", f"Set index.corpus and index.table. {remedy}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(file, f"not a text in UTF-8 ({error})", remedy) from None
    head = text.partition("\n")[0]
    reader = csv.DictReader(text.splitlines(), delimiter=";" if ";" in head and "," not in head else ",")
    try:
        columns = [name.strip().lower() for name in reader.fieldnames or ()]
        reader.fieldnames = columns
        lines = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise BadInput(file, f"line {reader.line_num} is no CSV ({error})", remedy) from None
    if missing := [name for name in NEEDED if name not in columns]:
        raise BadInput(
            file, f"line 1 has no column {', '.join(missing)} (it is {head.strip()!r:.80})", remedy
        )
    kept = (*NEEDED, PERSON)
    cells = [(line, {name: (row.get(name) or "").strip() for name in kept}) for line, row in lines]
    return [(line, row) for line, row in cells if any(row.values())]


def _row(
    file: Path, settings: IndexParams, line: int, cells: dict[str, str], notes: list[Note]
) -> _Row | None:
    """A line as it is used; None, and a note, where it can't be."""
    try:
        split = cells["split"].lower()
        if split not in SPLITS:
            raise ValueError(f"split is {cells['split']!r}, none of {', '.join(SPLITS)}")
        video = _path(file.parent, cells["video"], "video")
        if video.suffix.lower() not in VIDEO_SUFFIXES:
            raise ValueError(f"video {cells['video']!r} has no ending of a video")
        if PurePosixPath(settings.videos) not in (video, *video.parents):
            raise ValueError(f"video {cells['video']!r} lies outside index.videos ({settings.videos})")
        if not cells["label_file"] and split != "test":
            raise ValueError(f"no label_file, and the split is {split}")
        label_file = cells["label_file"]
        labels = file.parent / _path(file.parent, label_file, "label_file") if label_file else None
        return _Row(line, video, labels, split, normal_name(cells[PERSON]))
    except ValueError as problem:
        notes.append(_aside(file, line, cells["video"], str(problem), "Correct the line"))
        return None


def _path(folder: Path, cell: str, column: str) -> PurePosixPath:
    """A file below the table's folder.

    Raises:
        ValueError: the cell names nothing, something elsewhere, or no file.
    """
    path = PurePosixPath(cell.replace("\\", "/"))
    if not cell:
        raise ValueError(f"{column} is empty")
    if path.is_absolute() or ".." in path.parts or "\0" in cell or path.parts[0].endswith(":"):
        raise ValueError(f"{column} {cell!r} leads out of the table's folder")
    if not (folder / path).is_file():
        raise ValueError(f"{column} {cell!r} is no file")
    return path


def _found(file: Path, rows: Sequence[_Row], group_parts: bool, notes: list[Note]) -> list[Found]:
    """Subjects in the order of their names."""
    named = _names_of({row.video for row in rows})
    subjects: dict[str, _Row] = {}
    faces: set[PurePosixPath] = set()  # videos with a person whose side isn't given
    for row in rows:
        name = f"{named[row.video]}_{row.person}" if row.person else named[row.video]
        if trouble := _trouble(name, row, subjects, faces):
            notes.append(_aside(file, row.line, name, *trouble))
            continue
        subjects[name] = row
        faces |= set() if row.person in SIDES else {row.video}
    recording = recordings_of({named[row.video] for row in subjects.values()}, group_parts)
    return [*_subjects(file, subjects, named, recording)]


def _subjects(
    file: Path, subjects: dict[str, _Row], named: dict[PurePosixPath, str], recording: dict[str, str]
) -> Iterator[Found]:
    for name, row in sorted(subjects.items()):
        video = named[row.video]
        side = next((side for side in SIDES if side == row.person), None)
        siblings = siblings_left_out(name, subjects)
        subject = Subject(name, video, side, row.split, recording[video], siblings)
        yield Found(subject, file.parent / row.video, row.labels)


def _trouble(
    name: str, row: _Row, subjects: dict[str, _Row], faces: set[PurePosixPath]
) -> tuple[str, str] | None:
    """Problem and remedy of a line that can't be used."""
    if why := unfit_name(name):
        return f"{name!r} {why}", "Rename the file or the person"
    if name in subjects:
        return (
            f"{name!r} is in line {subjects[name].line} too",
            "Give each person of a video a side: left, right",
        )
    if row.person not in SIDES and row.video in faces:
        return "two people of one video without a side", "Write left or right as the person"
    return None


def _names_of(videos: set[PurePosixPath]) -> dict[PurePosixPath, str]:
    """A name for each video: that of its file, or its whole path where several files have that name."""
    stems = Counter(normal_name(video.stem) for video in videos)
    return {
        video: normal_name(video.stem if stems[normal_name(video.stem)] == 1 else "-".join(
            video.with_suffix("").parts
        ))
        for video in videos
    }  # fmt: skip


def _aside(file: Path, line: int, name: str, problem: str, remedy: str) -> Note:
    return Note(name or f"line {line}", f"{file}:{line}", problem, remedy, quarantined=True)
