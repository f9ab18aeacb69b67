"""What reading a corpus' layout gives, whichever layout it is."""

from dataclasses import dataclass, field
from pathlib import Path

from stages.core.corpus import Subject
from stages.core.notes import Note


@dataclass(frozen=True)
class Found:
    """A subject and the files that belong to it.

    Args:
        subject: who, in which video, of which split.
        video_file: the file of the video.
        label_file: None for the test split.
        rows_expected: rows that the organisers' sample submission has for this subject; None without.
    """

    subject: Subject
    video_file: Path
    label_file: Path | None
    rows_expected: int | None = None


@dataclass(frozen=True)
class Listing:
    """Everything usable in a corpus, and what is said about the rest.

    Args:
        found: subjects in the order of their names.
        notes: what doesn't fit together, with a reason.
        summary: lines for the console: counts, and what of the edition is missing.
        annotations: how many names were seen, usable or not.
        sample_rows: subject -> rows, in the order of the organisers' sample submission; empty without one.
    """

    found: list[Found]
    notes: list[Note]
    summary: list[str] = field(default_factory=list)
    annotations: int = 0
    sample_rows: dict[str, int] = field(default_factory=dict)
