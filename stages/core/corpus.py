"""The indexed corpus: videos, the subjects in them, and the paths of all artefacts."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stages.core.arrays import Flags, Floats
from stages.core.artefacts import read_arrays, read_json, write_json
from stages.core.errors import ValaroError
from stages.core.recordings import Side, split_side

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
FITTED_SPLITS: tuple[Split, ...] = ("train", "validation")
LEAST_RECORDINGS: dict[Split, int] = {"train": 2, "validation": 3}
"""Least number of labelled recordings: for cross-validation on train, for out-of-fold scores of fusions."""
SAMPLE_CORPUS = ("data", "sample")


@dataclass(frozen=True)
class Subject:
    """One annotated person.

    Args:
        name: name of the annotation.
        video: name (stem) of the video file with this person, a key of `Corpus.videos`. Usually that of the
            recording; a file with the name of the side (`X_left.mp4`, see `has_own_video`) takes precedence.
        side: `left` or `right`, if the name says on which side of the picture the person is.
        split: official part of the corpus.
        recording: the recording, which includes both people of a picture, and all parts in separate files. It
            is the group for folds, bootstrap and margins, never the name of a file. Default: `video`.
        leaves_out: for a subject without a side, its siblings with a side (`("video2_left",)` for `video2`):
            the person isn't one of them and must not get their face. Usually empty. `Corpus.sides_left_out`
            has their sides.
    """

    name: str
    video: str
    side: Side | None
    split: Split
    recording: str = ""
    leaves_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Set the default recording; convert the siblings, which are a list in JSON."""
        object.__setattr__(self, "recording", self.recording or self.video)
        object.__setattr__(self, "leaves_out", tuple(self.leaves_out))

    @property
    def has_own_video(self) -> bool:
        """Whether the video has the name of this side; it may then show this person only, anywhere in it."""
        return self.side is not None and self.video == self.name


def spans_of(flags: Flags, time_s: Floats) -> Floats:
    """First and last time of each run of set flags. Shape: (N,), (N,) -> (R, 2)."""
    edges = np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))
    first, last = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    return np.stack([time_s[first], time_s[last]], axis=1)


def is_sample(corpus: str) -> bool:
    """Whether this is the folder of the generated sample corpus."""
    parts = Path(corpus).parts
    return any(parts[i : i + 2] == SAMPLE_CORPUS for i in range(len(parts)))


WITHOUT_CORPUS = "Put the corpus, or a link to it, there (README), or run `valaro profile sample`."


@dataclass(frozen=True)
class Corpus:
    """Subjects in the order of their names, and the file of each video."""

    subjects: list[Subject]
    videos: dict[str, str]

    def of(self, *splits: Split) -> list[Subject]:
        """The subjects of these splits."""
        return [subject for subject in self.subjects if subject.split in splits]

    def in_video(self, video: str) -> list[Subject]:
        """The subjects of one video."""
        return [subject for subject in self.subjects if subject.video == video]

    def sides_left_out(self, subject: Subject) -> dict[str, Side]:
        """Sibling that this subject leaves out -> its side; also siblings that aren't indexed."""
        known = {each.name: each.side for each in self.subjects}
        sides = {name: known.get(name) or split_side(name)[1] for name in subject.leaves_out}
        return {name: side for name, side in sides.items() if side}


@dataclass(frozen=True)
class Workspace:
    """The paths of all artefacts in one folder: the repository, or a temporary folder of `valaro predict`."""

    root: Path = Path()

    def folder(self, *parts: str) -> Path:
        """A folder of artefacts in `data/`."""
        return self.root.joinpath("data", *parts)

    def artefact(self, stage: str, name: str, suffix: str = ".h5") -> Path:
        """Path of one artefact, e.g. `data/faces/<subject>.h5`; names may have dots."""
        return self.folder(stage) / f"{name}{suffix}"

    def model(self, file: str) -> Path:
        """Path of a trained model in `models/`."""
        return self.root / "models" / file

    def metrics(self, file: str) -> Path:
        """Path of a file in `metrics/`."""
        return self.root / "metrics" / file

    @property
    def corpus_file(self) -> Path:
        """The file of subjects and videos that the stage index writes."""
        return self.folder("index") / "corpus.json"

    def corpus(self) -> Corpus:
        """Read the index.

        Raises:
            ValaroError: the stage index hasn't run.
        """
        if not self.corpus_file.is_file():
            raise ValaroError(f"{self.corpus_file} is missing. Run `dvc repro index` first.")
        content: dict[str, Any] = read_json(self.corpus_file)
        return Corpus([Subject(**subject) for subject in content["subjects"]], content["videos"])

    def sample_rows(self) -> dict[str, int]:
        """Subject -> rows in the organisers' sample submission, in their order; empty without one."""
        return dict(read_json(self.corpus_file).get("sample_rows", []))

    def write_corpus(self, corpus: Corpus, **facts: Any) -> None:
        """Write the index, with further facts."""
        content = {
            "subjects": [asdict(subject) for subject in corpus.subjects],
            "videos": corpus.videos,
            **facts,
        }
        write_json(self.corpus_file, content)

    def labelled_spans_s(self, name: str) -> Floats:
        """Time spans in which a subject is labelled, by the index: the person is then in the picture.

        Shape: -> (R, 2), first and last time of each run of labelled native frames, in seconds from the first
            frame,
        increasing; (0, 2) for subjects without labels or index.
        """
        path = self.artefact("index", name)
        if not path.is_file():
            return np.empty((0, 2))
        index = read_arrays(path, "labelled", "time_s")
        return spans_of(index["labelled"], index["time_s"])

    def having(self, subjects: list[Subject], *stages: str) -> list[Subject]:
        """The subjects with an artefact of each of these stages; the others were set aside there."""
        return [s for s in subjects if all(self.artefact(stage, s.name).is_file() for stage in stages)]

    def fitted(self, corpus: Corpus, what: str, *stages: str) -> dict[Split, list[Subject]]:
        """The subjects for training and for model selection, by split.

        Args:
            corpus: the corpus.
            what: name of the artefacts, for the message.
            stages: stages of which a subject needs an artefact, see `having`.

        Raises:
            ValaroError: a split has no such subject.
        """
        found = {split: self.having(corpus.of(split), *stages) for split in FITTED_SPLITS}
        for split, subjects in found.items():
            if not subjects:
                raise ValaroError(f"no subject of the {split} split has {what}; see data/*/notes.json")
        return found
