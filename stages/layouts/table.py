"""A corpus of your own: any folder of videos, and a table with label file and split of each.

    <corpus>/<table>            CSV in UTF-8, one line per annotated person
    video,label_file,split,person
    talks/anna.mp4,labels/anna.txt,train,
    talks/duo.mp4,labels/duo_left.txt,validation,left
    talks/duo.mp4,labels/duo_right.txt,validation,right
    talks/ben.mp4,,test,

Paths are relative to the table. `person` is optional: `left` or `right` is the side on which the person is
first seen; any other word only becomes part of the name. `participant` is optional too: who it is; all
videos of one participant stay in one fold. A label file has the format of Aff-Wild2:
`valence,arousal`, then one line per native frame (`stages/core/labels.py`).
"""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from stages.core.corpus import SPLITS, Split, Subject
from stages.core.errors import BadInput, ValaroError
from stages.core.notes import Note
from stages.core.params import IndexParams
from stages.core.recordings import SIDES, join_groups, recordings_of, siblings_left_out
from stages.core.suffixes import VIDEO_SUFFIXES
from stages.layouts.listing import Found, Listing
from stages.layouts.names import normal_name, unfit_name
from stages.layouts.texts import AUTO, rows_expected

NEEDED = ("video", "label_file", "split")
PERSON, PARTICIPANT = "person", "participant"


@dataclass(frozen=True)
class _Row:
    """A valid line of the table, whose files exist.

    Args:
        line: number of the line.
        video: path relative to the table.
        labels: label file; None without one.
        split: part of the corpus.
        person: a side, a name, or "".
        participant: who it is, in all videos with this person, or "".
    """

    line: int
    video: PurePosixPath
    labels: Path | None
    split: Split
    person: str
    participant: str


