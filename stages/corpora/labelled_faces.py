"""Shards of face crops with their labels: written by the stage gather, read by the stage pretrain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.arrays import Flags, Floats, Integers
from stages.core.artefacts import read_arrays, write_arrays
from stages.corpora.split import in_validation
from stages.corpora.table import NO_EMOTION, Part, Sample

PARTS: tuple[Part, ...] = ("", "train", "validation")


def write_shard(
    path: Path, samples: Sequence[Sample], jpeg: NDArray[np.uint8], jpeg_offset: Integers, **facts: Any
) -> None:
    """Write the crops of some samples (see `jpeg.pack_jpegs`) with their rows of the table."""
    write_arrays(
        path,
        {
            "jpeg": jpeg,
            "jpeg_offset": jpeg_offset,
            "source": _texts([sample.source for sample in samples]),
            "speaker": _texts([sample.speaker for sample in samples]),
            "time_s": _numbers([sample.time_s for sample in samples]),
            "valence_arousal": np.column_stack(
                [
                    _numbers([sample.valence for sample in samples]),
                    _numbers([sample.arousal for sample in samples]),
                ]
            ).astype(np.float32),
            "emotion": np.array([sample.emotion for sample in samples], np.int8),
            "part": np.array([PARTS.index(sample.part) for sample in samples], np.int8),
        },
        **facts,
    )


def _texts(texts: list[str]) -> NDArray[np.bytes_]:
    encoded = [text.encode(errors="surrogateescape") for text in texts]
    return np.array(encoded, f"S{max([1, *map(len, encoded)])}")


def _numbers(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], np.float64)


@dataclass(frozen=True)
class LabelledFaces:
    """All crops of all corpora, by where they lie; the images stay on disk.

    Args:
        files: the shards.
        file_index: (N,) which of them a crop is in.
        crop_index: (N,) which crop of it.
        target: (N, 3) valence, arousal (NaN: unlabelled), emotion (-1: unlabelled).
        validation: (N,) bool; the others are to learn from.
        corpus: (N,) names.
        speakers: how many there are in each corpus.
    """

    files: list[Path]
    file_index: Integers
    crop_index: Integers
    target: Floats
    validation: Flags
    corpus: NDArray[np.str_]
    speakers: dict[str, int]

    def counts(self) -> dict[str, dict[str, int]]:
        """Per corpus: speakers, images to learn from, images for validation."""
        return {
            name: {
                "speakers": self.speakers[name],
                "train_images": int(((self.corpus == name) & ~self.validation).sum()),
                "validation_images": int(((self.corpus == name) & self.validation).sum()),
            }
            for name in sorted(self.speakers)
        }


def gathered(shards: Mapping[str, Sequence[Path]], share: float, seed: int) -> LabelledFaces:
    """Read the labels of all shards and split each corpus by speakers.

    Args:
        shards: the files of each corpus.
        share: of the speakers, for validation, where a corpus has no division of its own.
        seed: of the draw.
    """
    files: list[Path] = []
    parts: dict[str, list[Any]] = {name: [] for name in ("file", "crop", "target", "validation", "corpus")}
    speakers: dict[str, int] = {}
    for corpus, paths in sorted(shards.items()):
        tables = [read_arrays(path, "speaker", "part", "valence_arousal", "emotion") for path in paths]
        names = [name.decode(errors="surrogateescape") for table in tables for name in table["speaker"]]
        official = [PARTS[part] for table in tables for part in table["part"]]
        if not names:
            continue
        parts["validation"].append(np.array(in_validation(names, official, share, seed)))
        parts["corpus"].append(np.full(len(names), corpus))
        speakers[corpus] = len(set(names))
        for path, table in zip(paths, tables, strict=True):
            count = len(table["emotion"])
            parts["file"].append(np.full(count, len(files)))
            parts["crop"].append(np.arange(count))
            parts["target"].append(np.column_stack([table["valence_arousal"], table["emotion"]]))
            files.append(path)
    empty = {"file": np.empty(0, int), "crop": np.empty(0, int), "target": np.empty((0, 3))}
    empty |= {"validation": np.empty(0, bool), "corpus": np.empty(0, "U1")}
    joined = {name: np.concatenate(found) if found else empty[name] for name, found in parts.items()}
    return LabelledFaces(
        files,
        joined["file"],
        joined["crop"],
        joined["target"],
        joined["validation"],
        joined["corpus"],
        speakers,
    )


def emotion_counts(target: Floats, classes: int) -> Integers:
    """How many rows have each emotion.

    Shape: (N, 3) -> (classes,).
    """
    emotions = target[:, 2].astype(int)
    return np.bincount(emotions[emotions != NO_EMOTION], minlength=classes)
