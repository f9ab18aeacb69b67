"""The corpus as the index knows it: videos, the subjects in them, and where each artefact lies."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from stages.core.artefacts import read_json, write_json
from stages.core.errors import ValaroError

Split = Literal["train", "validation", "test"]
FITTED_SPLITS: tuple[Split, ...] = ("train", "validation")
SAMPLE_CORPUS = ("data", "sample")


@dataclass(frozen=True)
class Subject:
    """One annotated person.

    Args:
        name: the annotation's name.
        video: name (stem) of the video this person is in; also the group for cross-validation.
        side: `left` or `right` where the video shows two people.
        split: the official part of the corpus.
    """

    name: str
    video: str
    side: str | None
    split: Split


def is_sample(corpus: str) -> bool:
    """Whether this is the folder of the corpus of generated faces and voices."""
    parts = Path(corpus).parts
    return any(parts[i : i + 2] == SAMPLE_CORPUS for i in range(len(parts)))


@dataclass(frozen=True)
class Corpus:
    """Subjects in the order of their names, and the file of each video."""

    subjects: list[Subject]
    videos: dict[str, str]

    def of(self, *splits: Split) -> list[Subject]:
        """The subjects of some splits."""
        return [subject for subject in self.subjects if subject.split in splits]

    def in_video(self, video: str) -> list[Subject]:
        """The subjects of one video."""
        return [subject for subject in self.subjects if subject.video == video]


@dataclass(frozen=True)
class Workspace:
    """Where everything lies, below one folder (the repository, or a private one of `valaro predict`)."""

    root: Path = Path()

    def folder(self, *parts: str) -> Path:
        """A folder of artefacts below `data/`."""
        return self.root.joinpath("data", *parts)

    def artefact(self, stage: str, name: str, suffix: str = ".h5") -> Path:
        """One artefact, e.g. `data/faces/<subject>.h5`; names may hold dots."""
        return self.folder(stage) / f"{name}{suffix}"

    def model(self, file: str) -> Path:
        """A trained model below `models/`."""
        return self.root / "models" / file

    def metrics(self, file: str) -> Path:
        """A file below `metrics/`."""
        return self.root / "metrics" / file

    @property
    def corpus_file(self) -> Path:
        """What the index stage knows."""
        return self.folder("index") / "corpus.json"

    def corpus(self) -> Corpus:
        """Read the index.

        Raises:
            ValaroError: the index stage has not run.
        """
        if not self.corpus_file.is_file():
            raise ValaroError(f"{self.corpus_file} is missing. Run `dvc repro index` first.")
        content: dict[str, Any] = read_json(self.corpus_file)
        return Corpus([Subject(**subject) for subject in content["subjects"]], content["videos"])

    def write_corpus(self, corpus: Corpus, **facts: Any) -> None:
        """Write the index, with further facts for the reader."""
        content = {
            "subjects": [asdict(subject) for subject in corpus.subjects],
            "videos": corpus.videos,
            **facts,
        }
        write_json(self.corpus_file, content)

    def having(self, subjects: list[Subject], *stages: str) -> list[Subject]:
        """Those subjects for whom every stage named has an artefact (others were set aside there)."""
        return [s for s in subjects if all(self.artefact(stage, s.name).is_file() for stage in stages)]

    def fitted(self, corpus: Corpus, what: str, *stages: str) -> dict[Split, list[Subject]]:
        """Those that a model learns from and is chosen by: of each fitted split, `having` every stage.

        Args:
            corpus: whose subjects.
            what: they must have, in words.
            stages: whose artefacts that are.

        Raises:
            ValaroError: a split has no such subject.
        """
        found = {split: self.having(corpus.of(split), *stages) for split in FITTED_SPLITS}
        for split, subjects in found.items():
            if not subjects:
                raise ValaroError(f"no subject of the {split} split has {what}; see data/*/notes.json")
        return found
