"""Aff-Wild2 in the organisers' layout: which files exist, and which of them belong to each subject.

    <corpus>/**/<video>.mp4 .avi ...                        any depth, any folder
    <corpus>/**/{Train_Set,Validation_Set}/<subject>.txt    valence,arousal; one line per native frame
    <corpus>/**/..._test_set_release.txt                    test subjects, one name per line
    <corpus>/**/..._VA_test_set_sample.txt                  the rows of a submission

Names differ between editions (`stages/layouts/editions.py`); no file needs to be renamed. A subject's video
has the name of the subject, or that name without `_left` / `_right` (two people in the video). See
`stages/core/recordings.py` for the meaning of names.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stages.core.corpus import SPLITS, Split, Subject
from stages.core.errors import ValaroError
from stages.core.notes import Note
from stages.core.params import IndexParams
from stages.core.recordings import recordings_of, siblings_left_out, split_side
from stages.core.watched import watched_folders
from stages.layouts.copies import same_content
from stages.layouts.listing import Found, Listing
from stages.layouts.names import normal_name, unfit_name
from stages.layouts.search import Files, files_below
from stages.layouts.summary import describe
from stages.layouts.texts import Texts, find_texts, rows_expected, test_names

MANY = 5
"""Maximum number of names that a note lists."""


@dataclass(frozen=True)
class _Annotation:
    """The name of a subject that is annotated, or that is to be predicted.

    Args:
        name: name of the subject.
        split: its part of the corpus.
        file: its label file, or the list with its name.
    """

    name: str
    split: Split
    file: Path

    @property
    def labels(self) -> Path | None:
        return None if self.split == "test" else self.file


def list_corpus(settings: IndexParams, sample_file: str | None) -> Listing:
    """Find the files of a corpus and match subjects to videos; what can't be matched becomes a note.

    Args:
        settings: the section `index`; `test_list` is `auto`, a path below the corpus, or None.
        sample_file: the organisers' sample submission (`submission.sample_file`), likewise.

    Raises:
        ValaroError: a folder or a file that a parameter names is missing, or no subject has a video.
        BadInput: the sample file isn't valid.
    """
    corpus, folders = Path(settings.corpus), watched_folders(settings)
    files = {folder: files_below(folder) for folder in dict.fromkeys(folders.values())}
    videos, annotations, lists = (files[folder] for folder in folders.values())
    texts = find_texts(settings, sample_file, annotations.texts, lists.texts)
    rows = {normal_name(name): count for name, count in _rows(texts).items()}
    names = [*_names(texts, rows)]
    matching = _Matching(corpus / settings.videos, videos)
    found = matching.match(names, settings.group_parts, rows)
    if not found:
        raise ValaroError(
            f"{texts.root}: none of its {len(names)} names has a video in {folders['videos']}, which has "
            f"{len(videos.videos)} videos. Check index.corpus and its folders."
        )
    counts = [sum(each.split == split for each in names) for split in SPLITS]
    films = len({each.video_file for each in found})
    notes = [*texts.notes, *_empty_splits(texts), *matching.notes, *_sample_notes(texts, rows, names)]
    summary = describe(corpus, texts, counts, films)
    read = [file for file in (texts.test_list, texts.sample_file) if file]
    return Listing(found, notes, summary, len(names), rows, read)


def _rows(texts: Texts) -> dict[str, int]:
    return rows_expected(texts.sample_file) if texts.sample_file else {}


def _names(texts: Texts, rows: Iterable[str]) -> Iterator[_Annotation]:
    """All names, in the order train, validation, test; the sample file replaces a missing test list."""
    for split in SPLITS[:2]:
        for path in texts.labels.get(split, []):
            yield _Annotation(normal_name(path.stem), split, path)
    if texts.test_list:
        yield from (
            _Annotation(normal_name(name), "test", texts.test_list) for name in test_names(texts.test_list)
        )
    elif texts.sample_file:
        yield from (_Annotation(name, "test", texts.sample_file) for name in rows)


class _Matching:
    """Match subjects and videos by their names.

    Args:
        folder: folder of the videos, for messages.
        files: the files below it.
    """

    def __init__(self, folder: Path, files: Files) -> None:
        self.notes: list[Note] = []
        self._folder = folder
        self._others = {normal_name(path.stem): path for path in (*files.others, *files.texts)}
        named: dict[str, list[Path]] = defaultdict(list)
        for path in files.videos:
            named[normal_name(path.stem)].append(path)
        self._videos: dict[str, Path] = {}
        self._ambiguous: set[str] = set()
        copied = []
        for name, paths in named.items():
            if len(paths) == 1 or same_content(paths):
                self._videos[name] = paths[0]
                copied += [name] if len(paths) > 1 else []
            else:
                self._ambiguous.add(name)
                problem = f"{len(paths)} videos are named {name!r}, the first is {paths[0]}"
                self.notes.append(_aside(name, paths[1], problem, "Keep one of them"))
        if copied:
            problem = f"{_counted(copied, 'video')} in several folders, as identical copies: one is used"
            self.notes.append(Note("copies", str(folder), problem, "Nothing to do"))

    def match(self, names: Iterable[_Annotation], parts: bool, rows: dict[str, int]) -> list[Found]:
        """Subjects with a video, in the order of their names; other subjects and videos become notes."""
        matched: dict[str, tuple[_Annotation, Path]] = {}
        for each in names:
            if trouble := self._trouble(each, matched):
                self.notes.append(trouble)
            elif video := self._video_of(each.name):
                matched[each.name] = each, video
        used = {video for _, video in matched.values()}
        remedy = "Nothing to do if that is intended; else add its labels or list it in the test split"
        self.notes += [
            Note(name, str(video), "neither labelled nor in the test list: not used", remedy)
            for name, video in self._videos.items()
            if video not in used
        ]
        recording = recordings_of(matched, parts)
        return [
            Found(
                Subject(
                    name,
                    normal_name(video.stem),
                    split_side(name)[1],
                    each.split,
                    recording[name],
                    siblings_left_out(name, matched),
                ),
                video,
                each.labels,
                rows.get(name) if each.split == "test" else None,
            )
            for name, (each, video) in sorted(matched.items())
        ]

    def _video_of(self, name: str) -> Path | None:
        """The video with the subject's own name, else the one with the name of its recording."""
        return self._videos.get(name) or self._videos.get(split_side(name)[0])

    def _trouble(self, each: _Annotation, matched: dict[str, tuple[_Annotation, Path]]) -> Note | None:
        """Why an annotation can't be used; None if it can."""
        if why := unfit_name(each.name):
            return _aside(each.name, each.file, f"{each.name!r} {why}", "Rename it")
        if each.name in matched:
            first = matched[each.name][0]
            where = f"in {first.split} too" if first.split != each.split else f"in {each.split} twice"
            return _aside(each.name, each.file, f"{each.name!r} is {where}", "Keep one of them")
        if self._video_of(each.name):
            return None
        if {each.name, split_side(each.name)[0]} & self._ambiguous:
            problem, remedy = "its video's name isn't unique", "Keep one of the videos of that name"
            return _aside(each.name, each.file, problem, remedy)
        problem = f"no video named {each.name!r} in {self._folder}"
        other = self._others.get(each.name) or self._others.get(split_side(each.name)[0])
        if other and other != each.file:
            problem += f"; {other.name} doesn't have the suffix of a video"
        return _aside(each.name, each.file, problem, "Add the video, or remove the name")


