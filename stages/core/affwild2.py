"""Aff-Wild2 as its organisers ship it: which files there are, and which belong together.

    <corpus>/<videos>/**/<video>.mp4 .avi ...                             any depth
    <corpus>/<annotations>/{Train_Set,Validation_Set}/<subject>.txt       one line per native frame
    <corpus>/<test_list>                                                  test subjects, one name a line

A subject's video bears the subject's name, or that name without `_left` / `_right` (two people in it); what
the names say is in `stages/core/recordings.py`.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stages.core.corpus import Split, Subject
from stages.core.errors import ValaroError
from stages.core.notes import Note
from stages.core.recordings import Side, recordings_of, siblings_left_out, split_side

VIDEO_SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".m4v", ".wmv", ".flv", ".ts"}
LABEL_FOLDERS: dict[Split, str] = {"train": "Train_Set", "validation": "Validation_Set"}


@dataclass(frozen=True)
class Found:
    """A subject, the file of its video, and its label file (None for the test split)."""

    subject: Subject
    video_file: Path
    label_file: Path | None


def discover(
    videos: Path, annotations: Path, test_list: Path | None, parts: bool = True
) -> tuple[list[Found], list[Note]]:
    """Match subjects to videos; what can't be matched becomes a note.

    Args:
        videos: folder of the videos, searched at any depth.
        annotations: folder that holds `Train_Set` and `Validation_Set`.
        test_list: file with the names of the test split; None if there is no test split.
        parts: whether `X-1`, `X-2` are parts of one recording X (the group of folds and intervals).

    Returns:
        Subjects in the order of their names; and notes: duplicate names, labels without a video,
        videos without labels, names that can't be file names.

    Raises:
        ValaroError: a folder is missing, or there is nothing in it to work on.
    """
    by_name, notes = _videos(videos)
    twice = {note.subject for note in notes}
    found: dict[str, tuple[Split, Path, Side | None, Path | None]] = {}
    for split, name, label in _names(annotations, test_list, notes):
        if why := _unfit(name):
            notes.append(_aside(name, label or test_list, f"{name!r} {why}", "Rename it"))
            continue
        if name in found:
            where = label or test_list
            notes.append(_aside(name, where, f"{name!r} is in {found[name][0]} too", "Keep it in one split"))
            continue
        video, side = _video_of(name, by_name)
        if video is None:
            problem, remedy = f"no video named {name!r} in {videos}", "Add the video, or remove the name"
            if {name, name.rpartition("_")[0]} & twice:
                problem, remedy = "its video's name isn't unique", "Keep one of the videos of that name"
            notes.append(_aside(name, label or test_list, problem, remedy))
            continue
        found[name] = split, video, side, label
    if not found:
        raise ValaroError(
            f"{annotations}: no subject with a video in {videos}. Check index.corpus and its folders."
        )
    used = {video for _, video, _, _ in found.values()}
    for name, video in by_name.items():
        if video not in used:
            remedy = "Nothing to do if that is meant; else add its labels or list it in the test split"
            notes.append(Note(name, str(video), "neither labelled nor in the test list: not used", remedy))
    recording = recordings_of(found, parts)
    return [
        Found(
            Subject(name, _normal(video.stem), side, split, recording[name], siblings_left_out(name, found)),
            video,
            label,
        )
        for name, (split, video, side, label) in sorted(found.items())
    ], notes


def _videos(folder: Path) -> tuple[dict[str, Path], list[Note]]:
    if not folder.is_dir():
        raise ValaroError(f"{folder}: no such folder of videos. Set index.corpus and index.videos.")
    by_name: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file() and not hidden:
            by_name[_normal(path.stem)].append(path)
    notes = [
        _aside(
            name,
            paths[1],
            f"{len(paths)} videos are named {name!r}, the first is {paths[0]}",
            "Keep one of them",
        )
        for name, paths in by_name.items()
        if len(paths) > 1
    ]
    return {name: paths[0] for name, paths in by_name.items() if len(paths) == 1}, notes


def _names(
    annotations: Path, test_list: Path | None, notes: list[Note]
) -> Iterable[tuple[Split, str, Path | None]]:
    if not annotations.is_dir():
        raise ValaroError(
            f"{annotations}: no such folder of annotations. Set index.corpus and index.annotations."
        )
    for split, folder in LABEL_FOLDERS.items():
        labels = sorted((annotations / folder).glob("*.txt"))
        if not labels:
            problem, remedy = "no label files (*.txt)", "Put the organisers' annotations there"
            notes.append(Note(folder, str(annotations / folder), problem, remedy))
        yield from ((split, _normal(label.stem), label) for label in labels if not label.name.startswith("."))
    if test_list is None:
        return
    if not test_list.is_file():
        raise ValaroError(
            f"{test_list}: no such list of test subjects. Set index.test_list, or make it null."
        )
    try:
        lines = test_list.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValaroError(f"{test_list}: byte {error.start} is not UTF-8. Save it as UTF-8 text.") from None
    for line in lines:
        name = _normal(line.strip())
        if name:
            yield "test", name, None


def _video_of(name: str, by_name: dict[str, Path]) -> tuple[Path | None, Side | None]:
    """The video of a subject (one of its own name goes before the recording's), and its person's side."""
    recording, side = split_side(name)
    return by_name.get(name) or by_name.get(recording), side


def _normal(name: str) -> str:
    """One spelling for names that differ only in how accents are encoded (archives from macOS)."""
    return unicodedata.normalize("NFC", name)


def _unfit(name: str) -> str | None:
    """Why a name can't become a file name and a cell of a table.

    A spreadsheet takes a cell for a formula that begins with =, + or @, or with - and reads on like one.
    """
    if name.startswith(".") or any(character in name for character in "/\\\0"):
        return "can't be a file name"
    if not name.isprintable():
        return "holds characters that can't be printed"
    if name[0] in "=+@" or (name[0] == "-" and any(character in name for character in "(|!=+*")):
        return "would be a formula in a spreadsheet"
    return None


def _aside(name: str, file: Path | None, problem: str, remedy: str) -> Note:
    return Note(name, str(file), problem, remedy, quarantined=True)
