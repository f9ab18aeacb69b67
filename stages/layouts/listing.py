"""The result of reading a corpus, in any layout."""

from dataclasses import dataclass, field
from pathlib import Path

from stages.core.corpus import Subject
from stages.core.notes import Note


@dataclass(frozen=True)
class Found:
    """A subject and its files.

    Args:
        subject: name, video and split.
        video_file: file of the video.
        label_file: file of the labels; None without labels.
        rows_expected: rows of this subject in the organisers' sample submission; None without one.
    """

    subject: Subject
    video_file: Path
    label_file: Path | None
    rows_expected: int | None = None


@dataclass(frozen=True)
class Listing:
    """Everything usable in a corpus, with notes on the rest.

    Args:
        found: subjects in the order of their names.
        notes: what can't be used or is ambiguous, with the reason.
        summary: lines for the console: counts, and what is missing.
        annotations: number of names, usable or not.
        sample_rows: subject -> rows, in the order of the organisers' sample submission; empty without one.
        texts: further files that were read, such as a table, a list of names, the sample submission.
    """

    found: list[Found]
    notes: list[Note]
    summary: list[str] = field(default_factory=list)
    annotations: int = 0
    sample_rows: dict[str, int] = field(default_factory=dict)
    texts: list[Path] = field(default_factory=list)
