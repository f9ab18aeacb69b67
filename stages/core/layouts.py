"""The layouts of a corpus, one record each; `stages.layouts.readers` has the function that reads each one."""

from collections.abc import Mapping

LAYOUTS: Mapping[str, str] = {
    "affwild2": "videos and annotations as the organisers of Aff-Wild2 distribute them",
    "table": "any folder of videos, and a CSV with the label file and the split of each",
}
"""Name in params.yaml -> description."""


def known_layout(name: str) -> str:
    """Check the name of a layout, and return it.

    Raises:
        ValueError: there is no such layout; the message lists the valid names.
    """
    if name not in LAYOUTS:
        raise ValueError(f"{name!r} is none of {', '.join(LAYOUTS)}")
    return name
