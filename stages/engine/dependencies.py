"""Write what DVC must know of the code: what each stage imports, and the files of no stage.

    python -m stages.engine.dependencies          (make deps)

If a stage uses a quarter or more of the files in a folder that affect results, dvc.yaml lists the folder,
else each file. An unrelated edit in a listed folder then only costs looking up the cached results, while each
entry costs time in every stage that runs: DVC reads and writes the whole of dvc.lock after it. .dvcignore
names the files of listed folders that affect no stage's results.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from stages.engine import fingerprint
from stages.engine.fingerprint import PACKAGE, ROOT

DVC_FILE = "dvc.yaml"
IGNORE_FILE = ".dvcignore"
UNUSED = "# Code that affects no result of a stage (make deps)."
"""The line of .dvcignore before the files; everything behind it is written anew."""
LISTED_SHARE = 1 / 4
"""A folder is listed if a stage uses at least this share of its modules that any stage uses."""
TYPES_ONLY = {f"{PACKAGE}/core/arrays.py"}
"""Files that only define types."""
_STAGE = re.compile(r"^  (\w+):$")
_CODE = re.compile(rf"^      - {PACKAGE}/\S+$")


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
    held = {other for other in _used() if str(Path(other).parent) == folder}
    listed = folder != PACKAGE and len(held & used) >= LISTED_SHARE * len(held)
    return folder if listed else file


@cache
def _used() -> frozenset[str]:
    return frozenset().union(*map(modules_of, _stages()))


def _stages() -> list[str]:
    return [path.stem for path in (ROOT / PACKAGE).glob("*.py") if path.stem != "__init__"]


def rewritten(text: str) -> str:
    """The content of dvc.yaml with updated code dependencies."""
    return "\n".join(_lines(text.split("\n")))


def _lines(lines: list[str]) -> Iterator[str]:
    stage, written = "", False
    for line in lines:
        if match := _STAGE.match(line):
            stage, written = match[1], False
        if not _CODE.match(line):
            yield line
        elif not written:  # in place of the first one
            written = True
            yield from (f"      - {path}" for path in dependencies_of(stage))


def ignoring(text: str) -> str:
    """The content of .dvcignore with the unused files of the folders that dvc.yaml lists."""
    return "\n".join([text.partition(UNUSED)[0] + UNUSED, *_unused(), ""])


def _unused() -> list[str]:
    used = {ROOT / file for file in _used()}
    folders = {path for stage in _stages() for path in dependencies_of(stage) if not path.endswith(".py")}
    files = {file for folder in folders for file in (ROOT / folder).rglob("*.py")}
    kept = used | {file.with_name("__init__.py") for file in used}
    return sorted(f"/{file.relative_to(ROOT).as_posix()}" for file in files - kept)


def main() -> None:
    """Update dvc.yaml and .dvcignore."""
    for name, updated in ((DVC_FILE, rewritten), (IGNORE_FILE, ignoring)):
        path = ROOT / name
        path.write_text(updated(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