def list_corpus(settings: IndexParams, sample_file: str | None) -> Listing:
    """Read the table; a line that can't be used becomes a note with its number.

    Args:
        settings: `corpus`, `table` (a file below it) and `videos` (a folder below it with all videos).
        sample_file: a sample submission below the corpus; `auto` and None: none.

    Raises:
        BadInput: the table is missing, or isn't valid.
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
    form = Path(settings.corpus) / str(sample_file)
    rows_of = rows_expected(form) if named else {}
    expected = {normal_name(name): count for name, count in rows_of.items()}
    found = [
        replace(each, rows_expected=expected.get(each.subject.name)) if each.subject.split == "test" else each
        for each in found
    ]
    counts = Counter(each.subject.split for each in found)
    summary = [f"{file}: " + ", ".join(f"{counts[split]} {split}" for split in SPLITS)]
    return Listing(found, notes, summary, len(lines), expected, [file, form] if named else [file])


def _lines(file: Path) -> list[tuple[int, dict[str, str]]]:
    """Line number and cells of each line that isn't blank."""
    remedy = f"Write a CSV with the columns {', '.join(NEEDED)} and, optionally, {PERSON} and {PARTICIPANT}"
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise BadInput(file, "no such table", f"Set index.corpus and index.table. {remedy}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(file, f"not UTF-8 text ({error})", remedy) from None
    head = text.partition("\n")[0]
    reader = csv.DictReader(text.splitlines(), delimiter=";" if ";" in head and "," not in head else ",")
    try:
        columns = [name.strip().lower() for name in reader.fieldnames or ()]
        reader.fieldnames = columns
        lines = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise BadInput(file, f"line {reader.line_num} isn't CSV ({error})", remedy) from None
    if missing := [name for name in NEEDED if name not in columns]:
        raise BadInput(
            file, f"line 1 has no column {', '.join(missing)} (it is {head.strip()!r:.80})", remedy
        )
    kept = (*NEEDED, PERSON, PARTICIPANT)
    cells = [(line, {name: (row.get(name) or "").strip() for name in kept}) for line, row in lines]
    return [(line, row) for line, row in cells if any(row.values())]


def _row(
    file: Path, settings: IndexParams, line: int, cells: dict[str, str], notes: list[Note]
) -> _Row | None:
    """A parsed line; None, with a note, if it can't be used."""
    try:
        split = cells["split"].lower()
        if split not in SPLITS:
            raise ValueError(f"split is {cells['split']!r}, must be one of {', '.join(SPLITS)}")
        video = _path(file.parent, cells["video"], "video")
        if video.suffix.lower() not in VIDEO_SUFFIXES:
            raise ValueError(f"video {cells['video']!r} doesn't have the suffix of a video")
        if PurePosixPath(settings.videos) not in (video, *video.parents):
            raise ValueError(f"video {cells['video']!r} is outside index.videos ({settings.videos})")
        if not cells["label_file"] and split != "test":
            raise ValueError(f"no label_file, and the split is {split}")
        label_file = cells["label_file"]
        labels = file.parent / _path(file.parent, label_file, "label_file") if label_file else None
        person = cells[PERSON].lower() if cells[PERSON].lower() in SIDES else normal_name(cells[PERSON])
        return _Row(line, video, labels, split, person, normal_name(cells[PARTICIPANT]))
    except ValueError as problem:
        notes.append(_aside(file, line, cells["video"], str(problem), "Correct the line"))
        return None


def _path(folder: Path, cell: str, column: str) -> PurePosixPath:
    """A path of the table, to a file below its folder.

    Raises:
        ValueError: the cell is empty, or its path is elsewhere or not a file.
    """
    path = PurePosixPath(cell.replace("\\", "/"))
    if not cell:
        raise ValueError(f"{column} is empty")
    if path.is_absolute() or ".." in path.parts or "\0" in cell or path.parts[0].endswith(":"):
        raise ValueError(f"{column} {cell!r} is outside the table's folder")
    if not (folder / path).is_file():
        raise ValueError(f"{column} {cell!r} isn't a file")
    return path


def _found(file: Path, rows: Sequence[_Row], group_parts: bool, notes: list[Note]) -> list[Found]:
    """Subjects in the order of their names."""
    named = _names_of({row.video for row in rows})
    subjects: dict[str, _Row] = {}
    owners: dict[str, PurePosixPath] = {}  # name of a video -> the first video with it
    lines: dict[Path, int] = {}  # label file -> the first line with it
    faces: set[PurePosixPath] = set()  # videos with a person whose side isn't given
    for row in rows:
        name = f"{named[row.video]}_{row.person}" if row.person else named[row.video]
        owner = owners.setdefault(named[row.video], row.video)
        if owner != row.video:
            problem = f"the name of {row.video} would be that of {owner}: {named[owner]!r}"
            notes.append(_aside(file, row.line, name, problem, "Rename one of the two files"))
            continue
        if trouble := _trouble(name, row, subjects, faces):
            notes.append(_aside(file, row.line, name, *trouble))
            continue
        if row.labels and (line := lines.setdefault(row.labels, row.line)) != row.line:
            problem = f"line {line} has the same label_file"
            notes.append(Note(name, f"{file}:{row.line}", problem, "Correct one of the lines"))
        subjects[name] = row
        faces |= set() if row.person in SIDES else {row.video}
    recording = recordings_of({named[row.video] for row in subjects.values()}, group_parts)
    groups = [(named[row.video], row.participant) for row in subjects.values() if row.participant]
    return [*_subjects(file, subjects, named, join_groups(recording, groups) if groups else recording)]


def _subjects(
    file: Path, subjects: dict[str, _Row], named: dict[PurePosixPath, str], recording: dict[str, str]
) -> Iterator[Found]:
    for name, row in sorted(subjects.items()):
        video = named[row.video]
        side = next((side for side in SIDES if side == row.person), None)
        siblings = () if side else siblings_left_out(named[row.video], subjects)
        subject = Subject(name, video, side, row.split, recording[video], siblings)
        yield Found(subject, file.parent / row.video, row.labels)


def _trouble(
    name: str, row: _Row, subjects: dict[str, _Row], faces: set[PurePosixPath]
) -> tuple[str, str] | None:
    """Problem and remedy of a line that can't be used; None if it can."""
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
    """A name for each video: that of its file, or its whole path if several files have the same name."""
    stems = Counter(normal_name(video.stem) for video in videos)
    return {
        video: normal_name(video.stem if stems[normal_name(video.stem)] == 1 else "-".join(
            video.with_suffix("").parts
        ))
        for video in videos
    }  # fmt: skip


def _aside(file: Path, line: int, name: str, problem: str, remedy: str) -> Note:
    return Note(name or f"line {line}", f"{file}:{line}", problem, remedy, quarantined=True)
