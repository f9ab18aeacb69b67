"""Names that changed since earlier versions.

Models, scores and tables of earlier versions are read with these names, so that an exported folder still
gives the same traces. `stages.core.former_params` does the same for parameter files.
"""

from collections.abc import Iterable, Mapping
from typing import Any

FORMER_NAMES: Mapping[str, str] = {
    "dwf_voiced_dynamic_audio": "dwf_speaking_dynamic_audio",
    "voiced": "speaking",
    "voiced_mean": "speaking_mean",
    "voiced_share": "speaking_share",
    "voiced_window_s": "speaking_window_s",
}
"""Name in version 0.1 -> present name, of systems, columns, parameters and tensors."""


def present_name(name: str) -> str:
    """The present name for a former one; other names are returned unchanged.

    >>> present_name("dwf_voiced_dynamic_audio")
    'dwf_speaking_dynamic_audio'
    """
    return FORMER_NAMES.get(name, name)


def former_name(name: str) -> str:
    """The name in version 0.1 for a present one; other names are returned unchanged.

    >>> former_name("speaking_window_s"), former_name("smooth")
    ('voiced_window_s', 'smooth')
    """
    return next((former for former, now in FORMER_NAMES.items() if now == name), name)


def held_name(name: str, among: Iterable[str]) -> str:
    """The name of a column in a table: its present name, or the former one if the table has only that.

    Args:
        name: present name.
        among: names of the table's columns.
    """
    held, former = set(among), former_name(name)
    return former if name not in held and former in held else name


def with_present_names(content: Any) -> Any:
    """JSON of an earlier version with present names, in keys and in values.

    >>> with_present_names({"fusion": "dwf_voiced_dynamic_audio", "model": {"silence": "voiced_mean"}})
    {'fusion': 'dwf_speaking_dynamic_audio', 'model': {'silence': 'speaking_mean'}}
    """
    if isinstance(content, dict):
        return {present_name(name): with_present_names(value) for name, value in content.items()}
    if isinstance(content, list):
        return [with_present_names(value) for value in content]
    return present_name(content) if isinstance(content, str) else content
