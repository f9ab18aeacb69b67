"""The organisers' text files: annotations, the list of test subjects, the sample submission.

A parameter names each file; `auto` finds it by its name and its first line, in any folder. If a corpus has
several editions, the newest is used.
"""

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stages.core.corpus import Split
from stages.core.errors import BadInput, ValaroError
from stages.core.labels import HEADER, SUBMISSION_HEADER
from stages.core.notes import Note, quoted
from stages.core.params import IndexParams
from stages.layouts.editions import edition_of

AUTO = "auto"
LABEL_FOLDERS: dict[str, Split] = {
    "train_set": "train",
    "training_set": "train",
    "validation_set": "validation",
}
"""Name of a folder of label files, in lower case -> its split."""
HEAD_BYTES = 4096

_OF_VALENCE_AROUSAL = re.compile(r"(?<![a-z])va(?![a-z])|valence", re.IGNORECASE)
_OF_TEST = re.compile(r"test|sample|example", re.IGNORECASE)


@dataclass(frozen=True)
class Texts:
    """The chosen text files.

    Args:
        labels: split -> its label files, in the order of their names; a split may be missing.
        root: the folder of the splits.
        test_list: file with the names of the test split; None without one.
        sample_file: the sample submission; None without one.
        notes: what was ambiguous.
    """

    labels: dict[Split, list[Path]]
    root: Path
    test_list: Path | None
    sample_file: Path | None
    notes: list[Note] = field(default_factory=list)


def find_texts(
    settings: IndexParams, sample_file: str | None, annotations: Sequence[Path], lists: Sequence[Path]
) -> Texts:
    """Choose the text files of a corpus.

    Args:
        settings: the folder of the corpus, and the parameters that name these files.
        sample_file: `submission.sample_file`.
        annotations: the `.txt` files below `index.annotations`.
        lists: the `.txt` files below `index.lists`.

    Raises:
        ValaroError: there are no annotations, or a file that a parameter names is missing.
    """
    corpus, notes = Path(settings.corpus), list[Note]()
    root, labels = _annotations(corpus / settings.annotations, annotations, notes)
    rest = [path for path in lists if path.parent.name.lower() not in LABEL_FOLDERS]
    named = [path for path in rest if _OF_TEST.search(path.name) and _OF_VALENCE_AROUSAL.search(path.name)]
    forms = [path for path in rest if _OF_TEST.search(path.name) and tuple(_cells(path)) == SUBMISSION_HEADER]
    listing = [path for path in named if len(_cells(path)) == 1]
    return Texts(
        labels,
        root,
        _one(corpus, settings.test_list, listing, "index.test_list", "list of test subjects", notes),
        _one(corpus, sample_file, forms, "submission.sample_file", "sample submission", notes),
        notes,
    )


def _annotations(
    folder: Path, texts: Iterable[Path], notes: list[Note]
) -> tuple[Path, dict[Split, list[Path]]]:
    roots: dict[Path, dict[Split, list[Path]]] = {}
    for path in texts:
        if split := LABEL_FOLDERS.get(path.parent.name.lower()):
            roots.setdefault(path.parent.parent, {}).setdefault(split, []).append(path)
    of_valence_arousal = {root: splits for root, splits in roots.items() if _is_labelled_so(splits)}
    candidates = of_valence_arousal or (roots if len(roots) == 1 else {})
    if not candidates:
        others = f" (those in {', '.join(map(str, sorted(roots)))} belong to other tasks)" if roots else ""
        raise ValaroError(
            f"{folder}: no label files ({HEADER} per frame) in a folder Train_Set or Validation_Set"
            f"{others}. Put the organisers' annotations there, or set index.corpus and index.annotations."
        )
    root = max(candidates, key=lambda each: (edition_of(each) or 0, _size(candidates[each]), str(each)))
    if unused := sorted(str(each) for each in candidates if each != root):
        problem = f"annotations are in {', '.join(unused)} too"
        notes.append(Note("annotations", str(root), problem, "Set index.annotations to take others"))
    return root, candidates[root]


def _is_labelled_so(splits: dict[Split, list[Path]]) -> bool:
    """Whether label files are of valence and arousal, by the headers of the first three per split."""
    firsts = [path for paths in splits.values() for path in paths[:3]]
    return any(_cells(path) == HEADER.split(",") for path in firsts)


def _size(splits: dict[Split, list[Path]]) -> int:
    return sum(map(len, splits.values()))


def _one(
    corpus: Path, named: str | None, found: list[Path], parameter: str, what: str, notes: list[Note]
) -> Path | None:
    """The file that a parameter names, or the best match."""
    if named is None:
        return None
    if named != AUTO:
        if not (path := corpus / named).is_file():
            raise ValaroError(f"{path}: no such {what}. Set {parameter}, or make it null.")
        return path
    if not found:
        return None
    best = max(found, key=lambda path: (edition_of(path) or 0, -len(path.parts), str(path)))
    if others := [str(path) for path in found if path != best and path.read_bytes() != best.read_bytes()]:
        problem = f"used as the {what}; others: {', '.join(others)}"
        notes.append(Note(what, str(best), problem, f"Set {parameter} to take another"))
    return best


def _cells(path: Path) -> list[str]:
    """Cells of the first line in lower case without blanks; [""] if there is none or it can't be read."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES).decode("utf-8-sig", errors="replace")
    except OSError:
        return [""]
    line = next(iter(head.splitlines()), "")
    return [cell.strip().lower() for cell in line.split(",")]


def test_names(path: Path) -> list[str]:
    """The names in a list of test subjects, one per line.

    Raises:
        ValaroError: it isn't UTF-8 text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValaroError(f"{path}: byte {error.start} is not UTF-8. Save it as UTF-8 text.") from None
    return [name for line in lines if (name := line.strip())]


def rows_expected(sample_file: Path) -> dict[str, int]:
    """Subject -> number of its rows, in the order of the organisers' sample file.

    Blanks after commas and blank lines at the end are accepted.

    Raises:
        BadInput: the file is missing, or a line isn't `<subject>/<frame>.jpg,...` in the order of the frames.
    """
    if not sample_file.is_file():
        raise BadInput(sample_file, "no such file", "Set submission.sample_file, or make it null")
    rows: dict[str, int] = {}
    blank = 0
    try:
        with sample_file.open(newline="", encoding="utf-8-sig") as file:
            for number, line in enumerate(csv.reader(file, skipinitialspace=True), start=1):
                cells = [cell.strip() for cell in line]
                if not any(cells):
                    blank = blank or number
                    continue
                if blank:
                    raise BadInput(
                        sample_file,
                        f"line {blank} is blank",
                        "Remove it; blank lines are allowed at the end only",
                    )
                if number == 1 and tuple(cells) == SUBMISSION_HEADER:
                    continue
                _count(rows, sample_file, number, cells[0])
    except (UnicodeDecodeError, csv.Error) as error:
        problem = f"not a CSV in UTF-8 ({error})"
        raise BadInput(sample_file, problem, "Use the organisers' file unchanged") from None
    return rows


def _count(rows: dict[str, int], sample_file: Path, number: int, location: str) -> None:
    name, _, frame = location.rpartition("/")
    if frame != f"{rows.get(name, 0) + 1:05d}.jpg" or not name:
        problem = f"line {number}: {quoted(location)} isn't frame {rows.get(name, 0) + 1} of its subject"
        raise BadInput(sample_file, problem, "Use the organisers' file unchanged")
    rows[name] = rows.get(name, 0) + 1
