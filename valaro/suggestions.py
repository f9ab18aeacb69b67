"""What a user may have meant by an unknown name."""

from collections.abc import Iterable
from difflib import get_close_matches

LIKENESS = 0.6
"""Of two names, from 0 to 1 (difflib's ratio), that makes one a suggestion for the other."""


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """The sentence about a name that isn't known: what is, and which of them may be meant.

    >>> unknown("system", "dynamc", ["audio", "dynamic"])
    "'dynamc' is no system. Did you mean dynamic? Systems are audio, dynamic."
    """
    names = list(known)
    meant = get_close_matches(name.lower(), names, n=1, cutoff=LIKENESS)
    question = f" Did you mean {meant[0]}?" if meant else ""
    return f"{name!r} is no {kind}.{question} {kind.capitalize()}s are {', '.join(names)}."
