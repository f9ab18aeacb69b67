"""Which stages ran after others that should follow them: what a run that stopped half way leaves."""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from stages.core.yaml_text import read_yaml

DEFINITION, LOCK = "dvc.yaml", "dvc.lock"
SHOWN = 3
"""Names shown of several."""
Stages = Mapping[str, Mapping[str, Any]]
"""Of dvc.lock, by name."""


def locked_stages(root: Path) -> Stages:
    """The stages of a repository as they last ran; none where nothing did.

    DVC keeps the entries of stages that dvc.yaml no longer defines: they are left out.
    """
    lock, definition = root / LOCK, root / DEFINITION
    found: Stages = (read_yaml(lock) or {}).get("stages") or {} if lock.is_file() else {}
    if not definition.is_file():
        return found
    defined = read_yaml(definition)["stages"]

    def is_defined(stage: str) -> bool:
        name, _, entry = stage.partition("@")
        return name in defined and bool(entry) == ("matrix" in defined[name])

    return {stage: entry for stage, entry in found.items() if is_defined(stage)}


def newer_than(stages: Stages, files: Iterable[str]) -> list[str]:
    """Stages behind some files that have made something else since.

    By dvc.lock alone: what each stage has read, against what is recorded of it as an output.

    Args:
        stages: of dvc.lock.
        files: outputs of stages, or files in such; relative to the repository.
    """
    makers = {
        out["path"]: (name, out["md5"]) for name, one in stages.items() for out in one.get("outs") or ()
    }
    places = {str(place) for file in files for place in (file, *PurePosixPath(file).parents)}
    waiting, behind, newer = {makers[place][0] for place in places & makers.keys()}, set[str](), set[str]()
    while waiting:
        name = waiting.pop()
        behind.add(name)
        for read in stages[name].get("deps") or ():
            maker, md5 = makers.get(read["path"], (None, None))
            if maker:
                waiting |= {maker} - behind
                newer |= {maker} if read.get("md5") != md5 else set()
    return [name for name in stages if name in newer]


def listed(names: list[str]) -> str:
    """Some of the names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"