def _empty_splits(texts: Texts) -> Iterator[Note]:
    for split, folder in (("train", "Train_Set"), ("validation", "Validation_Set")):
        if split not in texts.labels:
            problem, remedy = "no label files (*.txt)", "Put the organisers' annotations there"
            yield Note(folder, str(texts.root / folder), problem, remedy)


def _sample_notes(texts: Texts, rows: dict[str, int], names: Iterable[_Annotation]) -> Iterator[Note]:
    """Notes on subjects that only one of test list and sample submission names."""
    if not (texts.test_list and texts.sample_file):
        return
    listed = {each.name for each in names if each.split == "test"}
    for missing, there, other in (
        (sorted(listed - rows.keys()), texts.test_list, texts.sample_file),
        (sorted(rows.keys() - listed), texts.sample_file, texts.test_list),
    ):
        if missing:
            problem = f"{_counted(missing, 'subject')} in {there.name} only"
            yield Note("test", str(other), problem, "Take both from the same edition")


def _counted(names: list[str], what: str) -> str:
    """Number and names: `1 video (a) is`, `7 videos (a, b, c, d, e ...) are`."""
    shown = ", ".join(names[:MANY]) + (" ..." if len(names) > MANY else "")
    return f"{len(names)} {what}{'s' if len(names) > 1 else ''} ({shown}) {'are' if len(names) > 1 else 'is'}"


def _aside(name: str, file: Path, problem: str, remedy: str) -> Note:
    return Note(name, str(file), problem, remedy, quarantined=True)
