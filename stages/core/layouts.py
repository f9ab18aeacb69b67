"""The layouts of a corpus, one record each; `stages.layouts.readers` has the function that reads it."""

from collections.abc import Mapping

LAYOUTS: Mapping[str, str] = {
    "affwild2": "videos and annotations as the organisers of Aff-Wild2 send them",
    "table": "any folder of videos, and a CSV that says which labels and which split belong to each",
}
"""Every layout by its name in params.yaml, and what it is."""


def known_layout(name: str) -> str:
    """The name itself, if it is a layout's.

    Raises:
        ValueError: it isn't; the message lists those that are.
    """
    if name not in LAYOUTS:
        raise ValueError(f"{name!r} is none of {', '.join(LAYOUTS)}")
    return name
