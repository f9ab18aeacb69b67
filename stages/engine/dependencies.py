"""Write the parts of dvc.yaml that follow from the code: imports of each stage, metrics of every fusion.

    python -m stages.engine.dependencies          (make deps)

If a stage uses half or more of a small folder, or all of any folder, the folder is listed; an unrelated edit
in it then only costs looking up the cached results. Otherwise, and in `core`, each file is listed.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from stages.core.systems import FUSIONS
from stages.engine import fingerprint
from stages.engine.fingerprint import PACKAGE, ROOT

DVC_FILE = "dvc.yaml"
SMALL_FOLDER = 8
"""Maximum number of modules of a small folder."""
NAMED_BY_FILE = {"core"}
TYPES_ONLY = {f"{PACKAGE}/core/arrays.py"}
"""Files that only define types."""
_STAGE = re.compile(r"^  (\w+):$")
_CODE = re.compile(rf"^      - {PACKAGE}/\S+$")
_FUSION = re.compile(r"^      - metrics/fusion/\w+\.json: {cache: false}$")


@cache
def modules_of(stage: str) -> frozenset[str]:
    """Files of the package whose code affects the results of a stage, relative to the repository."""
    files = fingerprint.files_of(f"{PACKAGE}.{stage}")
    names = {path.relative_to(ROOT).as_posix() for path in files if path.stem != "__init__"}
    return frozenset(names - TYPES_ONLY)


def dependencies_of(stage: str) -> list[str]:
    """The files and folders that dvc.yaml should list for a stage, its own file first."""
    used, own = modules_of(stage), f"{PACKAGE}/{stage}.py"
    named = {_named(file, used) for file in used - {own}}
    return [own, *sorted(named)]


def _named(file: str, used: frozenset[str]) -> str:
    folder = str(Path(file).parent)
    if folder == PACKAGE or Path(folder).name in NAMED_BY_FILE:
        return file
    held = _modules_in(folder)
    mostly = len(held) <= SMALL_FOLDER and 2 * len(held & used) >= len(held)
    return folder if mostly or held <= used else file


@cache
def _modules_in(folder: str) -> frozenset[str]:
    paths = (ROOT / folder).glob("*.py")
    return frozenset(f"{folder}/{path.name}" for path in paths if path.stem != "__init__")


def rewritten(text: str) -> str:
    """The content of dvc.yaml with updated code dependencies and fusions."""
    return "\n".join(_lines(text.split("\n")))


def _lines(lines: list[str]) -> Iterator[str]:
    stage, written = "", set[re.Pattern[str]]()
    for line in lines:
        if match := _STAGE.match(line):
            stage = match[1]
            written.clear()
        pattern = next((pattern for pattern in (_CODE, _FUSION) if pattern.match(line)), None)
        if pattern is None:
            yield line
        elif pattern not in written:  # in place of the first one
            written.add(pattern)
            paths = dependencies_of(stage) if pattern is _CODE else _metrics_of_fusions()
            yield from (f"      - {path}" for path in paths)


def _metrics_of_fusions() -> list[str]:
    return [f"metrics/fusion/{fusion}.json: {{cache: false}}" for fusion in FUSIONS]


def main() -> None:
    """Update dvc.yaml."""
    path = ROOT / DVC_FILE
    path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
