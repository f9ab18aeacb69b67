"""Annotation files as the organisers of Aff-Wild2 ship them."""

from collections.abc import Iterable
from pathlib import Path

from stages.core.arrays import Flags, Floats

SPLIT_FOLDERS = {"train": "Train_Set", "validation": "Validation_Set", "test": "Test_Set"}
UNLABELLED = "-5,-5"


def write_labels(file: Path, valence_arousal: Floats, labelled: Flags) -> None:
    """One row per label: `valence,arousal`, -5 where there is none. Shape: (N, 2), (N,)."""
    rows = [
        f"{valence:.3f},{arousal:.3f}" if known else UNLABELLED
        for (valence, arousal), known in zip(valence_arousal, labelled, strict=True)
    ]
    _write_lines(file, ["valence,arousal", *rows])


def write_test_lists(folder: Path, frames_of: dict[str, int]) -> None:
    """The names of the test subjects, and the form to fill in.

    The form lists the subjects in another order than the list of names, as the organisers' own
    does: whoever fills it in has to follow the form.
    """
    _write_lines(folder / "VA_test_set_release.txt", frames_of)
    rows = [
        f"{subject}/{frame:05d}.jpg,{UNLABELLED}"
        for subject in sorted(frames_of, reverse=True)
        for frame in range(1, frames_of[subject] + 1)
    ]
    _write_lines(folder / "VA_test_set_sample.txt", ["image_location,valence,arousal", *rows])


def write_table(file: Path, columns: dict[str, Floats | Flags]) -> None:
    """A CSV with four decimals. Shape: every column (N,)."""
    rows = (",".join(f"{float(value):.4f}" for value in row) for row in zip(*columns.values(), strict=True))
    _write_lines(file, [",".join(columns), *rows])


def _write_lines(file: Path, lines: Iterable[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
