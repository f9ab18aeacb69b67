"""The speaker-independent split (paper, section 4.1): no speaker is both in training and in validation."""

import hashlib
from collections.abc import Iterable, Sequence

from stages.corpora.table import Part


def validation_speakers(speakers: Iterable[str], share: float, seed: int) -> set[str]:
    """Draw a corpus' validation speakers: those with the lowest hashes.

    A hash of the name instead of a shuffle: a new speaker moves at most one other to or from validation.

    Args:
        speakers: of one corpus, with or without repetitions.
        share: share of the speakers to draw, 0 to 1; at least one, if there are two or more.
        seed: seed of the draw.

    >>> len(validation_speakers("abcdefghij", 0.2, seed=0))
    2
    """
    ordered = sorted(set(speakers), key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    count = round(share * len(ordered))
    return set(ordered[: max(1, count) if len(ordered) > 1 else 0])


def in_validation(speakers: Sequence[str], parts: Sequence[Part], share: float, seed: int) -> list[bool]:
    """Whether each sample of one corpus is for validation; samples of an official test part never are.

    An official division is kept. Without one, or if a speaker is on both sides of it, speakers are drawn.

    Args:
        speakers: speaker of each sample.
        parts: official part of each sample.
        share: see `validation_speakers`.
        seed: see `validation_speakers`.
    """
    official = {"validation": set[str](), "train": set[str](), "": set[str](), "test": set[str]()}
    for speaker, part in zip(speakers, parts, strict=True):
        official[part].add(speaker)
    divided = official["validation"] and not official[""]
    if divided and official["validation"].isdisjoint(official["train"]):
        chosen = official["validation"]
    else:
        drawn = [speaker for speaker, part in zip(speakers, parts, strict=True) if part != "test"]
        chosen = validation_speakers(drawn, share, seed)
    return [speaker in chosen and part != "test" for speaker, part in zip(speakers, parts, strict=True)]
