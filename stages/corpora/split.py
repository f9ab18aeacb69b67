"""The speaker-independent split (paper, section 4.1): nobody is seen both in training and in validation."""

import hashlib
from collections.abc import Iterable, Sequence

from stages.corpora.table import Part


def validation_speakers(speakers: Iterable[str], share: float, seed: int) -> set[str]:
    """Draw a corpus' validation speakers: those whose names hash lowest.

    A hash, not a shuffle: one more speaker moves at most one of the others.

    Args:
        speakers: of one corpus, repeated or not.
        share: of the speakers; at least one of two is drawn.
        seed: of the draw.

    >>> len(validation_speakers("abcdefghij", 0.2, seed=0))
    2
    """
    ordered = sorted(set(speakers), key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    count = round(share * len(ordered))
    return set(ordered[: max(1, count) if len(ordered) > 1 else 0])


def in_validation(speakers: Sequence[str], parts: Sequence[Part], share: float, seed: int) -> list[bool]:
    """Which samples of one corpus are for validation; those of an official test part never are.

    An official division is kept, unless a speaker would be on both sides: then, and without one, the
    speakers are drawn.
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
