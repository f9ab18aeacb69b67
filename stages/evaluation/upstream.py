"""Which parameters can change a file: those of the stages that lead to it, as dvc.lock records them."""

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

PARAMS = "params.yaml"


def parameters_behind(lock: Mapping[str, Any], file: str) -> dict[str, Any] | None:
    """Dotted name -> value of every parameter that the stages behind a file were run with.

    Args:
        lock: content of dvc.lock.
        file: an output of some stage, or a file in one.

    Returns:
        None where no stage in the lock writes the file: then nothing is known of it.
    """
    stages: Mapping[str, Any] = lock.get("stages") or {}
    waiting = [name for name, stage in stages.items() if _any_touches(stage.get("outs"), file)]
    if not waiting:
        return None
    behind: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in behind:
            continue
        behind.add(name)
        read = [dep["path"] for dep in stages[name].get("deps") or ()]
        waiting += [
            other
            for other, stage in stages.items()
            if other not in behind and any(_any_touches(stage.get("outs"), path) for path in read)
        ]
    recorded: dict[str, Any] = {}
    for name in sorted(behind):
        recorded |= dict(flat((stages[name].get("params") or {}).get(PARAMS) or {}))
    return recorded


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings, by dotted names."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _any_touches(outs: Any, path: str) -> bool:
    return any(_touch(out["path"], path) for out in outs or ())


def _touch(one: str, other: str) -> bool:
    """Whether two paths are the same, or one lies in the other."""
    a, b = PurePosixPath(one), PurePosixPath(other)
    return a == b or a in b.parents or b in a.parents
