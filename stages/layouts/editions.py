"""The editions of the challenge (ABAW): how their folders and files are named, and what each should hold.

2nd         `annotations/VA_Set`; `test_set_VA_Challenge.txt`
3rd, 4th    `Third ABAW Annotations/VA_Estimation_Challenge`;
            `Valence_Arousal_Estimation_Challenge_test_set_release.txt`, since
5th to 7th  `6th ABAW Annotations/VA_Estimation_Challenge`; `CVPR_6th_ABAW_VA_test_set_sample.txt`
8th to 10th `8th ABAW Annotations/...`; `ICCV_9th_ABAW_VA_test_set_sample.txt`, `ABAW_VA_test_set_sample.txt`

Participants' repositories have `_example` for `_sample`, underscores for blanks, `va_test_set_release.txt`.
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
    """What an edition's valence-arousal challenge should hold.

    Args:
        annotations: of train, validation and test.
        videos: that these are of.
    """

    annotations: tuple[int, int, int]
    videos: int


SINCE_THE_5TH = Edition((356, 76, 162), 578)
"""The organisers' papers give 594 videos since; 16 of them are the second person of a shared file."""
KNOWN: dict[int, Edition] = dict.fromkeys(range(5, 11), SINCE_THE_5TH)
"""Editions whose counts are published; those before had fewer videos."""


def edition_of(*paths: Path) -> int | None:
    """The number of the edition, from the first path that names one; None where none does."""
    for path in paths:
        if match := _NUMBER.search(str(path)):
            return int(match[1])
        if match := _WORD.search(str(path)):
            return _WORDS.index(match[1].lower())
    return None


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th ..."""
    return f"{number}{_ENDINGS.get(number, 'th')}"
