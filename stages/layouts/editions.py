"""The editions of the challenge (ABAW): names of their folders and files, and their numbers of videos.

2nd         `annotations/VA_Set`; `test_set_VA_Challenge.txt`
3rd, 4th    `Third ABAW Annotations/VA_Estimation_Challenge`;
            `Valence_Arousal_Estimation_Challenge_test_set_release.txt`, since
5th to 7th  `6th ABAW Annotations/VA_Estimation_Challenge`; `CVPR_6th_ABAW_VA_test_set_sample.txt`
8th to 10th `8th ABAW Annotations/...`; `ICCV_9th_ABAW_VA_test_set_sample.txt`, `ABAW_VA_test_set_sample.txt`

Repositories of participants use `_example` for `_sample`, underscores for blanks, `va_test_set_release.txt`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

_WORDS = ("zeroth", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
_NUMBER = re.compile(r"(?<!\d)(\d{1,2})(?:st|nd|rd|th)[ _-]*ABAW", re.IGNORECASE)
_ENDINGS = {1: "st", 2: "nd", 3: "rd"}
_WORD = re.compile(rf"({'|'.join(_WORDS)})[ _-]*ABAW", re.IGNORECASE)


@dataclass(frozen=True)
class Edition:
    """Size of an edition's valence-arousal challenge.

    Args:
        annotations: numbers of annotations in train, validation and test.
        videos: number of videos.
    """

    annotations: tuple[int, int, int]
    videos: int


SINCE_THE_5TH = Edition((356, 76, 162), 578)
"""The organisers' papers count 594 videos; 16 of them are the second person in a shared file."""
KNOWN: dict[int, Edition] = dict.fromkeys(range(5, 11), SINCE_THE_5TH)
"""Editions with published counts; earlier ones have fewer videos."""


def edition_of(*paths: Path) -> int | None:
    """The number of the edition, from the first path that names one; None if no path does."""
    for path in paths:
        if match := _NUMBER.search(str(path)):
            return int(match[1])
        if match := _WORD.search(str(path)):
            return _WORDS.index(match[1].lower())
    return None


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th ..."""
    return f"{number}{_ENDINGS.get(number, 'th')}"
