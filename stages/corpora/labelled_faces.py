"""Shards of face crops with their labels: written by the stage gather, read by the stage pretrain.

A shard has a digest of every crop. Equal digests show that a picture is in several parts of a corpus (738 of
FER+ are): it stays in the later part (train, validation, test) and is left out of the earlier one.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.arrays import Flags, Floats, Integers
from stages.core.artefacts import read_arrays, write_arrays
from stages.corpora.split import in_validation
from stages.corpora.table import EMOTIONS, NO_EMOTION, Part, Sample
from stages.corpora.votes import derived_valence_arousal, vote_shares

PARTS: tuple[Part, ...] = ("", "train", "validation", "test")
NO_VOTES = (0,) * len(EMOTIONS)
LABELS = ("speaker", "part", "valence_arousal", "emotion", "votes", "digest")


def write_shard(
    path: Path, samples: Sequence[Sample], jpeg: NDArray[np.uint8], jpeg_offset: Integers, **facts: Any
) -> None:
    """Write the crops of some samples with their rows of the table.

    Args:
        path: the shard.
        samples: the N samples that have a crop.
        jpeg: the crops' JPEG bytes, see `jpeg.pack_jpegs`.
        jpeg_offset: (N + 1,) where each begins.
        facts: further attributes of the file.
    """
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
            "votes": np.array([sample.votes or NO_VOTES for sample in samples], np.int16).reshape(
                -1, len(EMOTIONS)
            ),
            "digest": _digests(jpeg, jpeg_offset),
        },
        **facts,
    )


def _digests(jpeg: NDArray[np.uint8], jpeg_offset: Integers) -> Integers:
    """(N,) uint64: a hash of each crop's bytes; equal pixels give equal bytes."""
    places = zip(jpeg_offset[:-1].tolist(), jpeg_offset[1:].tolist(), strict=True)
    hashed = [hashlib.sha256(jpeg[start:end].tobytes()).digest()[:8] for start, end in places]
    return np.array([int.from_bytes(each, "big") for each in hashed], np.uint64)


def _texts(texts: list[str]) -> NDArray[np.bytes_]:
    encoded = [text.encode(errors="surrogateescape") for text in texts]
    return np.array(encoded, f"S{max([1, *map(len, encoded)])}")


def _numbers(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], np.float64)


@dataclass(frozen=True)
class LabelledFaces:
    """The labels of all crops of all corpora, and where each crop is; the images stay on disk.

    Args:
        files: the shards.
        file_index: (N,) index of each crop's shard in `files`.
        crop_index: (N,) index of each crop in its shard.
        target: (N, 3) valence, arousal (NaN: unlabelled), emotion (-1: unlabelled).
        shares: (N, 8) shares of the votes for each emotion; NaN where votes aren't published.
        part: (N,) index into PARTS; 0, no part, doesn't occur.
        copy: (N,) bool, the same picture is also in a later part (train, validation, test).
        repeated: (N,) bool, the same picture is in two or more parts.
        corpus: (N,) name of each crop's corpus.
        speakers: corpus -> number of speakers.
    """

    files: list[Path]
    file_index: Integers
    crop_index: Integers
    target: Floats
    shares: Floats
    part: Integers
    copy: Flags
    repeated: Flags
    corpus: NDArray[np.str_]
    speakers: dict[str, int]

    def of(self, part: Part) -> Flags:
        """(N,) bool: the images of one part, without copies of images of later parts."""
        chosen: Flags = (self.part == PARTS.index(part)) & ~self.copy
        return chosen

    def counts(self) -> dict[str, dict[str, int]]:
        """Corpus -> number of speakers and of images per part; `test_images` only with a test part."""
        return {name: self._counts_of(name) for name in sorted(self.speakers)}

    def _counts_of(self, name: str) -> dict[str, int]:
        here = self.corpus == name
        counts = {f"{part}_images": int((here & self.of(part)).sum()) for part in PARTS[1:]}
        counts |= {"copies_left_out": int((here & self.copy).sum())}
        optional = ("test_images", "copies_left_out")
        shown = {key: count for key, count in counts.items() if count or key not in optional}
        return {"speakers": self.speakers[name], **shown}


def gathered(
    shards: Mapping[str, Sequence[Path]], share: float, seed: int, derive_valence_arousal: bool = False
) -> LabelledFaces:
    """Read the labels of all shards and split each corpus by speakers.

    Args:
        shards: corpus -> its files.
        share: share of the speakers for validation, if a corpus has no division of its own.
        seed: seed of the draw.
        derive_valence_arousal: derive valence and arousal of images with votes but no ratings; see `votes`.
    """
    files: list[Path] = []
    parts: dict[str, list[Any]] = {name: [] for name in _EMPTY}
    speakers: dict[str, int] = {}
    for corpus, paths in sorted(shards.items()):
        tables = [read_arrays(path, *LABELS) for path in paths]
        names = [name.decode(errors="surrogateescape") for table in tables for name in table["speaker"]]
        official = [PARTS[part] for table in tables for part in table["part"]]
        if not names:
            continue
        validation = in_validation(names, official, share, seed)
        parts["part"].append(_parts(official, validation))
        parts["corpus"].append(np.full(len(names), corpus))
        speakers[corpus] = len(set(names))
        for path, table in zip(paths, tables, strict=True):
            count = len(table["emotion"])
            parts["file"].append(np.full(count, len(files)))
            parts["crop"].append(np.arange(count))
            parts["target"].append(_target(table, derive_valence_arousal))
            parts["shares"].append(vote_shares(table["votes"]))
            parts["digest"].append(table["digest"])
            files.append(path)
    joined = {name: np.concatenate(parts[name]) if parts[name] else empty for name, empty in _EMPTY.items()}
    copy, repeated = _copies(joined["digest"], joined["part"])
    return LabelledFaces(
        files,
        joined["file"],
        joined["crop"],
        joined["target"],
        joined["shares"],
        joined["part"],
        copy,
        repeated,
        joined["corpus"],
        speakers,
    )


_EMPTY = {
    "file": np.empty(0, int),
    "crop": np.empty(0, int),
    "target": np.empty((0, 3)),
    "shares": np.empty((0, len(EMOTIONS))),
    "part": np.empty(0, int),
    "digest": np.empty(0, np.uint64),
    "corpus": np.empty(0, "U1"),
}


def _parts(official: Sequence[Part], validation: Sequence[bool]) -> Integers:
    """Index into PARTS of every image, given the drawn validation."""
    assigned: list[Part] = [
        "test" if part == "test" else "validation" if chosen else "train"
        for part, chosen in zip(official, validation, strict=True)
    ]
    return np.array([PARTS.index(part) for part in assigned])


def _target(table: Mapping[str, Any], derive_valence_arousal: bool) -> Floats:
    rated = table["valence_arousal"]
    if derive_valence_arousal:
        rated = np.where(np.isnan(rated), derived_valence_arousal(table["votes"]), rated)
    return np.column_stack([rated, table["emotion"]])


def _copies(digest: NDArray[np.uint64], part: Integers) -> tuple[Flags, Flags]:
    """Which images are in a later part too (train, validation, test), and which in any other part.

    Shape: (N,), (N,) -> (N,), (N,) bool.
    """
    _, place = np.unique(digest, return_inverse=True)
    last = np.zeros(place.max(initial=-1) + 1, int)
    first = np.full(len(last), len(PARTS))
    np.maximum.at(last, place, part)
    np.minimum.at(first, place, part)
    return part < last[place], first[place] < last[place]


def emotion_counts(target: Floats, classes: int) -> Integers:
    """Number of rows per emotion.

    Shape: (N, 3) -> (classes,).
    """
    emotions = target[:, 2].astype(int)
    return np.bincount(emotions[emotions != NO_EMOTION], minlength=classes)
